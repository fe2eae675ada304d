//! Single attempts at Postgres, S3, Toxiproxy and HTTP: no retries, no pools, no answer that hides its ambiguity.
//! Every call has a hard deadline.

pub mod door;
pub mod error;
pub mod http;
pub mod poll;
pub mod postgres;
pub mod s3;
pub mod s3_fresh;
pub mod toxiproxy;
