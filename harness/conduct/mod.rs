//! Where everything meets: runs a plan, emits typed events.
