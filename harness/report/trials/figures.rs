//! Points and their summary.

use super::contract::{Figures, Point, Summary};

/// Fewest figures with which a P95 is told: with 59 the largest is above the true one at 95 % (0.95⁵⁹ < 0.05), with fewer it
/// may well be that none is.
const P95_FIGURES_MIN: usize = 59;

/// The points with their summary. `None`: there is no point.
pub(super) fn figures(points: Vec<Point>) -> Option<Figures> {
    let conclusive = points.iter().filter(|point| point.conclusive).map(|point| point.value);
    let summary = summary(conclusive.collect());
    (!points.is_empty()).then_some(Figures { points, summary })
}

fn summary(mut values: Vec<f64>) -> Option<Summary> {
    values.sort_by(f64::total_cmp);
    let (min, max) = (*values.first()?, *values.last()?);
    let count = values.len();
    let median = f64::midpoint(values[(count - 1) / 2], values[count / 2]);
    // Nearest rank: the smallest figure that 95 of 100 do not exceed.
    let p95 = (count >= P95_FIGURES_MIN).then(|| values[(count * 95).div_ceil(100) - 1]);
    Some(Summary { min, median, max, p95 })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::contract::Point, figures, summary};

    #[test]
    fn a_summary_is_min_median_max_and_with_enough_figures_p95() {
        let of = |count: u32| summary((1..=count).rev().map(f64::from).collect()).unwrap();
        assert_eq!((of(1).min, of(1).median, of(1).max, of(1).p95), (1.0, 1.0, 1.0, None));
        assert_eq!((of(4).min, of(4).median, of(4).max, of(4).p95), (1.0, 2.5, 4.0, None));
        assert_eq!((of(5).median, of(58).p95, of(59).p95), (3.0, None, Some(57.0)));
        assert_eq!((of(60).p95, of(100).p95), (Some(57.0), Some(95.0)));
        assert_eq!(summary(Vec::new()), None);
    }

    #[test]
    fn inconclusive_points_are_kept_and_do_not_count() {
        let points = [(1, 4.0, true), (2, 99.0, false), (3, 2.0, true)];
        let points = points.map(|(trial, value, conclusive)| Point { trial, value, conclusive });
        let figures = figures(points.to_vec()).unwrap();
        assert_eq!(figures.points, points);
        assert_eq!(figures.summary.map(|summary| (summary.min, summary.median, summary.max)), Some((2.0, 3.0, 4.0)));
    }

    proptest! {
        #[test]
        fn a_summary_is_in_order_and_p95_leaves_at_most_five_of_a_hundred_above(values in prop::collection::vec(-1e9..1e9_f64, 1..200)) {
            let told = summary(values.clone()).unwrap();
            prop_assert!(told.min <= told.median && told.median <= told.max);
            let below = values.iter().filter(|value| **value < told.median).count();
            prop_assert!(below * 2 <= values.len());
            if let Some(p95) = told.p95 {
                let above = values.iter().filter(|value| **value > p95).count();
                prop_assert!(above * 100 <= values.len() * 5 && p95 <= told.max);
            }
            prop_assert_eq!(told.p95.is_some(), values.len() >= 59);
        }
    }
}
