//! The port to a platform under test. The examiner orders what an operator would order, listens to what the platform
//! says (claims, all of it), and asks where customers are served. It never asks whether the platform is well.
//!
//! [`Journal`] looks into the reference platform's journal past the platform itself.
//!
//! [`reference`] is the adapter to the platform that this project ships; other platforms plug in beside it.

mod journal;
mod port;
mod reference;

pub use journal::{Entered, Journal};
pub use port::{Deployed, Plane, PlaneError};
pub use reference::ReferencePlane;
