//! Pure: ledger, events and readings in; fates, marks, loss and times out. `measures.md` of the design is its law.
//!
//! One environment after another, and in each one event after another in the order of time, `end` last:
//! - `writes` brings the ledger's writes into compact arrays; `timeline` finds who served when, from acknowledgements.
//! - `readings` chooses the reading of each event, `gathered` goes through it once; `rows` and `versions` sort what it holds by
//!   operation; `fate_rows` and `fate_files` give each write exactly one fate per store; `chain` checks each key's chain;
//!   `marks` finds holes, zombies and what else stands beside.
//! - `balance` counts a reading once more with code of its own, the second half of the books; `passes` compares the two final
//!   ones, `regions` both sides of what ended protected (`finals`: both of them, before the ledger is known), `salvage` a
//!   platform's list with what a switch lost.
//! - `claims`: what servers and platform said of replication, and how far they were off.
//! - `recovery`, `interruption`, `phases`, `rate`, `service`, `lag` are the times; `client_reads` judges what reads returned, `old_side`
//!   what was answered by the side that had served before.
//!
//! - `features`: what customers were answered of features; `figures`: whether a report holds what was acknowledged.
//!
//! A write that one event lost is left out of the counts of later events, so each loss is told once; should its row come
//! back, it stands in `lost_found`. A write that was sent but not answered when a reading began is in doubt *there*.
//!
//! It knows `model` and `ledger` (the type [`History`](crate::ledger::History)); it does no I/O and reads no clock.

mod balance;
mod chain;
mod claims;
mod client_reads;
mod environment;
mod fate;
mod fate_files;
mod fate_rows;
mod features;
mod figures;
mod finals;
mod findings;
mod gathered;
mod hash;
mod input;
mod interruption;
mod lag;
mod marks;
mod old_side;
mod passes;
mod phases;
mod rate;
mod readings;
mod recovery;
mod regions;
mod rows;
mod salvage;
mod seats;
mod service;
mod timeline;
mod versions;
mod writes;

pub use finals::Finals;
pub use input::{Input, verify};

#[cfg(test)]
mod tests;
