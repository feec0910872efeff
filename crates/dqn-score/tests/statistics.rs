//! Statistics over seeds against rliable 1.2.0.

use dqn_score::statistics::{
    ConfidenceInterval, aggregate_interquartile_mean, aggregate_mean, aggregate_median, aggregate_optimality_gap,
    interquartile_range, percentile_interval, performance_profile, probability_of_improvement, standard_deviation,
    stratified_resamples,
};
use serde::Deserialize;

/// What golden/make_rliable.py writes; scores are `[task][run]`.
#[derive(Deserialize)]
struct Golden {
    tool: String,
    version: String,
    thresholds: Vec<f64>,
    n_resamples: usize,
    bootstraps: Vec<Bootstrap>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Bootstrap {
    scores: Vec<Vec<f64>>,
    others: Option<Vec<Vec<f64>>>,
    confidence: f64,
    draws: Vec<usize>,
    intervals: Vec<(f64, f64)>,
}

#[derive(Deserialize)]
struct Case {
    scores: Vec<Vec<f64>>,
    others: Vec<Vec<f64>>,
    gamma: f64,
    mean: f64,
    median: f64,
    interquartile_mean: f64,
    optimality_gap: f64,
    probability_of_improvement: f64,
    performance_profile: Vec<f64>,
    standard_deviation: f64,
    interquartile_range: f64,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden/rliable.json")).expect("the golden file has this form")
}

fn check(name: &str, index: usize, found: f64, expected: f64) {
    assert!((found - expected).abs() <= 1e-9, "{name} of case {index}: {found}, expected {expected}");
}

#[test]
fn statistics_equal_those_of_rliable() {
    let golden = golden();
    assert_eq!((golden.tool.as_str(), golden.version.as_str()), ("rliable", "1.2.0"));
    assert!(golden.cases.len() >= 60);
    for (index, case) in golden.cases.iter().enumerate() {
        let (scores, pooled) = (&case.scores, case.scores.concat());
        let improvement = probability_of_improvement(scores, &case.others);
        for (name, found, expected) in [
            ("mean", aggregate_mean(scores), case.mean),
            ("median", aggregate_median(scores), case.median),
            ("interquartile mean", aggregate_interquartile_mean(scores), case.interquartile_mean),
            ("optimality gap", aggregate_optimality_gap(scores, case.gamma), case.optimality_gap),
            ("probability of improvement", improvement, case.probability_of_improvement),
            ("standard deviation", standard_deviation(&pooled), case.standard_deviation),
            ("interquartile range", interquartile_range(&pooled), case.interquartile_range),
        ] {
            check(name, index, found, expected);
        }
        let profile = performance_profile(scores, &golden.thresholds);
        assert_eq!(profile.len(), case.performance_profile.len());
        for (found, expected) in profile.into_iter().zip(&case.performance_profile) {
            check("performance profile", index, found, *expected);
        }
    }
}

#[test]
fn intervals_equal_those_of_rliable_on_its_draws() {
    let golden = golden();
    for (index, bootstrap) in golden.bootstraps.iter().enumerate() {
        let n_tasks = bootstrap.scores.len();
        let strata = [bootstrap.scores.clone(), bootstrap.others.clone().unwrap_or_default()].concat();
        let statistics = |strata: &[Vec<f64>]| {
            let (scores, others) = strata.split_at(n_tasks);
            if !others.is_empty() {
                return vec![probability_of_improvement(scores, others)];
            }
            let mut statistics = vec![
                aggregate_mean(scores),
                aggregate_median(scores),
                aggregate_interquartile_mean(scores),
                aggregate_optimality_gap(scores, 1.0),
            ];
            statistics.extend(performance_profile(scores, &golden.thresholds));
            statistics
        };
        let mut draws = bootstrap.draws.iter();
        let resamples = stratified_resamples(&strata, golden.n_resamples, |_| *draws.next().unwrap(), statistics);
        assert!(draws.next().is_none(), "bootstrap {index} has draws left");
        assert_eq!(resamples[0].len(), bootstrap.intervals.len());
        for (place, &(low, high)) in bootstrap.intervals.iter().enumerate() {
            let statistic: Vec<_> = resamples.iter().map(|statistics| statistics[place]).collect();
            let found: ConfidenceInterval = percentile_interval(&statistic, bootstrap.confidence);
            check("lower end", index, found.low, low);
            check("upper end", index, found.high, high);
        }
    }
}

#[test]
fn the_golden_cases_hold_every_case() {
    let golden = golden();
    let holds = |case: fn(&Case) -> bool| assert!(golden.cases.iter().filter(|found| case(found)).count() >= 3);
    holds(|case| case.scores == case.others);
    holds(|case| case.scores.len() == 1);
    holds(|case| case.scores[0].len() == 1);
    holds(|case| case.scores[0].iter().any(|score| case.others[0].contains(score)) && case.scores != case.others);
    assert!(golden.bootstraps.iter().any(|bootstrap| bootstrap.others.is_some()));
}
