//! The port to a platform under test. The examiner orders what an operator would order, listens to what the platform
//! says (claims, all of it), and asks where customers are served. It never asks whether the platform is well.
//!
//! [`reference`] is the adapter to the platform that this project ships; other platforms plug in beside it.

mod port;
mod reference;

pub use port::{Deployed, Plane, PlaneError};
pub use reference::ReferencePlane;
