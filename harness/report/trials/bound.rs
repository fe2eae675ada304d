//! What so few failures in so many trials say of the rate of failure: the exact one-sided upper bound of Clopper and Pearson.
//!
//! It is the largest rate at which so few failures still come in 5 of 100 such series. Without a failure that is
//! 1 − 0.05^(1/N), about 3/N: no number of clean trials proves zero.

/// How sure the bound is.
pub const CONFIDENCE: f64 = 0.95;

/// Halvings of the interval that the bound is in: more than a double has digits.
const HALVINGS: u32 = 64;

/// The upper bound of the failure rate, 0 to 1. `None` without trials, or with more failures than trials.
pub fn failure_rate_at_most(trials: u64, failures: u64) -> Option<f64> {
    if trials == 0 || failures > trials {
        return None;
    }
    if failures == 0 {
        return Some(1.0 - (1.0 - CONFIDENCE).powf(1.0 / trials as f64));
    }
    if failures == trials {
        return Some(1.0);
    }
    // The larger the rate, the less likely so few failures are.
    let (mut low, mut high) = (failures as f64 / trials as f64, 1.0);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if at_most(failures, trials, middle) > 1.0 - CONFIDENCE { low = middle } else { high = middle }
    }
    Some(high)
}

/// How likely at most so many failures are at a rate above 0 and below 1. Logarithms, since the terms of long series are
/// smaller than a double can be.
fn at_most(failures: u64, trials: u64, rate: f64) -> f64 {
    let (ln_fails, ln_holds) = (rate.ln(), (-rate).ln_1p());
    let mut ln_ways = 0.0;
    let mut sum = 0.0;
    for count in 0..=failures {
        if count > 0 {
            ln_ways += ((trials - count + 1) as f64 / count as f64).ln();
        }
        sum += (ln_ways + count as f64 * ln_fails + (trials - count) as f64 * ln_holds).exp();
    }
    sum
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{CONFIDENCE, at_most, failure_rate_at_most};

    #[test]
    fn bounds_are_those_of_published_tables() {
        let check = |trials, failures, wanted: f64| {
            let found = failure_rate_at_most(trials, failures).unwrap();
            assert!((found - wanted).abs() < 5e-5, "{failures} of {trials}: {found}, and not {wanted}");
        };
        // Without failures: 1 − 0.05^(1/N).
        check(1, 0, 0.95);
        check(3, 0, 0.6316);
        check(10, 0, 0.2589);
        check(59, 0, 0.0495);
        check(300, 0, 0.0099);
        // With failures: quantiles of the beta distribution.
        check(2, 1, 0.9747);
        check(5, 1, 0.6574);
        check(10, 1, 0.3942);
        check(10, 2, 0.5069);
        check(20, 1, 0.2161);
        check(100, 5, 0.1023);
        check(7, 7, 1.0);
    }

    #[test]
    fn nothing_is_said_without_trials() {
        assert_eq!((failure_rate_at_most(0, 0), failure_rate_at_most(3, 4)), (None, None));
    }

    proptest! {
        #[test]
        fn at_the_bound_so_few_failures_come_in_five_of_a_hundred_series(trials in 2_u64..2_000, share in 0.0..1.0_f64) {
            let failures = (share * (trials - 1) as f64) as u64;
            let bound = failure_rate_at_most(trials, failures).unwrap();
            prop_assert!(bound > failures as f64 / trials as f64 && bound < 1.0);
            let likely = at_most(failures, trials, bound);
            prop_assert!((likely - (1.0 - CONFIDENCE)).abs() < 1e-6, "{} of {}: {} at {}", failures, trials, likely, bound);
        }

        #[test]
        fn more_failures_raise_the_bound_and_more_clean_trials_lower_it(trials in 1_u64..2_000, share in 0.0..1.0_f64) {
            let failures = (share * trials as f64) as u64;
            let bound = failure_rate_at_most(trials, failures).unwrap();
            prop_assert!(failure_rate_at_most(trials, failures + 1).is_none_or(|more| more >= bound));
            prop_assert!(failure_rate_at_most(trials + 1, failures).unwrap() < bound);
        }
    }
}
