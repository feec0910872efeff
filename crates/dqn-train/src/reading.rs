//! Several texts that a network reads as they go on.

use burn::tensor::{Int, Tensor, TensorData};
use dqn_core::{QNetwork, StateEncoder, StepInput};
use dqn_mdp::{Position, StateRef, TokenId};

/// Reads texts together, each token once.
pub(crate) struct Reading<'a, N: QNetwork> {
    network: &'a N,
    encoder: &'a StateEncoder,
    memory: Option<Memory<N::DecodeState>>,
}

/// What is remembered of the texts between two calls.
struct Memory<S> {
    state: S,
    n_tokens: Vec<usize>,
    positions: Vec<Position>,
}

impl<'a, N: QNetwork> Reading<'a, N> {
    /// One that has read nothing yet.
    pub(crate) fn new(network: &'a N, encoder: &'a StateEncoder) -> Self {
        Self { network, encoder, memory: None }
    }

    /// Number of actions that are valued.
    pub(crate) fn n_actions(&self) -> usize {
        self.network.n_actions()
    }

    /// Values of all actions in each state, one row after the other.
    pub(crate) fn values(&mut self, states: &[StateRef<'_>], kept: Option<&[usize]>) -> Vec<f32> {
        let q = self.q_values(states, kept);
        q.into_data().convert::<f32>().try_to_vec().expect("Q-values are 32-bit floats")
    }

    /// Values of all actions in each state: `[states, actions]`.
    ///
    /// The texts are those of the last call, each with what was added to it; `kept` gives for each its row in the last call,
    /// and may name a row more than once. At the first call `kept` is `None`.
    pub(crate) fn q_values(&mut self, states: &[StateRef<'_>], kept: Option<&[usize]>) -> Tensor<2> {
        match (self.memory.take(), kept) {
            (Some(memory), Some(kept)) => self.go_on(memory, states, kept),
            _ => self.start(states),
        }
    }

    fn start(&mut self, states: &[StateRef<'_>]) -> Tensor<2> {
        let rows: Vec<&[StateRef<'_>]> = states.chunks(1).collect();
        let input = self.encoder.input(&rows, &self.network.device());
        let (state, q) = self.network.start(&input);
        let place = |state: &StateRef<'_>| {
            let mut position = Position::default();
            state.tokens.iter().for_each(|&token| {
                self.encoder.positions.push(&mut position, token);
            });
            position
        };
        let positions = states.iter().map(place).collect();
        let n_tokens = states.iter().map(|state| state.tokens.len()).collect();
        self.memory = Some(Memory { state, n_tokens, positions });
        q
    }

    fn go_on(&mut self, memory: Memory<N::DecodeState>, states: &[StateRef<'_>], kept: &[usize]) -> Tensor<2> {
        let device = self.network.device();
        let n_new: Vec<usize> =
            kept.iter().zip(states).map(|(&row, state)| state.tokens.len() - memory.n_tokens[row]).collect();
        let rows = |values: Vec<usize>| {
            let len = values.len();
            let values: Vec<i64> = values.into_iter().map(|value| value as i64).collect();
            Tensor::<1, Int>::from_data(TensorData::new(values, [len]), &device)
        };
        // Texts that go on by more tokens begin earlier, so that all of them read their last one together.
        let mut order: Vec<usize> = (0..states.len()).collect();
        order.sort_by_key(|&index| std::cmp::Reverse(n_new[index]));
        let is_same = kept.iter().copied().eq(0..memory.n_tokens.len());
        let chosen = |state: N::DecodeState, reading: &[usize]| match is_same && reading.len() == states.len() {
            true => state,
            false => self.network.select(state, rows(reading.iter().map(|&index| kept[index]).collect())),
        };
        let mut remembered = Some(memory.state);
        let mut positions: Vec<Position> = kept.iter().map(|&row| memory.positions[row]).collect();
        let (mut state, mut n_reading, mut q) = (None, 0, None);
        for back in (1..=n_new[order[0]]).rev() {
            let n_before = n_reading;
            n_reading = order.partition_point(|&index| n_new[index] >= back);
            if n_reading > n_before {
                let all = if n_reading == order.len() { remembered.take() } else { remembered.clone() };
                let all = all.expect("the last texts begin once");
                let joining = chosen(all, &order[n_before..n_reading]);
                state = Some(match state {
                    Some(state) => self.network.join(state, joining),
                    None => joining,
                });
            }
            let reading = &order[..n_reading];
            let tokens: Vec<TokenId> =
                reading.iter().map(|&index| states[index].tokens[states[index].tokens.len() - back]).collect();
            let place = |(&index, &token): (&usize, &TokenId)| {
                self.encoder.positions.push(&mut positions[index], token) as usize
            };
            let places = rows(reading.iter().zip(&tokens).map(place).collect());
            let tokens = rows(tokens.iter().map(|token| token.index()).collect());
            let state = state.as_mut().expect("the longest stretch is read from its beginning");
            let input = StepInput { tokens, positions: places };
            match back {
                1 => q = Some(self.network.step(&input, state)),
                _ => self.network.skip(&input, state),
            }
        }
        let (mut state, mut q) = state.zip(q).expect("every action writes at least one token");
        if !order.is_sorted() {
            let mut places = vec![0; order.len()];
            order.iter().enumerate().for_each(|(place, &index)| places[index] = place);
            let places = rows(places);
            state = self.network.select(state, places.clone());
            q = q.select(0, places);
        }
        let n_tokens = states.iter().map(|state| state.tokens.len()).collect();
        self.memory = Some(Memory { state, n_tokens, positions });
        q
    }
}
