//! The one input of every learner: windows of trajectories, padded to a rectangle.

use std::collections::BTreeSet;

use burn::tensor::{Device, Int, Tensor, TensorData};
use dqn_mdp::{ActionId, ActionMask, SourceId, StateRef, TokenId};

use crate::completion::Completions;
use crate::network::SequenceInput;
use crate::prior::Prior;
use crate::replay::Window;
use crate::source_batch::SourceBatch;
use crate::state_encoder::StateEncoder;
use crate::target::n_step_return;

/// A number so small that, added to a log-probability or a Q-value, it rules the action out, and that stays finite when
/// scaled.
pub const FORBIDDEN: f32 = -1e9;

/// Turns windows into batches.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    /// Makes what the network reads of the states.
    pub encoder: StateEncoder,
    /// Number of actions of the task.
    pub n_actions: usize,
    /// What every reward is multiplied by.
    pub reward_scale: f32,
    /// Discount of one step, from 0 to 1.
    pub discount: f32,
    /// Steps whose rewards enter a TD target before its value does, at least 1.
    pub n_step: usize,
    /// Tokens before the first state of a window that the network reads as context; 0 reads all of them.
    pub context_tokens: usize,
}

/// Windows of trajectories on the host, padded to a rectangle.
///
/// `steps` is the longest window; `states` counts the states of its steps and those after it that an n-step target
/// looks at, the state after the last step of an episode included.
#[derive(Clone, Debug, PartialEq)]
pub struct SequenceBatch {
    /// Number of windows.
    pub n_windows: usize,
    /// Longest text: the context, the window, and the tokens up to its last state.
    pub n_tokens: usize,
    /// Steps of the longest window.
    pub n_steps: usize,
    /// States of the longest window.
    pub n_states: usize,
    /// `[batch, tokens]`, padded with `<pad>` on the right.
    pub tokens: Vec<i64>,
    /// `[batch, tokens]`.
    pub positions: Vec<i64>,
    /// Index of the last token of each state: `[batch, states]`.
    pub decisions: Vec<i64>,
    /// What the texts are about, where the task has sources.
    pub source: Option<SourceBatch>,
    /// Action taken at each step: `[batch, steps]`.
    pub actions: Vec<i64>,
    /// Discounted sum of the next `n_step` rewards: `[batch, steps]`.
    pub returns: Vec<f32>,
    /// Discount of the value at the end of those rewards, 0 after a termination: `[batch, steps]`.
    pub discounts: Vec<f32>,
    /// Which state that value belongs to: `[batch, steps]`, indices along `states`.
    pub bootstrap_states: Vec<i64>,
    /// 1 where a step is, 0 where the rectangle is padded: `[batch, steps]`.
    pub valid: Vec<f32>,
    /// Importance weight of each window: `[batch]`; 1 unless [`SequenceBatch::weighted`].
    pub weights: Vec<f32>,
    /// Action taken in each state, 0 where none was: `[batch, states]`.
    pub state_actions: Vec<i64>,
    /// 0 for actions a state allows and [`FORBIDDEN`] for others: `[batch, states, actions]`; absent where every state
    /// allows every action.
    pub mask: Option<Vec<f32>>,
    /// Log-probability of every action under the prior: `[batch, states, actions]`, where a prior was given.
    pub log_prior: Option<Vec<f32>>,
    /// Log-probability under the prior of the action taken in each state, 0 where none was: `[batch, states]`, where that is
    /// asked for.
    pub prior_of_taken: Option<Vec<f32>>,
    /// The optimal actions of each step, where they are known and learned.
    pub aims: Option<Aims>,
    /// How many windows, one after the other, have the same start, for each start, where that is asked for.
    pub groups: Option<Vec<usize>>,
    /// The actions that this batch is about, where it is not about all: every `actions` above counts them from 0 in this
    /// order, and the network must be [considering](crate::QNetwork::considering) them.
    pub considered: Option<Vec<i64>>,
}

/// The optimal actions of the steps of a batch, padded to the most that a step has.
#[derive(Clone, Debug, PartialEq)]
pub struct Aims {
    /// The most actions of a step, at least 1.
    pub n_aims: usize,
    /// `[batch, steps, aims]`.
    pub actions: Vec<i64>,
    /// Part of each in its step, 0 where there are fewer; those of a step sum to 1, or to 0 where none is known:
    /// `[batch, steps, aims]`.
    pub weights: Vec<f32>,
}

impl BatchBuilder {
    /// The batch of `windows`.
    ///
    /// # Panics
    /// When there are no windows.
    pub fn build(&self, windows: &[Window<'_>], prior: Option<&dyn Prior>) -> SequenceBatch {
        self.build_of(windows, prior, None)
    }

    /// The batch of `windows` about the actions only that one of their states allows or takes.
    ///
    /// Where a state allows all actions this is [`BatchBuilder::build`].
    ///
    /// # Panics
    /// When there are no windows.
    pub fn build_of_allowed(&self, windows: &[Window<'_>], prior: Option<&dyn Prior>) -> SequenceBatch {
        let mut considered = BTreeSet::new();
        for window in windows {
            for (index, state) in self.span(window).states.iter().enumerate() {
                if state.allowed == &ActionMask::All {
                    return self.build(windows, prior);
                }
                considered.extend(state.allowed.iter(self.n_actions));
                considered.extend(window.trajectory.actions.get(window.start + index));
            }
        }
        self.build_of(windows, prior, Some(considered.into_iter().collect()))
    }

    fn build_of(
        &self,
        windows: &[Window<'_>],
        prior: Option<&dyn Prior>,
        considered: Option<Vec<ActionId>>,
    ) -> SequenceBatch {
        assert!(!windows.is_empty(), "a batch holds at least one window");
        let spans: Vec<TextSpan<'_>> = windows.iter().map(|window| self.span(window)).collect();
        let n_tokens = spans.iter().map(|span| span.tokens().len()).max().unwrap_or(0);
        let n_steps = windows.iter().map(|window| window.len).max().unwrap_or(0);
        let n_states = spans.iter().map(|span| span.states.len()).max().unwrap_or(0);
        let rows = windows.len();
        let is_masked = spans.iter().any(|span| span.states.iter().any(|state| state.allowed != &ActionMask::All));
        let n_values = rows * n_states * considered.as_ref().map_or(self.n_actions, Vec::len);
        let mut batch = SequenceBatch {
            n_windows: rows,
            n_tokens,
            n_steps,
            n_states,
            tokens: vec![0; rows * n_tokens],
            positions: vec![0; rows * n_tokens],
            decisions: vec![0; rows * n_states],
            source: self.encoder.sources_of(windows.iter().map(|window| window.trajectory.source)),
            actions: vec![0; rows * n_steps],
            returns: vec![0.0; rows * n_steps],
            discounts: vec![0.0; rows * n_steps],
            bootstrap_states: vec![0; rows * n_steps],
            valid: vec![0.0; rows * n_steps],
            weights: vec![1.0; rows],
            state_actions: vec![0; rows * n_states],
            mask: is_masked.then(|| vec![0.0; n_values]),
            log_prior: prior.map(|_| vec![0.0; n_values]),
            prior_of_taken: None,
            aims: None,
            groups: None,
            considered: None,
        };
        for (row, (window, span)) in windows.iter().zip(&spans).enumerate() {
            self.fill_text(&mut batch, row, span);
            self.fill_steps(&mut batch, row, window);
            match &considered {
                Some(considered) => self.fill_mask_of(&mut batch, row, span, considered),
                None => self.fill_mask(&mut batch, row, span),
            }
        }
        if let Some(prior) = prior {
            self.fill_prior(&mut batch, &spans, prior, considered.as_deref());
        }
        if let Some(considered) = considered {
            let place = |action: &mut i64| {
                // Padded places hold action 0, which need not be there; nothing reads them.
                *action = considered.binary_search(&ActionId(*action as u32)).unwrap_or(0) as i64;
            };
            batch.actions.iter_mut().chain(&mut batch.state_actions).for_each(place);
            batch.considered = Some(considered.iter().map(|action| i64::from(action.0)).collect());
        }
        batch
    }

    fn span<'a>(&self, window: &Window<'a>) -> TextSpan<'a> {
        let trajectory = window.trajectory;
        let last = (window.start + window.len - 1 + self.n_step).min(trajectory.len());
        let last_token = |state: usize| match trajectory.decisions.get(state) {
            Some(&token) => token as usize,
            None => trajectory.tokens.len() - 1,
        };
        let begin = match self.context_tokens {
            0 => 0,
            context => last_token(window.start).saturating_sub(context),
        };
        let states = (window.start..=last)
            .map(|state| SpanState { last_token: last_token(state), allowed: &trajectory.allowed[state] })
            .collect();
        TextSpan { text: &trajectory.tokens, source: trajectory.source, begin, states }
    }

    fn fill_text(&self, batch: &mut SequenceBatch, row: usize, span: &TextSpan<'_>) {
        let tokens = span.tokens();
        let end = span.begin + tokens.len();
        let positions = self.encoder.positions.ids(&span.text[..end]);
        let at = row * batch.n_tokens;
        for (index, token) in tokens.iter().enumerate() {
            batch.tokens[at + index] = i64::from(token.0);
            batch.positions[at + index] = i64::from(positions[span.begin + index]);
        }
        for (index, state) in span.states.iter().enumerate() {
            batch.decisions[row * batch.n_states + index] = (state.last_token - span.begin) as i64;
        }
    }

    fn fill_steps(&self, batch: &mut SequenceBatch, row: usize, window: &Window<'_>) {
        let trajectory = window.trajectory;
        for index in 0..window.len {
            let step = window.start + index;
            let at = row * batch.n_steps + index;
            let target = n_step_return(&trajectory.rewards, trajectory.outcome, step, self.n_step, self.discount);
            batch.actions[at] = i64::from(trajectory.actions[step].0);
            batch.returns[at] = self.reward_scale * target.reward_sum;
            batch.discounts[at] = target.discount;
            batch.bootstrap_states[at] = (target.state - window.start) as i64;
            batch.valid[at] = 1.0;
        }
        let actions = trajectory.actions.iter().skip(window.start).take(batch.n_states);
        for (index, action) in actions.enumerate() {
            batch.state_actions[row * batch.n_states + index] = i64::from(action.0);
        }
    }

    fn fill_mask(&self, batch: &mut SequenceBatch, row: usize, span: &TextSpan<'_>) {
        let Some(mask) = &mut batch.mask else { return };
        for (index, state) in span.states.iter().enumerate() {
            let at = (row * batch.n_states + index) * self.n_actions;
            fill_mask(state.allowed, &mut mask[at..at + self.n_actions]);
        }
    }

    /// [`BatchBuilder::fill_mask`] for some of the actions, in ascending order.
    fn fill_mask_of(&self, batch: &mut SequenceBatch, row: usize, span: &TextSpan<'_>, considered: &[ActionId]) {
        let Some(mask) = &mut batch.mask else { return };
        for (index, state) in span.states.iter().enumerate() {
            let at = (row * batch.n_states + index) * considered.len();
            for (value, &action) in mask[at..at + considered.len()].iter_mut().zip(considered) {
                *value = if state.allowed.allows(action) { 0.0 } else { FORBIDDEN };
            }
        }
    }

    fn fill_prior(
        &self,
        batch: &mut SequenceBatch,
        spans: &[TextSpan<'_>],
        prior: &dyn Prior,
        considered: Option<&[ActionId]>,
    ) {
        let Some(log_prior) = &mut batch.log_prior else { return };
        let n_values = considered.map_or(self.n_actions, <[ActionId]>::len);
        let (mut states, mut rows) = (Vec::new(), Vec::new());
        for (span, of_window) in spans.iter().zip(log_prior.chunks_exact_mut(batch.n_states * n_values)) {
            let state_of =
                |state: &SpanState<'_>| StateRef { tokens: &span.text[..=state.last_token], source: span.source };
            states.extend(span.states.iter().map(state_of));
            rows.extend(of_window.chunks_exact_mut(n_values).take(span.states.len()));
        }
        let Some(considered) = considered else { return prior.log_probs_of(&states, rows) };
        let mut of_all = vec![vec![0.0; self.n_actions]; states.len()];
        prior.log_probs_of(&states, of_all.iter_mut().map(Vec::as_mut_slice).collect());
        for (row, of_all) in rows.into_iter().zip(&of_all) {
            row.iter_mut().zip(considered).for_each(|(value, action)| *value = of_all[action.index()]);
        }
    }
}

/// The stretch of one episode's text that a window needs.
struct TextSpan<'a> {
    text: &'a [TokenId],
    source: Option<SourceId>,
    begin: usize,
    states: Vec<SpanState<'a>>,
}

struct SpanState<'a> {
    last_token: usize,
    allowed: &'a ActionMask,
}

impl TextSpan<'_> {
    fn tokens(&self) -> &[TokenId] {
        let end = self.states.last().map_or(self.begin, |state| state.last_token + 1);
        &self.text[self.begin..end]
    }
}

/// Writes 0 for allowed actions and [`FORBIDDEN`] for others.
pub fn fill_mask(allowed: &ActionMask, out: &mut [f32]) {
    for (action, value) in (0..).map(dqn_mdp::ActionId).zip(out) {
        *value = if allowed.allows(action) { 0.0 } else { FORBIDDEN };
    }
}

/// Of values in `n_rows` rows those of the rows `rows`.
pub(crate) fn of_rows<T: Copy>(values: &[T], n_rows: usize, rows: impl IntoIterator<Item = usize>) -> Vec<T> {
    let width = values.len() / n_rows;
    rows.into_iter().flat_map(|row| &values[row * width..][..width]).copied().collect()
}

/// A [`SequenceBatch`] on a device.
#[derive(Clone, Debug)]
pub struct DeviceBatch {
    /// What the network reads.
    pub input: SequenceInput,
    /// `[batch, steps]`.
    pub actions: Tensor<2, Int>,
    /// `[batch, steps]`.
    pub returns: Tensor<2>,
    /// `[batch, steps]`.
    pub discounts: Tensor<2>,
    /// `[batch, steps]`.
    pub bootstrap_states: Tensor<2, Int>,
    /// `[batch, steps]`.
    pub valid: Tensor<2>,
    /// `[batch, 1]`.
    pub weights: Tensor<2>,
    /// `[batch, states]`.
    pub state_actions: Tensor<2, Int>,
    /// `[batch, states, actions]`.
    pub mask: Option<Tensor<3>>,
    /// `[batch, states, actions]`.
    pub log_prior: Option<Tensor<3>>,
    /// `[batch, states]`.
    pub prior_of_taken: Option<Tensor<2>>,
    /// [`Aims`].
    pub aims: Option<DeviceAims>,
    /// What makes the mean of its group of each window: `[batch, batch]`.
    pub group_means: Option<Tensor<2>>,
}

/// [`Aims`] on a device.
#[derive(Clone, Debug)]
pub struct DeviceAims {
    /// `[batch, steps, aims]`.
    pub actions: Tensor<3, Int>,
    /// `[batch, steps, aims]`.
    pub weights: Tensor<3>,
}

impl SequenceBatch {
    /// Number of steps learned from.
    pub fn n_transitions(&self) -> usize {
        self.valid.iter().filter(|&&valid| valid > 0.0).count()
    }

    /// Share of the actions of all states that are not allowed.
    pub fn masked_fraction(&self) -> f32 {
        let Some(mask) = &self.mask else { return 0.0 };
        mask.iter().filter(|&&value| value < 0.0).count() as f32 / mask.len() as f32
    }

    /// The same windows, the steps of each counted `weights` times in the loss.
    pub fn weighted(self, weights: Vec<f32>) -> Self {
        assert_eq!(weights.len(), self.n_windows, "one weight for each window");
        Self { weights, ..self }
    }

    /// The same windows in groups of `groups` windows, one after the other.
    ///
    /// # Panics
    /// When the groups are not all the windows.
    pub fn in_groups(self, groups: Vec<usize>) -> Self {
        assert_eq!(groups.iter().sum::<usize>(), self.n_windows, "every window is in one group");
        Self { groups: Some(groups), ..self }
    }

    /// The same windows, and what `prior` says of the actions taken in them, of `n_actions` that the task has.
    pub fn with_prior_of_taken(self, windows: &[Window<'_>], prior: &dyn Prior, n_actions: usize) -> Self {
        let of_window = |window: &Window<'_>| {
            let n_taken = (window.trajectory.len() - window.start).min(self.n_states);
            window.start..window.start + n_taken
        };
        let mut taken: Vec<(StateRef<'_>, ActionId)> = Vec::new();
        for window in windows {
            let trajectory = window.trajectory;
            taken.extend(of_window(window).map(|step| (trajectory.state(step), trajectory.actions[step])));
        }
        let mut log_probs = prior.log_probs_taken(&taken, n_actions).into_iter();
        let mut values = vec![0.0; self.n_windows * self.n_states];
        for (row, window) in values.chunks_exact_mut(self.n_states).zip(windows) {
            row[..of_window(window).len()].fill_with(|| log_probs.next().expect("one for each action taken"));
        }
        Self { prior_of_taken: Some(values), ..self }
    }

    /// The same windows with the optimal actions of their steps, which `completions` knows.
    ///
    /// # Panics
    /// When the batch is not about all actions.
    pub fn aiming(self, windows: &[Window<'_>], completions: &Completions) -> Self {
        assert!(self.considered.is_none(), "optimal actions are numbered among all actions");
        let best = |window: &Window<'_>| completions.best_actions(window.trajectory);
        let best: Vec<Vec<Vec<ActionId>>> = windows.iter().map(best).collect();
        let n_aims = best.iter().flatten().map(Vec::len).max().unwrap_or(0).max(1);
        let n_values = self.n_windows * self.n_steps * n_aims;
        let (mut actions, mut weights) = (vec![0; n_values], vec![0.0; n_values]);
        for (row, (window, best)) in windows.iter().zip(&best).enumerate() {
            for (index, of_step) in best[window.start..window.start + window.len].iter().enumerate() {
                let at = (row * self.n_steps + index) * n_aims;
                for (place, action) in of_step.iter().enumerate() {
                    actions[at + place] = i64::from(action.0);
                    weights[at + place] = 1.0 / of_step.len() as f32;
                }
            }
        }
        Self { aims: Some(Aims { n_aims, actions, weights }), ..self }
    }

    /// The same windows in parts of at most `most_windows`; where the batch has groups, in as many whole groups as have no
    /// more windows, and at least one.
    pub fn parts(self, most_windows: usize) -> Vec<Self> {
        if self.n_windows <= most_windows {
            return vec![self];
        }
        let single = vec![1; self.n_windows];
        let (mut parts, mut sizes, mut first) = (Vec::new(), Vec::new(), 0);
        for &size in self.groups.as_ref().unwrap_or(&single) {
            let n_windows: usize = sizes.iter().sum();
            if n_windows > 0 && n_windows + size > most_windows {
                parts.push(self.part(first, std::mem::take(&mut sizes)));
                first += n_windows;
            }
            sizes.push(size);
        }
        parts.push(self.part(first, sizes));
        parts
    }

    /// The groups of `sizes` windows from the window `first` on.
    fn part(&self, first: usize, sizes: Vec<usize>) -> Self {
        let rows = first..first + sizes.iter().sum::<usize>();
        let int = |values: &[i64]| of_rows(values, self.n_windows, rows.clone());
        let float = |values: &[f32]| of_rows(values, self.n_windows, rows.clone());
        Self {
            n_windows: rows.len(),
            tokens: int(&self.tokens),
            positions: int(&self.positions),
            decisions: int(&self.decisions),
            source: self.source.as_ref().map(|source| source.part(rows.clone())),
            actions: int(&self.actions),
            returns: float(&self.returns),
            discounts: float(&self.discounts),
            bootstrap_states: int(&self.bootstrap_states),
            valid: float(&self.valid),
            weights: float(&self.weights),
            state_actions: int(&self.state_actions),
            mask: self.mask.as_deref().map(float),
            log_prior: self.log_prior.as_deref().map(float),
            prior_of_taken: self.prior_of_taken.as_deref().map(float),
            aims: self.aims.as_ref().map(|aims| Aims {
                n_aims: aims.n_aims,
                actions: int(&aims.actions),
                weights: float(&aims.weights),
            }),
            groups: self.groups.is_some().then_some(sizes),
            considered: self.considered.clone(),
            ..*self
        }
    }

    /// Moves the batch to `device`, each array once.
    pub fn upload(self, device: &Device) -> DeviceBatch {
        let [rows, tokens, steps, states] = [self.n_windows, self.n_tokens, self.n_steps, self.n_states];
        let int = |values: Vec<i64>, width| Tensor::<2, Int>::from_data(TensorData::new(values, [rows, width]), device);
        let float = |values: Vec<f32>| Tensor::<2>::from_data(TensorData::new(values, [rows, steps]), device);
        let per_action = |values: Vec<f32>| {
            let n_actions = values.len() / (rows * states);
            Tensor::<3>::from_data(TensorData::new(values, [rows, states, n_actions]), device)
        };
        DeviceBatch {
            input: SequenceInput {
                tokens: int(self.tokens, tokens),
                positions: int(self.positions, tokens),
                decisions: int(self.decisions, states),
                source: self.source.map(|source| source.upload(device)),
            },
            actions: int(self.actions, steps),
            returns: float(self.returns),
            discounts: float(self.discounts),
            bootstrap_states: int(self.bootstrap_states, steps),
            valid: float(self.valid),
            weights: Tensor::from_data(TensorData::new(self.weights, [rows, 1]), device),
            state_actions: int(self.state_actions, states),
            mask: self.mask.map(per_action),
            log_prior: self.log_prior.map(per_action),
            prior_of_taken: self
                .prior_of_taken
                .map(|values| Tensor::from_data(TensorData::new(values, [rows, states]), device)),
            group_means: self.groups.map(|groups| {
                let mut means = vec![0.0; rows * rows];
                let mut first = 0;
                for size in groups {
                    for row in first..first + size {
                        means[row * rows + first..][..size].fill(1.0 / size as f32);
                    }
                    first += size;
                }
                Tensor::from_data(TensorData::new(means, [rows, rows]), device)
            }),
            aims: self.aims.map(|Aims { n_aims, actions, weights }| DeviceAims {
                actions: Tensor::from_data(TensorData::new(actions, [rows, steps, n_aims]), device),
                weights: Tensor::from_data(TensorData::new(weights, [rows, steps, n_aims]), device),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use dqn_mdp::{Outcome, PositionEncoder, State, Step, Trajectory};

    use super::*;

    /// `<bos> a | b c d e` with one action a token; rewards 1, 2, 4, 8.
    fn episode(outcome: Outcome) -> Trajectory {
        let start = State::from(vec![TokenId(2), TokenId(10)]);
        let mut episode = Trajectory::begin(start, ActionMask::All);
        for (index, reward) in [1.0, 2.0, 4.0, 8.0].into_iter().enumerate() {
            let outcome = if index == 3 { outcome } else { Outcome::Continues };
            let step = Step { reward, observed: vec![TokenId(11 + index as u32)], outcome };
            episode.push(ActionId(index as u32), &step, ActionMask::all_but(4, &[ActionId(index as u32)]));
        }
        episode
    }

    /// Says of every action how long the text is.
    struct ByLength;

    impl Prior for ByLength {
        fn log_probs(&self, state: StateRef<'_>, log_probs: &mut [f32]) {
            log_probs.fill(state.tokens.len() as f32);
        }
    }

    fn builder(n_step: usize, context_tokens: usize) -> BatchBuilder {
        BatchBuilder {
            encoder: PositionEncoder::None.into(),
            n_actions: 4,
            reward_scale: 1.0,
            discount: 0.5,
            n_step,
            context_tokens,
        }
    }

    #[test]
    fn a_window_carries_its_context_and_the_states_its_targets_need() {
        let episode = episode(Outcome::Terminated);
        let whole = Window { trajectory: &episode, start: 0, len: 4 };
        let inner = Window { trajectory: &episode, start: 1, len: 1 };
        let batch = builder(2, 1).build(&[whole, inner], None);
        assert_eq!((batch.n_tokens, batch.n_steps, batch.n_states), (6, 4, 5));
        assert_eq!(batch.tokens[..6], [2, 10, 11, 12, 13, 14]);
        // The second window: one token of context, then its state, then the two states after it.
        assert_eq!(batch.tokens[6..], [10, 11, 12, 13, 0, 0]);
        assert_eq!(batch.decisions[..5], [1, 2, 3, 4, 5]);
        assert_eq!(batch.decisions[5..8], [1, 2, 3]);
        assert_eq!(batch.returns[..4], [2.0, 4.0, 8.0, 8.0]);
        assert_eq!(batch.discounts[..4], [0.25, 0.25, 0.0, 0.0]);
        assert_eq!(batch.bootstrap_states[..4], [2, 3, 4, 4]);
        assert_eq!((batch.returns[4], batch.discounts[4], batch.bootstrap_states[4]), (4.0, 0.25, 2));
        assert_eq!(batch.valid, [1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0]);
        assert_eq!(batch.n_transitions(), 5);
        // The action of a state, also of those after the window; none is taken in the last state of an episode.
        assert_eq!(batch.state_actions, [0, 1, 2, 3, 0, 1, 2, 3, 0, 0]);
    }

    #[test]
    fn truncation_keeps_the_value_of_the_last_state() {
        let episode = episode(Outcome::Truncated);
        let batch = builder(1, 0).build(&[Window { trajectory: &episode, start: 3, len: 1 }], None);
        assert_eq!((batch.discounts[0], batch.bootstrap_states[0]), (0.5, 1));
        assert_eq!(batch.tokens, [2, 10, 11, 12, 13, 14]);
    }

    #[test]
    fn a_batch_of_allowed_actions_says_the_same_of_them() {
        struct Falling;
        impl Prior for Falling {
            fn log_probs(&self, state: StateRef<'_>, log_probs: &mut [f32]) {
                for (action, value) in log_probs.iter_mut().enumerate() {
                    *value = -((state.tokens.len() * 10 + action) as f32);
                }
            }
        }
        let mut episode = episode(Outcome::Truncated);
        // States allow two or three of the actions 0, 2 and 3, with the one taken; action 1 is nowhere.
        episode.actions = [3, 0, 2, 3].map(ActionId).to_vec();
        episode.allowed = [[3, 0], [0, 2], [2, 3], [3, 2], [0, 3]]
            .into_iter()
            .map(|mask| ActionMask::listed(mask.map(ActionId)))
            .collect();
        let windows =
            [Window { trajectory: &episode, start: 0, len: 3 }, Window { trajectory: &episode, start: 3, len: 1 }];
        let whole = builder(1, 0).build(&windows, Some(&Falling));
        let part = builder(1, 0).build_of_allowed(&windows, Some(&Falling));
        let considered = part.considered.clone().unwrap();
        assert_eq!(considered, [0, 2, 3]);
        let known = |places: &[i64]| places.iter().map(|&place| considered[place as usize]).collect::<Vec<_>>();
        assert_eq!(known(&part.actions[..3]), whole.actions[..3]);
        assert_eq!(known(&part.actions[3..4]), whole.actions[3..4]);
        assert_eq!(known(&part.state_actions), whole.state_actions);
        for (of_part, of_whole) in [(&part.mask, &whole.mask), (&part.log_prior, &whole.log_prior)] {
            let of_whole = of_whole.as_ref().unwrap().chunks_exact(4);
            let expected: Vec<f32> = of_whole.flat_map(|row| [row[0], row[2], row[3]]).collect();
            assert_eq!(of_part.as_ref().unwrap(), &expected);
        }
        let rest = |batch: SequenceBatch| SequenceBatch {
            actions: Vec::new(),
            state_actions: Vec::new(),
            mask: None,
            log_prior: None,
            considered: None,
            ..batch
        };
        assert_eq!(rest(part), rest(whole));
        let last = episode.allowed.len() - 1;
        let masks = episode.allowed.iter().take(last).cloned().chain([ActionMask::All]).collect();
        episode.allowed = masks;
        let windows = [Window { trajectory: &episode, start: 0, len: 4 }];
        assert_eq!(builder(1, 0).build_of_allowed(&windows, None), builder(1, 0).build(&windows, None));
    }

    #[test]
    fn parts_are_the_batch_of_their_windows() {
        let episode = episode(Outcome::Terminated);
        let windows: Vec<Window<'_>> = (0..4).map(|start| Window { trajectory: &episode, start, len: 1 }).collect();
        let whole = builder(1, 0).build(&windows, Some(&ByLength)).weighted(vec![0.1, 0.2, 0.3, 0.4]);
        let sizes = |parts: &[SequenceBatch]| parts.iter().map(|part| part.n_windows).collect::<Vec<_>>();
        assert_eq!(whole.clone().parts(4), std::slice::from_ref(&whole));
        let parts = whole.clone().parts(3);
        assert_eq!(sizes(&parts), [3, 1]);
        let (first, last) = (&parts[0], &parts[1]);
        assert_eq!([&first.tokens[..], &last.tokens].concat(), whole.tokens);
        assert_eq!([&first.weights[..], &last.weights].concat(), whole.weights);
        assert_eq!(last.n_tokens, whole.n_tokens, "padded alike, so that what is found can be joined");
        let log_prior = |batch: &SequenceBatch| batch.log_prior.clone().unwrap();
        assert_eq!([log_prior(first), log_prior(last)].concat(), log_prior(&whole));
        let grouped = whole.in_groups(vec![1, 1, 2]);
        let parts = grouped.clone().parts(3);
        assert_eq!(sizes(&parts), [2, 2], "a group stays together");
        assert_eq!(parts[1].groups, Some(vec![2]));
        assert_eq!(sizes(&grouped.parts(1)), [1, 1, 2], "one larger than a part is one");
    }

    #[test]
    fn masks_and_priors_stand_at_the_states() {
        let episode = episode(Outcome::Terminated);
        let batch = builder(1, 0).build(&[Window { trajectory: &episode, start: 0, len: 2 }], Some(&ByLength));
        assert_eq!(batch.log_prior.as_deref(), Some(&[2.0, 2.0, 2.0, 2.0, 3.0, 3.0, 3.0, 3.0, 4.0, 4.0, 4.0, 4.0][..]));
        let windows =
            [Window { trajectory: &episode, start: 0, len: 2 }, Window { trajectory: &episode, start: 3, len: 1 }];
        let taken = builder(1, 0).build(&windows, None).with_prior_of_taken(&windows, &ByLength, 4);
        assert_eq!(
            taken.prior_of_taken,
            Some(vec![2.0, 3.0, 4.0, 5.0, 0.0, 0.0]),
            "nothing is taken after the last step"
        );
        assert_eq!(taken.parts(1)[1].prior_of_taken, Some(vec![5.0, 0.0, 0.0]));
        let mask = batch.mask.unwrap();
        assert_eq!(mask[..4], [0.0; 4]);
        assert_eq!(mask[4..8], [FORBIDDEN, 0.0, 0.0, 0.0]);
        assert_eq!(mask[8..], [0.0, FORBIDDEN, 0.0, 0.0]);
    }
}
