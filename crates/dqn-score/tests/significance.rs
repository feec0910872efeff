//! Significance tests against sacreBLEU 2.6.0 over the same draws, and against tables that a person can recompute.

use std::ops::AddAssign;

use dqn_score::{
    Bleu, BleuConfig, Chrf, ChrfConfig, ConfidenceInterval, CorpusMetric, PairedBootstrap, PairedRandomization,
    ScoreError, Ter, TerConfig, bootstrap_interval, bootstrap_resamples, paired_bootstrap, paired_randomization,
    random_swaps,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::Deserialize;

/// What golden/make_significance.py writes.
#[derive(Deserialize)]
struct Golden {
    tool: String,
    version: String,
    cases: Vec<Case>,
    many: Vec<Many>,
}

#[derive(Deserialize)]
struct Texts {
    metric: String,
    references: Vec<String>,
    baseline: Vec<String>,
    system: Vec<String>,
}

/// Both tests over draws that are given.
#[derive(Deserialize)]
struct Case {
    #[serde(flatten)]
    texts: Texts,
    resamples: Vec<String>,
    swaps: Vec<String>,
    scores: [f64; 2],
    #[serde(flatten)]
    results: Results,
    single_precision: Results,
}

/// Both tests over many draws that are not.
#[derive(Deserialize)]
struct Many {
    #[serde(flatten)]
    texts: Texts,
    #[serde(flatten)]
    results: Results,
}

/// Of the baseline and of the system, but for the p-values.
#[derive(Deserialize)]
struct Results {
    means: [f64; 2],
    half_widths: [f64; 2],
    bootstrap_p: f64,
    randomization_p: f64,
}

fn golden() -> Golden {
    let golden: Golden = serde_json::from_str(include_str!("golden/significance.json")).expect("the file is JSON");
    assert_eq!((golden.tool.as_str(), golden.version.as_str()), ("sacrebleu", "2.6.0"));
    golden
}

type Tests = (PairedBootstrap, PairedRandomization);

/// Both tests of the metric that `texts` names.
fn both_tests(texts: &Texts, resamples: &[Vec<usize>], swaps: &[Vec<bool>]) -> Tests {
    fn run<M: CorpusMetric>(metric: &M, texts: &Texts, resamples: &[Vec<usize>], swaps: &[Vec<bool>]) -> Tests {
        let references: Vec<Vec<&str>> = texts.references.iter().map(|line| vec![line.as_str()]).collect();
        let [baseline, system] = [&texts.baseline, &texts.system].map(|lines| {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            metric.segments(&lines, &references).expect("lines have references")
        });
        let bootstrap = paired_bootstrap(metric, &baseline, &system, resamples.to_vec()).expect("resamples fit");
        let interval = bootstrap_interval(metric, &system, resamples.to_vec()).expect("resamples fit");
        assert_eq!(interval, bootstrap.system_interval);
        let randomization = paired_randomization(metric, &baseline, &system, swaps.to_vec()).expect("swaps fit");
        (bootstrap, randomization)
    }
    match texts.metric.as_str() {
        "bleu" => run(&Bleu::new(BleuConfig::default()), texts, resamples, swaps),
        "chrf" => run(&Chrf::new(ChrfConfig::default()).expect("the orders are allowed"), texts, resamples, swaps),
        "chrf++" => run(&Chrf::new(ChrfConfig::plus_plus()).expect("the orders are allowed"), texts, resamples, swaps),
        "ter" => run(&Ter::new(TerConfig::default()), texts, resamples, swaps),
        other => panic!("{other} is no metric"),
    }
}

fn close(found: f64, expected: f64, tolerance: f64) -> bool {
    (found - expected).abs() <= tolerance
}

#[test]
fn given_draws_give_what_sacrebleu_says() {
    let cases = golden().cases;
    assert!(cases.len() >= 200);
    let mut n_rounded_apart = 0;
    for (index, case) in cases.iter().enumerate() {
        let digit = |char: char| char.to_digit(36).unwrap() as usize;
        let resamples: Vec<Vec<usize>> = case.resamples.iter().map(|row| row.chars().map(digit).collect()).collect();
        let swaps: Vec<Vec<bool>> =
            case.swaps.iter().map(|row| row.chars().map(|char| char == '1').collect()).collect();
        let (bootstrap, randomization) = both_tests(&case.texts, &resamples, &swaps);
        let place = format!("case {index}, {}", case.texts.metric);
        assert!(close(bootstrap.baseline, case.scores[0], 1e-9), "{place}: {bootstrap:?}");
        assert!(close(bootstrap.system, case.scores[1], 1e-9), "{place}: {bootstrap:?}");
        assert_eq!((randomization.baseline, randomization.system), (bootstrap.baseline, bootstrap.system), "{place}");
        let intervals = [bootstrap.baseline_interval, bootstrap.system_interval];
        // sacreBLEU's own figures come from single precision: seven digits of a score up to some hundreds.
        for (results, tolerance) in [(&case.results, 1e-9), (&case.single_precision, 1e-3)] {
            for (interval, (mean, half_width)) in intervals.iter().zip(results.means.iter().zip(results.half_widths)) {
                assert!(close(interval.mean, *mean, tolerance), "{place}: {interval:?}, expected {mean}");
                assert!(close(interval.half_width, half_width, tolerance), "{place}: {interval:?}, {half_width}");
            }
        }
        assert!(close(bootstrap.p_value, case.results.bootstrap_p, 1e-9), "{place}: {bootstrap:?}");
        assert!(close(randomization.p_value, case.results.randomization_p, 1e-9), "{place}: {randomization:?}");
        // Trials are not resampled in single precision.
        assert!(close(randomization.p_value, case.single_precision.randomization_p, 1e-9), "{place}");
        n_rounded_apart += usize::from(!close(bootstrap.p_value, case.single_precision.bootstrap_p, 1e-9));
    }
    // Only a tie can be decided by the precision.
    assert!(n_rounded_apart <= cases.len() / 50, "{n_rounded_apart} p-values differ from single precision");
}

#[test]
fn own_draws_agree_with_sacrebleu_within_chance() {
    for (index, many) in golden().many.iter().enumerate() {
        let n = many.texts.system.len();
        let mut rng = ChaCha8Rng::seed_from_u64(7 + index as u64);
        let resamples: Vec<Vec<usize>> = bootstrap_resamples(n, 1000, &mut rng).collect();
        let swaps: Vec<Vec<bool>> = random_swaps(n, 10_000, &mut rng).collect();
        let (bootstrap, randomization) = both_tests(&many.texts, &resamples, &swaps);
        // Four standard errors of the difference of two shares.
        let error = |p: f64, n: f64| 4.0 * (2.0 * p * (1.0 - p) / n).sqrt() + 2.0 / n;
        let results = &many.results;
        for (found, expected, n) in [
            (bootstrap.p_value, results.bootstrap_p, 1000.0),
            (randomization.p_value, results.randomization_p, 10_000.0),
        ] {
            assert!(close(found, expected, error(expected, n)), "test {index}: {found}, expected {expected}");
        }
        let intervals = [bootstrap.baseline_interval, bootstrap.system_interval];
        for (interval, (mean, half_width)) in intervals.iter().zip(results.means.iter().zip(results.half_widths)) {
            // Half a width is two standard deviations, and the mean of 1000 is 32 times as sure.
            assert!(close(interval.mean, *mean, 0.1 * half_width), "test {index}: {interval:?}, expected {mean}");
            assert!(
                close(interval.half_width, half_width, 0.2 * half_width),
                "test {index}: {interval:?}, {half_width}"
            );
        }
    }
}

/// The sum of numbers, for tables.
struct Sum;

#[derive(Clone, Debug, PartialEq)]
struct Number(f64);

impl AddAssign<&Self> for Number {
    fn add_assign(&mut self, other: &Self) {
        self.0 += other.0;
    }
}

impl CorpusMetric for Sum {
    type Statistics = Number;

    fn name(&self) -> String {
        "sum".to_owned()
    }

    fn segment(&self, hypothesis: &str, _: &[&str]) -> Number {
        Number(hypothesis.parse().expect("the text is a number"))
    }

    fn corpus_score(&self, statistics: &Number) -> f64 {
        statistics.0
    }
}

fn numbers(values: &[f64]) -> Vec<Number> {
    values.iter().copied().map(Number).collect()
}

#[test]
fn tests_by_hand() {
    let (baseline, system) = (numbers(&[1.0, 2.0]), numbers(&[2.0, 5.0]));
    // Scores 3 and 7, difference 4. Resampled differences 2, 6, 4, 4, 6 have the mean 4.4: none strays by more than 4.
    let resamples = [[0, 0], [1, 1], [0, 1], [1, 0], [1, 1]].map(Vec::from);
    let found = paired_bootstrap(&Sum, &baseline, &system, resamples.clone()).unwrap();
    let expected = PairedBootstrap {
        baseline: 3.0,
        system: 7.0,
        baseline_interval: ConfidenceInterval { mean: 16.0 / 5.0, half_width: 1.0 },
        system_interval: ConfidenceInterval { mean: 38.0 / 5.0, half_width: 3.0 },
        p_value: 1.0 / 6.0,
    };
    assert_eq!(found, expected);
    // Swapping both or none keeps the difference of 4, which is no more than the real one; swapping one makes it 2.
    let swaps = [[true, true], [false, false], [true, false], [false, true]].map(Vec::from);
    let found = paired_randomization(&Sum, &baseline, &system, swaps.clone()).unwrap();
    assert_eq!(found, PairedRandomization { baseline: 3.0, system: 7.0, p_value: 1.0 / 5.0 });
    // Scores 3 and 3: swapping one of the segments makes a difference of 2.
    let found = paired_randomization(&Sum, &baseline, &numbers(&[2.0, 1.0]), swaps).unwrap();
    assert_eq!(found.p_value, 3.0 / 5.0);
    // Resampled differences 2, 2, 0, 0, 2 around 1.2, of a real difference of 0.
    let found = paired_bootstrap(&Sum, &baseline, &numbers(&[2.0, 1.0]), resamples).unwrap();
    assert_eq!(found.p_value, 4.0 / 6.0);
    // Of 80 resamples, the two lowest and the two highest stay outside of the interval.
    let resamples = (0..80).map(|resample| vec![resample; 80]);
    let segments: Vec<Number> = (0..80).map(|value| Number(f64::from(value) / 80.0)).collect();
    let found = bootstrap_interval(&Sum, &segments, resamples).unwrap();
    assert!(close(found.mean, 39.5, 1e-9) && close(found.half_width, (77.0 - 2.0) / 2.0, 1e-9), "{found:?}");
}

#[test]
fn a_system_against_itself_gets_the_smallest_p_value() {
    let segments = numbers(&[1.0, 4.0, 2.0]);
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let resamples: Vec<_> = bootstrap_resamples(3, 99, &mut rng).collect();
    assert_eq!(paired_bootstrap(&Sum, &segments, &segments, resamples).unwrap().p_value, 0.01);
    let swaps: Vec<_> = random_swaps(3, 99, &mut rng).collect();
    assert_eq!(paired_randomization(&Sum, &segments, &segments, swaps).unwrap().p_value, 0.01);
}

#[test]
fn tests_do_not_depend_on_which_system_is_the_baseline() {
    let (baseline, system) = (numbers(&[1.0, 4.0, 2.0, 0.0]), numbers(&[2.0, 2.0, 7.0, 1.0]));
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let resamples: Vec<_> = bootstrap_resamples(4, 200, &mut rng).collect();
    let there = paired_bootstrap(&Sum, &baseline, &system, resamples.clone()).unwrap();
    let back = paired_bootstrap(&Sum, &system, &baseline, resamples).unwrap();
    assert_eq!((there.p_value, there.system_interval), (back.p_value, back.baseline_interval));
    let swaps: Vec<_> = random_swaps(4, 200, &mut rng).collect();
    let there = paired_randomization(&Sum, &baseline, &system, swaps.clone()).unwrap();
    let back = paired_randomization(&Sum, &system, &baseline, swaps).unwrap();
    assert_eq!(there.p_value, back.p_value);
}

#[test]
fn draws_are_even_and_repeat_with_the_seed() {
    let draw =
        |seed| -> Vec<Vec<usize>> { bootstrap_resamples(5, 2000, &mut ChaCha8Rng::seed_from_u64(seed)).collect() };
    assert_eq!(draw(3), draw(3));
    assert_ne!(draw(3), draw(4));
    let mut counts = [0_u32; 5];
    draw(3).iter().flatten().for_each(|segment| counts[*segment] += 1);
    // 10,000 draws of one in five: 40 is the standard deviation.
    assert!(counts.iter().all(|count| count.abs_diff(2000) < 200), "{counts:?}");
    let swaps: Vec<Vec<bool>> = random_swaps(5, 2000, &mut ChaCha8Rng::seed_from_u64(3)).collect();
    let n_swaps = swaps.iter().flatten().filter(|swap| **swap).count();
    assert!(n_swaps.abs_diff(5000) < 250, "{n_swaps}");
}

#[test]
fn bad_input_is_refused() {
    let (one, two) = (numbers(&[1.0]), numbers(&[1.0, 2.0]));
    let error = |found: Result<PairedBootstrap, ScoreError>| found.unwrap_err().to_string();
    let found = error(paired_bootstrap(&Sum, &one, &two, [vec![0]]));
    assert_eq!(found, "the baseline has 1 segments and the system 2; both need the same ones");
    let found = error(paired_bootstrap(&Sum, &two, &two, []));
    assert_eq!(found, "there are no resamples of the segments; at least one is needed");
    let found = error(paired_bootstrap(&Sum, &two, &two, [vec![0, 0], vec![0]]));
    assert_eq!(found, "resample 1 has 1 entries; there are 2 segments");
    let found = error(paired_bootstrap(&Sum, &two, &two, [vec![0, 2]]));
    assert_eq!(found, "resample 0 names segment 2; there are 2 segments, from 0");
    assert!(matches!(bootstrap_interval(&Sum, &[], [vec![]]), Err(ScoreError::NoHypotheses)));
    assert!(matches!(bootstrap_interval(&Sum, &one, [vec![1]]), Err(ScoreError::ResampleSegment { found: 1, .. })));
    let found = paired_randomization(&Sum, &two, &two, [vec![true]]);
    assert!(matches!(found, Err(ScoreError::ResampleLength { resample: 0, found: 1, n_segments: 2 })));
    assert!(matches!(paired_randomization(&Sum, &two, &two, []), Err(ScoreError::NoResamples)));
    assert!(bootstrap_resamples(0, 2, &mut ChaCha8Rng::seed_from_u64(0)).all(|resample| resample.is_empty()));
}
