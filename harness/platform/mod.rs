//! The reference platform: what the vendor's document describes, made real.
