//! The lab: two regions that stand until they are told to go, to be looked at, broken, healed and switched by hand.
//!
//! One process of this binary, the lab's host (`geodrill role lab`), owns the testbed and every fault in force; it lives in
//! a session of its own, and its guardian ends everything should it die. The commands are thin clients of it, over a
//! private Unix socket in the lab's folder. A drill that is to be kept (`run --keep`) is run by such a host from the
//! beginning, and is a lab once it is over.
//!
//! In the lab's folder, besides what a run has (`conduct/folder.rs`): `lab.json` ([`LabFile`], mode 0600, with secrets),
//! `lab.sock`, `enter/` (what `psql` and `mc` need to be let in), `logs/lab.log`.
//!
//! - [`order`]: what a host is started with; [`front`]: starting one and listening to it until the lab stands.
//! - [`host`]: the host itself; `stand`: making the lab; `faults`: those in force; `load`: its writes, if any.
//! - [`talk`]: what is said over the socket; [`file`]: `lab.json`; [`find`]: which lab is meant.
//! - [`order_switch`]: orders to the platform; [`enter`]: how a person gets in; [`salvage`]: what can be put in again
//!   after a return; [`view`]: what `status` shows; [`shelf`]: the runs on disk, for `clean`.

pub mod enter;
pub mod file;
pub mod find;
pub mod front;
pub mod host;
pub mod order;
pub mod order_switch;
pub mod salvage;
pub mod shelf;
pub mod talk;
pub mod view;

mod faults;
mod load;
mod stand;

pub use file::LabFile;
pub use find::{FindError, Found, find};
pub use order::{HostConfig, Task, fault_from_text, plan_for};
