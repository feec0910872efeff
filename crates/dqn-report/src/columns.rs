//! The columns of a table of evaluations.

use dqn_train::evaluation::Evaluation;
use dqn_train::stats::Interval;

/// A column: its head and its cells, where there is something to show.
pub type Column = (&'static str, fn(&Evaluation) -> Option<String>);

/// Every column, in order.
pub const COLUMNS: [Column; 24] = [
    ("return [95 % interval]", |row| (!row.unjudged).then(|| interval(row.episode_return))),
    ("value and reward, rank correlation", |row| row.held_out?.value_correlation.map(|value| format!("{value:.3}"))),
    ("policy and reward", |row| row.held_out.map(|found| format!("{:.3}", found.policy_correlation))),
    ("reward of its likeliest quarter", |row| {
        row.held_out.map(|found| format!("{:.3} of {:.3}", found.preferred_reward, found.mean_reward))
    }),
    ("learned minus it, paired", |row| row.learned_minus.map(interval)),
    ("KL, nats a text", |row| row.divergence.map(|value| format!("{value:.2}"))),
    ("seconds", |row| row.seconds.map(|value| format!("{value:.1}"))),
    ("score", |row| row.score.map(|value| format!("{value:.3}"))),
    ("over-estimation", |row| row.diagnostics?.over_estimation.map(|value| format!("{value:.3}"))),
    ("action gap", |row| row.diagnostics?.action_gap.map(|value| format!("{value:.3}"))),
    ("rank accuracy", |row| row.diagnostics?.rank_accuracy.map(|value| format!("{value:.3}"))),
    ("form kept", |row| row.form_kept.map(percent)),
    ("judge perplexity", |row| row.reference_perplexity.map(|value| format!("{value:.1}"))),
    ("policy perplexity", |row| row.policy_perplexity.map(|value| format!("{value:.1}"))),
    ("BLEU", |row| row.bleu.map(|value| format!("{value:.2}"))),
    ("chrF", |row| row.answers.map(|answers| format!("{:.2}", answers.chrf))),
    ("exact", |row| row.answers.map(|answers| percent(answers.exact))),
    ("WER", |row| row.answers.map(|answers| percent(answers.word_error_rate))),
    ("CER", |row| row.answers.map(|answers| percent(answers.character_error_rate))),
    ("distinct-2", |row| row.distinct_2.map(|value| format!("{value:.3}"))),
    ("unique", |row| row.unique.map(percent)),
    ("copied 5-grams", |row| row.copied_5.map(percent)),
    ("taken for human", |row| row.taken_for_human.map(percent)),
    ("steps", |row| Some(format!("{:.1}", row.n_steps))),
];

/// The columns in which one of `rows` has something to show.
pub fn columns_of(rows: &[&Evaluation]) -> Vec<Column> {
    COLUMNS.into_iter().filter(|(_, cell)| rows.iter().any(|row| cell(row).is_some())).collect()
}

/// A mean and its interval.
pub fn interval(Interval { mean, low, high }: Interval) -> String {
    format!("{mean:.3} [{low:.3}, {high:.3}]")
}

/// A share as a percentage.
pub fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}
