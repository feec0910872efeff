//! Runs that differ in their seed only, taken together.

use std::collections::BTreeMap;

use crate::RunFiles;

/// The setting in which the runs of a group differ.
const SEED: &str = "seed";

/// Most settings that are named to tell groups of one name apart.
const MOST_NAMED: usize = 3;

/// Runs of one experiment.
#[derive(Clone, Debug)]
pub struct Group<'a> {
    /// The name of the experiment and, where another group has it too, the settings in which they differ.
    pub label: String,
    /// The runs, in the order given.
    pub runs: Vec<&'a RunFiles>,
}

impl Group<'_> {
    /// Their seeds, divided by commas.
    pub fn seeds(&self) -> String {
        self.runs.iter().map(|run| run.seed.to_string()).collect::<Vec<_>>().join(", ")
    }
}

/// A setting in which groups differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its key path.
    pub key: String,
    /// Its value in each group, as TOML; nothing where a group does not have it.
    pub values: Vec<Option<String>>,
}

fn settings(run: &RunFiles) -> impl Iterator<Item = (&String, &String)> {
    run.settings.iter().filter(|(key, _)| *key != SEED)
}

/// Groups of runs with the same settings but for the seed, in the order of their first runs.
pub fn groups(runs: &[RunFiles]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for run in runs {
        match groups.iter_mut().find(|group| settings(group.runs[0]).eq(settings(run))) {
            Some(group) => group.runs.push(run),
            None => groups.push(Group { label: run.name.clone(), runs: vec![run] }),
        }
    }
    let mut by_name: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, group) in groups.iter().enumerate() {
        by_name.entry(&group.runs[0].name).or_default().push(index);
    }
    let labels: Vec<(usize, String)> = by_name
        .values()
        .filter(|members| members.len() > 1)
        .flat_map(|members| {
            let first_runs: Vec<&RunFiles> = members.iter().map(|&index| groups[index].runs[0]).collect();
            let differences = differing(&first_runs);
            let label = move |(place, &index): (usize, &usize)| (index, label_of(&differences, place));
            members.iter().enumerate().map(label).collect::<Vec<_>>()
        })
        .collect();
    for (index, label) in labels {
        groups[index].label += &label;
    }
    groups
}

fn label_of(differences: &[Difference], place: usize) -> String {
    let shown = |difference: &Difference| match &difference.values[place] {
        Some(value) => format!("{}={value}", difference.key),
        None => format!("no {}", difference.key),
    };
    let mut named: Vec<String> = differences.iter().take(MOST_NAMED).map(shown).collect();
    if differences.len() > MOST_NAMED {
        named.push("…".to_owned());
    }
    format!(" ({})", named.join(", "))
}

/// The settings in which groups differ, but for the seed.
pub fn differences(groups: &[Group<'_>]) -> Vec<Difference> {
    differing(&groups.iter().map(|group| group.runs[0]).collect::<Vec<_>>())
}

fn differing(runs: &[&RunFiles]) -> Vec<Difference> {
    let mut keys: Vec<&String> = runs.iter().flat_map(|run| settings(run)).map(|(key, _)| key).collect();
    keys.sort();
    keys.dedup();
    let values = |key: &String| runs.iter().map(|run| run.settings.get(key).cloned()).collect::<Vec<_>>();
    keys.into_iter()
        .map(|key| Difference { key: key.clone(), values: values(key) })
        .filter(|difference| difference.values.windows(2).any(|pair| pair[0] != pair[1]))
        .collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use dqn_train::run::metrics::Record;

    use super::*;

    /// A run with these settings and one measurement.
    pub(crate) fn run(name: &str, seed: i64, settings: &[(&str, &str)]) -> RunFiles {
        let settings = settings.iter().map(|&(key, value)| (key.to_owned(), value.to_owned()));
        let own = [("name".to_owned(), format!("\"{name}\"")), ("seed".to_owned(), seed.to_string())];
        RunFiles {
            path: format!("runs/{name}-{seed}").into(),
            name: name.to_owned(),
            seed,
            program_version: "0.1.0".to_owned(),
            backend: "flex".to_owned(),
            begun: None,
            measured: None,
            config: String::new(),
            settings: settings.chain(own).collect(),
            records: vec![Record { update: 0, step: 0, episode: 0, wall_seconds: 0.0, scalars: BTreeMap::new() }],
            samples: Vec::new(),
            report: None,
        }
    }

    #[test]
    fn seeds_are_taken_together_and_other_settings_are_named() {
        let runs = [
            run("maze", 1, &[("learner.n_step", "1")]),
            run("walk", 1, &[("learner.n_step", "1")]),
            run("maze", 2, &[("learner.n_step", "3"), ("prior.kind", "\"ngram\"")]),
            run("maze", 3, &[("learner.n_step", "1")]),
        ];
        let groups = groups(&runs);
        let found: Vec<(&str, String)> = groups.iter().map(|group| (group.label.as_str(), group.seeds())).collect();
        let expected = [
            ("maze (learner.n_step=1, no prior.kind)", "1, 3".to_owned()),
            ("walk", "1".to_owned()),
            ("maze (learner.n_step=3, prior.kind=\"ngram\")", "2".to_owned()),
        ];
        assert_eq!(found, expected);
        let differences = differences(&groups);
        let keys: Vec<&str> = differences.iter().map(|difference| difference.key.as_str()).collect();
        assert_eq!(keys, ["learner.n_step", "name", "prior.kind"]);
        assert_eq!(differences[2].values, [None, None, Some("\"ngram\"".to_owned())]);
    }
}
