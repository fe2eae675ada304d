//! The world that the platform's own tests put around its core, used as it stands: two regions, their stores, customers,
//! an edge, a network, clocks. It checks the platform's invariants while it runs and panics where one breaks, so a drill
//! that is measured is also a drill that is checked. It is test code and stays that: the library does not contain it.

#[path = "../../harness/platform/core/tests/chaos.rs"]
pub mod chaos;
#[path = "../../harness/platform/core/tests/guarding.rs"]
pub mod guarding;
#[path = "../../harness/platform/core/tests/questions.rs"]
pub mod questions;
#[path = "../../harness/platform/core/tests/regions.rs"]
pub mod regions;
#[path = "../../harness/platform/core/tests/stores.rs"]
pub mod stores;
#[path = "../../harness/platform/core/tests/world.rs"]
pub mod world;
