//! Evaluations as tables that can be read as Markdown, too.

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use dqn_report::columns::columns_of;
use dqn_train::evaluation::Evaluation;

/// One row for each `subject`, such as a policy; columns in which no row has a value are left out.
pub(crate) fn evaluations(subject: &str, rows: &[&Evaluation]) -> String {
    let columns = columns_of(rows);
    let heads = columns.iter().map(|(head, _)| (*head).to_owned());
    let cells = rows.iter().map(|row| {
        let values = columns.iter().map(|(_, cell)| cell(row).unwrap_or_default());
        std::iter::once(row.policy.clone()).chain(values).collect()
    });
    written(std::iter::once(subject.to_owned()).chain(heads).collect(), cells)
}

/// What each term of the reward gave each policy, on the average of its episodes.
pub(crate) fn terms(rows: &[&Evaluation]) -> Option<String> {
    let mut names: Vec<&String> = rows.iter().flat_map(|row| row.terms.keys()).collect();
    names.sort();
    names.dedup();
    if names.is_empty() {
        return None;
    }
    let heads = std::iter::once("policy".to_owned()).chain(names.iter().map(|name| (*name).clone())).collect();
    let cells = rows.iter().map(|row| {
        let shares =
            names.iter().map(|name| row.terms.get(*name).map_or_else(String::new, |share| format!("{share:.3}")));
        std::iter::once(row.policy.clone()).chain(shares).collect()
    });
    Some(written(heads, cells))
}

/// A table whose first column is text and whose other columns are numbers.
pub(crate) fn written(heads: Vec<String>, rows: impl Iterator<Item = Vec<String>>) -> String {
    let n_columns = heads.len();
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_content_arrangement(ContentArrangement::Disabled).set_header(heads);
    table.add_rows(rows);
    for index in 1..n_columns {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.to_string()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use dqn_text::split::Split;
    use dqn_train::stats::Interval;

    use super::*;

    pub(crate) fn row(policy: &str, split: Split, mean: f64) -> Evaluation {
        Evaluation {
            score: None,
            diagnostics: None,
            unjudged: false,
            held_out: None,
            policy: policy.to_owned(),
            split,
            returns: Vec::new(),
            learned_minus: None,
            episode_return: Interval { mean, low: mean - 0.5, high: mean + 0.5 },
            terms: BTreeMap::new(),
            form_kept: None,
            policy_perplexity: None,
            reference_perplexity: None,
            bleu: None,
            bleu_signature: None,
            answers: None,
            distinct_2: None,
            unique: None,
            copied_5: None,
            taken_for_human: None,
            divergence: None,
            seconds: None,
            n_steps: 4.0,
            n_episodes: 2,
            seed: 0,
        }
    }

    #[test]
    fn columns_without_values_are_left_out() {
        let mut rows = [row("human", Split::Test, 1.0), row("uniform random", Split::Test, -2.25)];
        rows[0].form_kept = Some(0.9876);
        let expected = "\
| policy         | return [95 % interval]   | form kept | steps |\n\
|----------------|--------------------------|-----------|-------|\n\
| human          |     1.000 [0.500, 1.500] |    98.8 % |   4.0 |\n\
| uniform random | -2.250 [-2.750, -1.750]  |           |   4.0 |";
        let found = evaluations("policy", &rows.iter().collect::<Vec<_>>());
        let squeezed = |text: &str| text.replace("--", "-").split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(squeezed(&found).replace('-', ""), squeezed(expected).replace('-', ""), "{found}");
        assert_eq!(found.lines().map(str::len).max(), found.lines().map(str::len).min(), "{found}");
    }

    #[test]
    fn terms_of_all_rows_are_shown() {
        let mut rows = [row("a", Split::Test, 0.0), row("b", Split::Test, 0.0)];
        assert_eq!(terms(&[&rows[0], &rows[1]]), None);
        rows[0].terms.insert("form".to_owned(), 0.5);
        rows[1].terms.insert("bleu".to_owned(), -0.25);
        let found = terms(&[&rows[0], &rows[1]]).unwrap();
        let cells: Vec<Vec<&str>> = found.lines().map(|line| line.split('|').map(str::trim).collect()).collect();
        assert_eq!(cells[0], ["", "policy", "bleu", "form", ""]);
        assert_eq!(cells[2], ["", "a", "", "0.500", ""]);
        assert_eq!(cells[3], ["", "b", "-0.250", "", ""]);
    }
}
