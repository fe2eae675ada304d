//! Integration tests: the house's rules, the program from outside, and drills on real servers.

mod claims;
#[cfg(feature = "compose")]
mod compose;
mod conversions;
mod crashes;
mod endings;
#[cfg(feature = "compose")]
mod engine;
mod faults;
mod features;
mod fencing;
mod full_disk;
mod guard;
mod house;
mod known_interruptions;
mod lab;
mod leftovers;
mod many;
mod oracle;
mod orders;
mod partial;
mod processors;
mod program;
mod races;
mod repetitions;
mod sabotage;
mod share;
mod shipped;
mod stage;
mod support;
mod tampering;
mod trials;
mod turn;
mod webhooks;
