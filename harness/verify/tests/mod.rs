//! Verification is itself tested: known truths planted in healthy runs and found exactly, a naive checker beside the
//! real one, and every figure of time on histories made by hand.

mod brute;
mod claims;
mod copies;
mod events;
mod features;
mod old_side;
mod planted;
mod reads;
mod returns;
mod speed;
mod tampering;
mod times;
mod world;
mod zones;
