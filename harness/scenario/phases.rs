//! Phases: a wait before each fault and each order, drawn from a seed, so that what is done again and again meets the
//! platform's timers at ever other moments. Without it a drill that begins its steps in step with its own start would hit
//! them at much the same place each time, and repetitions would not be independent.

use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::model::plan::{Action, Plan, Platform, Step};

/// The longest of the platform's periodic timers: its permits' lifetime and their renewal, and the silence after which a
/// region is suspected, which every sign of life begins anew. Graces, drains and gates begin with what they wait for: there
/// is no phase in which they could be met.
pub fn longest_timer(platform: &Platform) -> Duration {
    let Platform::Reference { timers, .. } = platform;
    Duration::from_millis(timers.permit_ms.max(timers.poll_ms).max(timers.suspect_ms))
}

/// The seed of the trial of this number, from 1: the number-th output of SplitMix64 begun at `base`. Trials of one base never
/// share a seed.
pub fn trial_seed(base: u64, number: u32) -> u64 {
    let mixed = base.wrapping_add(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(u64::from(number)));
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The plan with a phase before every fault and every order: uniform from nothing to the longest timer, in the order of
/// the plan's steps. The same seed draws the same phases.
pub fn phased(mut plan: Plan, seed: u64) -> Plan {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let longest = longest_timer(&plan.platform);
    for step in &mut plan.timeline {
        draw(step, &mut random, longest);
        if let Action::Parallel(inner) = &mut step.action {
            inner.iter_mut().for_each(|step| draw(step, &mut random, longest));
        }
    }
    plan
}

fn draw(step: &mut Step, random: &mut ChaCha8Rng, longest: Duration) {
    step.phase = if has_phase(step) { longest.mul_f64(random.random_range(0.0..1.0)) } else { Duration::ZERO };
}

/// What is to meet a place of the control plane's journal is in step with the platform by intention, and is left so.
fn has_phase(step: &Step) -> bool {
    matches!(step.action, Action::Inject(_) | Action::Operate(_) | Action::Convert(_) | Action::Ticket(_))
        && !step.meets_journal()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        model::testbed::TestbedName,
        scenario::{Catalogue, parse},
    };

    fn plan() -> Plan {
        let text = "geodrill: 1
name: x
environments: [ { id: sales, kind: dataverse-production } ]
platform: { reference: { permit: 900ms, poll: 200ms, suspect_after: 700ms } }
timeline:
  - { id: stall, inject: { link.partition: { link: \"east -> west / sql\", mode: stall } } }
  - { id: wait, pause: 1s }
  - { id: heal, heal: stall }
  - id: both
    parallel:
      - { id: move, operate: { planned_failover: { scope: environment, environments: [sales] } } }
      - { id: meets, when: { journal: checkpointing }, inject: { process.pause: { process: \"west / node\" } }, for: 1s }
      - { id: dies, inject: { control.crash: { at: draining, down_for: 500ms } } }
";
        let plan = parse("x.yaml", text, "/scenarios".as_ref(), &Catalogue::of(TestbedName::Native, Vec::new()));
        plan.unwrap_or_else(|errors| panic!("{}", errors.render(false)))
    }

    fn phases(plan: &Plan) -> Vec<(&str, Duration)> {
        plan.steps().map(|step| (step.id.as_str(), step.phase)).collect()
    }

    #[test]
    fn faults_and_orders_have_a_phase_and_what_meets_the_journal_has_none() {
        let plan = phased(plan(), 7);
        for (id, phase) in phases(&plan) {
            assert_eq!(!phase.is_zero(), ["stall", "move"].contains(&id), "{id}: {phase:?}");
        }
    }

    #[test]
    fn nothing_but_the_phases_is_changed() {
        let mut drawn = phased(plan(), 7);
        for step in &mut drawn.timeline {
            step.phase = Duration::ZERO;
            if let Action::Parallel(inner) = &mut step.action {
                inner.iter_mut().for_each(|step| step.phase = Duration::ZERO);
            }
        }
        assert_eq!(drawn, plan());
    }

    #[test]
    fn phases_are_spread_evenly_over_the_longest_timer() {
        const DRAWN: u32 = 1_000;
        const PARTS: usize = 10;
        let longest = longest_timer(&plan().platform);
        assert_eq!(longest, Duration::from_millis(900));
        let mut parts = [0_u32; PARTS];
        for seed in 0..u64::from(DRAWN) {
            let share = phases(&phased(plan(), seed))[0].1.div_duration_f64(longest);
            parts[(share * PARTS as f64) as usize] += 1;
        }
        // Five standard deviations of a tenth of a thousand draws.
        assert!(parts.iter().all(|count| count.abs_diff(DRAWN / 10) < 48), "{parts:?}");
    }

    #[test]
    fn seeds_of_trials_are_those_of_splitmix64() {
        // As its reference program prints them for the seed 1234567.
        let seeds = [1, 2, 3, 4, 5].map(|number| trial_seed(1_234_567, number));
        let known = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ];
        assert_eq!(seeds, known);
    }

    proptest! {
        #[test]
        fn a_seed_draws_the_same_again_and_another_seed_something_else(seed: u64, other: u64) {
            prop_assume!(seed != other);
            let (one, another) = (phased(plan(), seed), phased(plan(), other));
            prop_assert_eq!(&one, &phased(another.clone(), seed));
            prop_assert_ne!(phases(&one), phases(&another));
            prop_assert!(one.steps().all(|step| step.phase < longest_timer(&one.platform)));
        }
    }
}
