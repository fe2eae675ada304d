//! Integration tests: the house's rules, the program from outside, and drills on real servers.

mod endings;
mod house;
mod oracle;
mod orders;
mod program;
mod shipped;
mod support;
mod tampering;
