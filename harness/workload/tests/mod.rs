//! The load on real servers: what the journal says and what is found must agree.

mod attempts;
mod books;
mod direct;
mod lagging;
mod old_side;
mod servers;
