//! Measurements as curves that are no longer than what can be seen.

use dqn_train::stats::{interquartile_mean, mean};

/// Most columns of a curve: more would share pixels of a chart.
pub const MAX_COLUMNS: usize = 180;

/// One measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// When, in updates.
    pub x: f64,
    /// What; finite.
    pub y: f64,
}

/// What a curve has at one place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Column {
    /// Where.
    pub x: f64,
    /// Through which the line goes.
    pub middle: f64,
    /// Lower end of the band.
    pub low: f64,
    /// Upper end of the band.
    pub high: f64,
}

/// The measurements of one run as at most `n` columns: each has the mean of its measurements and their whole range.
///
/// Where there are no more measurements than columns each has its own. Otherwise the columns divide the range of x into
/// equal parts; parts without a measurement have no column. `points` must be in the order of x.
pub fn thinned(points: &[Point], n: usize) -> Vec<Column> {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return Vec::new() };
    if points.len() <= n {
        return points.iter().map(|&Point { x, y }| Column { x, middle: y, low: y, high: y }).collect();
    }
    let span = last.x - first.x;
    let part = |point: &Point| match span > 0.0 {
        true => (((point.x - first.x) / span * n as f64) as usize).min(n - 1),
        false => 0,
    };
    points.chunk_by(|one, other| part(one) == part(other)).map(column).collect()
}

fn column(points: &[Point]) -> Column {
    let xs: Vec<f64> = points.iter().map(|point| point.x).collect();
    let ys: Vec<f64> = points.iter().map(|point| point.y).collect();
    let low = ys.iter().copied().fold(f64::INFINITY, f64::min);
    let high = ys.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    // The mean of equal values may miss them by a rounding.
    Column { x: mean(&xs), middle: mean(&ys).clamp(low, high), low, high }
}

/// The measurements of several runs as at most `n` columns.
///
/// Each has the interquartile mean of the runs and the range from the lowest to the highest of them, each run as
/// [`thinned`] and linear in between. A run counts only where it has begun and not ended.
pub fn combined(runs: &[Vec<Point>], n: usize) -> Vec<Column> {
    let runs: Vec<Vec<Column>> = runs.iter().map(|run| thinned(run, n)).filter(|run| !run.is_empty()).collect();
    if let [run] = runs.as_slice() {
        return run.clone();
    }
    let places = places(&runs, n);
    places
        .into_iter()
        .filter_map(|x| {
            let values: Vec<f64> = runs.iter().filter_map(|run| value_at(run, x)).collect();
            let low = values.iter().copied().reduce(f64::min)?;
            let high = values.iter().copied().reduce(f64::max)?;
            Some(Column { x, middle: interquartile_mean(&values).clamp(low, high), low, high })
        })
        .collect()
}

/// Where any run has a column or, where that are too many places, `n` places at equal distances.
fn places(runs: &[Vec<Column>], n: usize) -> Vec<f64> {
    let mut places: Vec<f64> = runs.iter().flatten().map(|column| column.x).collect();
    places.sort_by(f64::total_cmp);
    places.dedup();
    if places.len() <= n {
        return places;
    }
    let (first, last) = (places[0], places[places.len() - 1]);
    // The end is set and not computed: a rounding would put it behind the end of every run.
    let place = |index| if index == n - 1 { last } else { first + (last - first) * index as f64 / (n - 1) as f64 };
    (0..n).map(place).collect()
}

/// The line of a run at `x`; nothing before its begin and after its end.
fn value_at(run: &[Column], x: f64) -> Option<f64> {
    let after = run.partition_point(|column| column.x < x);
    let right = run.get(after)?;
    if right.x == x {
        return Some(right.middle);
    }
    let left = &run[after.checked_sub(1)?];
    Some(left.middle + (right.middle - left.middle) * (x - left.x) / (right.x - left.x))
}

/// The shares of a sum at one place.
#[derive(Clone, Debug, PartialEq)]
pub struct Shares {
    /// Where.
    pub x: f64,
    /// The shares.
    pub values: Vec<f64>,
}

/// Mean shares in at most `n` equal parts of the range of x. `points` must be in the order of x.
pub fn thinned_shares(points: &[Shares], n: usize) -> Vec<Shares> {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return Vec::new() };
    let span = last.x - first.x;
    let part = |point: &Shares| match span > 0.0 {
        true => (((point.x - first.x) / span * n as f64) as usize).min(n - 1),
        false => 0,
    };
    let mean_shares = |points: &[Shares]| Shares {
        x: points.iter().map(|point| point.x).sum::<f64>() / points.len() as f64,
        values: (0..points[0].values.len())
            .map(|index| points.iter().map(|point| point.values[index]).sum::<f64>() / points.len() as f64)
            .collect(),
    };
    points.chunk_by(|one, other| part(one) == part(other)).map(mean_shares).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn points(values: &[(f64, f64)]) -> Vec<Point> {
        values.iter().map(|&(x, y)| Point { x, y }).collect()
    }

    #[test]
    fn columns_are_what_a_person_computes() {
        let few = points(&[(0.0, 1.0), (0.0, 3.0), (4.0, 2.0)]);
        assert_eq!(thinned(&few, 3).len(), 3);
        assert_eq!(
            thinned(&few, 2),
            [Column { x: 0.0, middle: 2.0, low: 1.0, high: 3.0 }, Column { x: 4.0, middle: 2.0, low: 2.0, high: 2.0 }]
        );
        assert_eq!(thinned(&[], 2), []);
        // All at one place, as before the first update.
        assert_eq!(thinned(&points(&[(0.0, 1.0), (0.0, 2.0)]), 1).len(), 1);
    }

    #[test]
    fn runs_are_combined_where_they_are() {
        let runs = [points(&[(0.0, 0.0), (4.0, 4.0)]), points(&[(2.0, 8.0), (4.0, 8.0), (6.0, 9.0)])];
        let found = combined(&runs, 10);
        let expected = [
            Column { x: 0.0, middle: 0.0, low: 0.0, high: 0.0 },
            Column { x: 2.0, middle: 5.0, low: 2.0, high: 8.0 },
            Column { x: 4.0, middle: 6.0, low: 4.0, high: 8.0 },
            Column { x: 6.0, middle: 9.0, low: 9.0, high: 9.0 },
        ];
        assert_eq!(found, expected);
        // In two columns the last two measurements of the second run are one, at 5.
        assert_eq!(combined(&runs, 2).iter().map(|column| column.x).collect::<Vec<_>>(), [0.0, 5.0]);
        assert_eq!(combined(&[Vec::new(), runs[0].clone()], 10), thinned(&runs[0], 10));
    }

    #[test]
    fn shares_are_averaged_term_by_term() {
        let share = |x, one, other| Shares { x, values: vec![one, other] };
        let points = [share(0.0, 1.0, -1.0), share(1.0, 3.0, 0.0), share(10.0, 5.0, 5.0)];
        assert_eq!(thinned_shares(&points, 2), [share(0.5, 2.0, -0.5), share(10.0, 5.0, 5.0)]);
    }

    proptest! {
        #[test]
        fn thinning_loses_no_extreme(
            gaps in proptest::collection::vec((0_u32..20, -1e6..1e6), 0..400),
            n in 1_usize..50,
        ) {
            let mut x = 0.0;
            let points: Vec<Point> = gaps.into_iter().map(|(gap, y)| { x += f64::from(gap); Point { x, y } }).collect();
            let columns = thinned(&points, n);
            prop_assert!(columns.len() <= n);
            prop_assert!(columns.iter().all(|column| column.low <= column.middle && column.middle <= column.high));
            prop_assert!(columns.windows(2).all(|pair| pair[0].x <= pair[1].x));
            let highest = |values: &mut dyn Iterator<Item = f64>| values.reduce(f64::max);
            prop_assert_eq!(
                highest(&mut points.iter().map(|point| point.y)),
                highest(&mut columns.iter().map(|column| column.high))
            );
            prop_assert_eq!(
                highest(&mut points.iter().map(|point| -point.y)),
                highest(&mut columns.iter().map(|column| -column.low))
            );
            // Every measurement lies in the band of a column.
            for point in &points {
                prop_assert!(columns.iter().any(|column| column.low <= point.y && point.y <= column.high));
            }
        }

        #[test]
        fn combining_stays_within_the_runs(
            values in proptest::collection::vec(proptest::collection::vec(-10.0..10.0, 1..60), 1..5),
            n in 2_usize..30,
        ) {
            let run = |ys: &Vec<f64>| (0..).zip(ys).map(|(x, &y)| Point { x: f64::from(x), y }).collect::<Vec<_>>();
            let columns = combined(&values.iter().map(run).collect::<Vec<_>>(), n);
            prop_assert!(!columns.is_empty() && columns.len() <= n);
            prop_assert!(columns.iter().all(|column| -10.0 <= column.low
                && column.low <= column.middle && column.middle <= column.high && column.high <= 10.0));
        }
    }
}
