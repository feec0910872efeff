//! The page that a table is.

use super::statistics::{N_RESAMPLES, Summary, difference};
use super::{Row, Table};

/// What the runs of a row gave.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RowResult {
    /// For each column one value a seed.
    pub(crate) columns: Vec<Vec<f64>>,
    /// For each seed how long it took to train.
    pub(crate) wall_seconds: Vec<f64>,
}

/// Where the figures come from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Origin {
    /// The command that makes the page again.
    pub(crate) command: String,
    /// The commit it was made at.
    pub(crate) commit: String,
    /// What it was made on.
    pub(crate) machine: String,
}

/// The table as Markdown; `results` are those of the rows.
pub(crate) fn markdown(table: &Table, results: &[RowResult], origin: &Origin) -> String {
    let mut page = format!("# {}\n\n", table.title);
    if let Some(text) = &table.text {
        page += &format!("{}\n\n", text.trim());
    }
    let seeds = table.seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    page += &format!(
        "Interquartile mean over the seeds {seeds} with its 95 % interval ({N_RESAMPLES} resamples of the seeds of each \
         row), smallest and largest value, on the {} part; seconds of training a run.\n\n",
        table.split
    );
    let compares = table.rows.iter().any(|row| row.against.is_some());
    page += &heading(table, compares);
    for (row, result) in table.rows.iter().zip(results) {
        page += &line(table, results, row, result, compares);
    }
    page += &format!(
        "\nMade by `{}` at commit {}, on {}. A row is `dqn-cli train` with one of the seeds and:\n\n",
        origin.command, origin.commit, origin.machine
    );
    for row in &table.rows {
        page += &format!("- {}: `{}`\n", row.name, row.arguments().join(" "));
    }
    page
}

fn heading(table: &Table, compares: bool) -> String {
    let mut cells = vec!["".to_owned()];
    for column in &table.columns {
        cells.extend([format!("{} [95 %]", column.name), "min".to_owned(), "max".to_owned()]);
    }
    if compares {
        cells.push(format!("{} minus that of", table.columns[0].name));
    }
    cells.push("seconds".to_owned());
    let rule = "|---".repeat(cells.len());
    format!("| {} |\n{rule}|\n", cells.join(" | "))
}

fn line(table: &Table, results: &[RowResult], row: &Row, result: &RowResult, compares: bool) -> String {
    let mut cells = vec![row.name.clone()];
    for values in &result.columns {
        let Summary { interquartile_mean, interval, least, most } = Summary::of(values);
        cells.extend([with_interval(interquartile_mean, interval), number(least), number(most)]);
    }
    if compares {
        let other = row.against.as_ref().and_then(|name| table.rows.iter().position(|row| row.name == *name));
        cells.push(other.map_or_else(String::new, |index| {
            let (minus, interval) = difference(&result.columns[0], &results[index].columns[0]);
            format!("{}: {}", table.rows[index].name, with_interval(minus, interval))
        }));
    }
    cells.push(format!("{:.0}", result.wall_seconds.iter().sum::<f64>() / result.wall_seconds.len() as f64));
    format!("| {} |\n", cells.join(" | "))
}

fn with_interval(value: f64, [low, high]: [f64; 2]) -> String {
    format!("{} [{}, {}]", number(value), number(low), number(high))
}

/// Three decimals; what rounds to nothing has no sign.
fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    if text == "-0.000" { "0.000".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_by_hand() {
        let table: Table = toml::from_str(
            r#"
            title = "Two rows"
            text = "What they are."
            seeds = [1, 2]
            columns = [{ name = "return", path = "a.b" }, { name = "steps", path = "c" }]
            [[rows]]
            name = "first"
            config = "configs/a.toml"
            [[rows]]
            name = "second"
            config = "configs/b.toml"
            set = ["network.noise=0.5", "name=x"]
            against = "first"
            "#,
        )
        .unwrap();
        let results = [
            RowResult { columns: vec![vec![0.25, 0.25], vec![10.0, 10.0]], wall_seconds: vec![1.0, 2.0] },
            RowResult { columns: vec![vec![0.0, 1.0], vec![-0.0001, -0.0001]], wall_seconds: vec![60.4, 60.4] },
        ];
        let origin = Origin { command: "make it".to_owned(), commit: "abc".to_owned(), machine: "a desk".to_owned() };
        let expected = "# Two rows\n\nWhat they are.\n\n\
            Interquartile mean over the seeds 1, 2 with its 95 % interval (10000 resamples of the seeds of each row), \
            smallest and largest value, on the test part; seconds of training a run.\n\n\
            |  | return [95 %] | min | max | steps [95 %] | min | max | return minus that of | seconds |\n\
            |---|---|---|---|---|---|---|---|---|\n\
            | first | 0.250 [0.250, 0.250] | 0.250 | 0.250 | 10.000 [10.000, 10.000] | 10.000 | 10.000 |  | 2 |\n\
            | second | 0.500 [0.000, 1.000] | 0.000 | 1.000 | 0.000 [0.000, 0.000] | 0.000 | 0.000 \
            | first: 0.250 [-0.250, 0.750] | 60 |\n\n\
            Made by `make it` at commit abc, on a desk. A row is `dqn-cli train` with one of the seeds and:\n\n\
            - first: `--config configs/a.toml`\n\
            - second: `--config configs/b.toml --set network.noise=0.5 --set name=x`\n";
        assert_eq!(markdown(&table, &results, &origin), expected);
    }
}
