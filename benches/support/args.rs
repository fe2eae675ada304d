//! What `cargo bench` passes on, for benchmarks whose repetitions are too long for criterion's sampling.

/// Whether this measurement is asked for: no filter was given, or one that its name contains.
pub fn is_wanted(name: &str) -> bool {
    let mut filters = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).peekable();
    filters.peek().is_none() || filters.any(|filter| name.contains(&filter))
}

/// Whether it is only to be seen that everything works, as with criterion's `--test`.
pub fn is_test() -> bool {
    std::env::args().any(|argument| argument == "--test")
}
