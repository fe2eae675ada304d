//! The port to a platform under test, and its adapters.
