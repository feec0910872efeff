//! What several runs of an experiment, over seeds and tasks, say together, and how sure that is.
//!
//! Scores are given task by task, with one value for each run of the task: `scores[task][run]`. The tasks may have
//! different numbers of runs. Where all have the same, the figures are those of rliable 1.2.0. Of returns higher is
//! better everywhere.
//!
//! Source: Agarwal et al. 2021, "Deep reinforcement learning at the edge of the statistical precipice".

mod aggregate;
mod bootstrap;
mod stability;

pub use aggregate::{
    aggregate_interquartile_mean, aggregate_mean, aggregate_median, aggregate_optimality_gap, interquartile_mean, mean,
    performance_profile, probability_of_improvement, quantile,
};
pub use bootstrap::{Bootstrap, ConfidenceInterval, percentile_interval, stratified_resamples};
pub use stability::{
    SeedSpread, conditional_value_at_risk, first_to_reach, interquartile_range, maximum_drawdown, seed_spread,
    standard_deviation,
};
