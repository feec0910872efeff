//! What is searched: ranges of settings, and the draws from them.

use std::collections::BTreeMap;

use dqn_mdp::Seed;
use rand::RngExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The values that a setting may take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ParameterRange {
    /// One of these.
    Values(#[schemars(length(min = 1))] Vec<Value>),
    /// A number between two, each as likely as another.
    Uniform([f64; 2]),
    /// A number between two above 0 whose logarithm is uniform: each order of magnitude is as likely as another.
    LogUniform([f64; 2]),
    /// An integer from the first to the second, both included, each as likely as another.
    IntUniform([i64; 2]),
}

/// The searched settings of a trial by their keys.
pub type Settings = BTreeMap<String, Value>;

impl ParameterRange {
    /// What is wrong with it: what was found and what is allowed.
    pub(super) fn fault(&self) -> Option<(String, &'static str)> {
        let found = |low: &dyn std::fmt::Debug, high: &dyn std::fmt::Debug| format!("[{low:?}, {high:?}]");
        match self {
            ParameterRange::Values(values) => {
                let repeated = values.iter().enumerate().find(|(index, value)| values[..*index].contains(value));
                repeated.map(|(_, value)| (format!("{value} twice"), "values that differ from each other"))
            }
            ParameterRange::Uniform([low, high]) => {
                let is_sound = low.is_finite() && high.is_finite() && low < high;
                (!is_sound).then(|| (found(low, high), "two finite numbers, the lower one first"))
            }
            ParameterRange::LogUniform([low, high]) => {
                let is_sound = *low > 0.0 && high.is_finite() && low < high;
                (!is_sound).then(|| (found(low, high), "two finite numbers above 0, the lower one first"))
            }
            ParameterRange::IntUniform([low, high]) => {
                (low >= high).then(|| (found(low, high), "two integers, the lower one first"))
            }
        }
    }

    /// All values, where they can be counted.
    pub(super) fn all(&self) -> Option<Vec<Value>> {
        match self {
            ParameterRange::Values(values) => Some(values.clone()),
            ParameterRange::IntUniform([low, high]) => Some((*low..=*high).map(Value::from).collect()),
            ParameterRange::Uniform(_) | ParameterRange::LogUniform(_) => None,
        }
    }

    /// How many values there are, where they can be counted.
    pub(super) fn len(&self) -> Option<u128> {
        match self {
            ParameterRange::Values(values) => Some(values.len() as u128),
            ParameterRange::IntUniform([low, high]) => Some((i128::from(*high) - i128::from(*low) + 1).max(0) as u128),
            ParameterRange::Uniform(_) | ParameterRange::LogUniform(_) => None,
        }
    }

    /// Values that show whether an experiment takes this setting: each that is listed, or the ends.
    pub fn probes(&self) -> Vec<Value> {
        match self {
            ParameterRange::Values(values) => values.clone(),
            ParameterRange::Uniform(ends) | ParameterRange::LogUniform(ends) => ends.map(Value::from).to_vec(),
            ParameterRange::IntUniform(ends) => ends.map(Value::from).to_vec(),
        }
    }

    /// A value drawn from the range.
    ///
    /// ```text
    /// uniform:      low + (high - low) u
    /// log-uniform:  exp(ln low + (ln high - ln low) u)        u uniform on [0, 1)
    /// ```
    fn draw(&self, rng: &mut impl RngExt) -> Value {
        match self {
            ParameterRange::Values(values) => values[rng.random_range(0..values.len())].clone(),
            ParameterRange::Uniform([low, high]) => {
                // Not low + (high - low) u, which overflows between the largest numbers.
                let share: f64 = rng.random();
                Value::from(rounded(low * (1.0 - share) + high * share).clamp(*low, *high))
            }
            ParameterRange::LogUniform([low, high]) => {
                let share: f64 = rng.random();
                let drawn = (low.ln() * (1.0 - share) + high.ln() * share).exp();
                Value::from(rounded(drawn).clamp(*low, *high))
            }
            ParameterRange::IntUniform([low, high]) => Value::from(rng.random_range(*low..=*high)),
        }
    }
}

/// A number to four significant digits, so that what a table shows is what was run.
fn rounded(value: f64) -> f64 {
    format!("{value:.3e}").parse().expect("a number that was written is one that can be read")
}

/// Every combination of the values, the last key changing fastest.
pub(super) fn grid(space: &BTreeMap<String, ParameterRange>) -> Vec<Settings> {
    space.iter().fold(vec![Settings::new()], |points, (key, range)| {
        let values = range.all().expect("a grid was found to be of ranges that can be counted");
        let with = |point: &Settings, value: &Value| {
            let mut point = point.clone();
            point.insert(key.clone(), value.clone());
            point
        };
        points.iter().flat_map(|point| values.iter().map(move |value| with(point, value))).collect()
    })
}

/// The settings of the trial with this number.
///
/// Each key of each trial has a random stream of its own: neither more trials nor more keys change what is drawn for
/// the others.
pub(super) fn drawn(space: &BTreeMap<String, ParameterRange>, seed: u64, trial: usize) -> Settings {
    let draw = |(key, range): (&String, &ParameterRange)| {
        let mut rng = Seed(seed).stream(&format!("sweep trial {trial} {key}"));
        (key.clone(), range.draw(&mut rng))
    };
    space.iter().map(draw).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn space(text: &str) -> BTreeMap<String, ParameterRange> {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn a_grid_is_complete_and_ordered() {
        let space = space("b = { values = [1, 3] }\na = { values = [\"x\", \"y\"] }\nc = { int_uniform = [5, 7] }");
        let points: Vec<Value> =
            grid(&space).into_iter().map(|point| json!([point["a"], point["b"], point["c"]])).collect();
        let expected = [
            ("x", 1, 5),
            ("x", 1, 6),
            ("x", 1, 7),
            ("x", 3, 5),
            ("x", 3, 6),
            ("x", 3, 7),
            ("y", 1, 5),
            ("y", 1, 6),
            ("y", 1, 7),
            ("y", 3, 5),
            ("y", 3, 6),
            ("y", 3, 7),
        ];
        assert_eq!(points, expected.map(|point| json!(point)));
    }

    #[test]
    fn what_is_drawn_depends_on_seed_trial_and_key_alone() {
        let one = space("rate = { log_uniform = [1e-5, 1e-1] }");
        let two = space("rate = { log_uniform = [1e-5, 1e-1] }\nwidth = { int_uniform = [1, 1000000] }");
        for trial in 1..20 {
            assert_eq!(drawn(&one, 1, trial)["rate"], drawn(&two, 1, trial)["rate"]);
            assert_ne!(drawn(&two, 1, trial), drawn(&two, 2, trial));
            assert_ne!(drawn(&two, 1, trial), drawn(&two, 1, trial + 1));
        }
    }

    #[test]
    fn each_order_of_magnitude_is_as_likely_as_another() {
        let space = space("rate = { log_uniform = [1e-4, 1e-1] }\nshare = { uniform = [0, 3] }");
        let mut counts = [[0; 3]; 2];
        for trial in 0..3_000 {
            let point = drawn(&space, 7, trial);
            let [rate, share] = ["rate", "share"].map(|key| point[key].as_f64().unwrap());
            counts[0][((rate.log10() + 4.0).floor() as usize).min(2)] += 1;
            counts[1][(share.floor() as usize).min(2)] += 1;
        }
        // 1,000 expected in each; five standard deviations are 5 sqrt(3000 * 1/3 * 2/3) = 129.
        assert!(counts.iter().flatten().all(|count| (871..=1_129).contains(count)), "{counts:?}");
    }

    #[test]
    fn ranges_without_values_are_told() {
        for (range, expected) in [
            ("{ values = [1, 2, 1] }", Some("1 twice")),
            ("{ uniform = [1.0, 1.0] }", Some("[1.0, 1.0]")),
            ("{ uniform = [0.0, inf] }", Some("[0.0, inf]")),
            ("{ log_uniform = [0.0, 1.0] }", Some("[0.0, 1.0]")),
            ("{ log_uniform = [1e-4, 1e-2] }", None),
            ("{ int_uniform = [3, 2] }", Some("[3, 2]")),
            ("{ int_uniform = [-1, 2] }", None),
        ] {
            let found = space(&format!("a = {range}"))["a"].fault().map(|(found, _)| found);
            assert_eq!(found.as_deref(), expected, "{range}");
        }
        assert_eq!(ParameterRange::IntUniform([i64::MIN, i64::MAX]).len(), Some(1 << 64));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn draws_lie_within_their_bounds(
            low in -1e6..1e6, width in 1e-9..1e6, exponent in -8.0..2.0, whole in -1000_i64..1000, seed: u64,
        ) {
            let positive = 10.0_f64.powf(exponent);
            let space = BTreeMap::from([
                ("uniform".to_owned(), ParameterRange::Uniform([low, low + width])),
                ("log".to_owned(), ParameterRange::LogUniform([positive, positive * (1.0 + width)])),
                ("int".to_owned(), ParameterRange::IntUniform([whole, whole + 3])),
                ("values".to_owned(), ParameterRange::Values(vec![json!(1), json!({ "kind": "max" })])),
            ]);
            for trial in 0..5 {
                let point = drawn(&space, seed, trial);
                prop_assert_eq!(&point, &drawn(&space, seed, trial));
                let number = |key: &str| point[key].as_f64().unwrap();
                prop_assert!((low..=low + width).contains(&number("uniform")), "{:?}", point);
                prop_assert!((positive..=positive * (1.0 + width)).contains(&number("log")), "{:?}", point);
                prop_assert!((whole..=whole + 3).contains(&point["int"].as_i64().unwrap()), "{:?}", point);
                let is_listed = [json!(1), json!({ "kind": "max" })].contains(&point["values"]);
                prop_assert!(is_listed, "{:?}", point);
            }
        }
    }
}
