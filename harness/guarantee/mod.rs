//! Guarantee sets as data, and the verdict of each guarantee from measures.
