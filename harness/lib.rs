//! geodrill measures what disaster recovery really delivers. See `ARCHITECTURE.md` for the rooms and the arrows between
//! them.

pub mod api;
pub mod clients;
pub mod model;
pub mod os;
