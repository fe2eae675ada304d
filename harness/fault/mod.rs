//! Faults: inject, prove the effect, heal, prove it.
