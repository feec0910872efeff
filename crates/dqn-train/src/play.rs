//! Episodes: many of them step together, and one player chooses for all.

use burn::tensor::{Int, Tensor, TensorData};
use dqn_core::policy::preferences;
use dqn_core::{Policy, Prior, QNetwork, StateEncoder, StepInput};
use dqn_mdp::{ActionId, ActionMask, Environment, MdpError, Position, SourceId, Start, StateRef, TokenId, Trajectory};
use rand_chacha::ChaCha8Rng;

/// What a player sees of an episode.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The text so far.
    pub text: &'a [TokenId],
    /// What it is about, where the task has sources.
    pub source: Option<SourceId>,
    /// The actions it allows.
    pub allowed: &'a ActionMask,
}

impl<'a> View<'a> {
    /// What is seen at the end of an episode so far.
    pub fn of(episode: &'a Trajectory) -> Self {
        let allowed = episode.allowed.last().expect("a state has a mask");
        Self { text: &episode.tokens, source: episode.source, allowed }
    }

    /// The state.
    pub fn state(&self) -> StateRef<'a> {
        StateRef { tokens: self.text, source: self.source }
    }
}

/// Someone who plays several episodes at once.
pub trait Player {
    /// Chooses an action for each episode.
    ///
    /// The episodes are those of the last call less the ones that ended; `kept` gives for each its row in the last
    /// call. At the first call of a batch of episodes `kept` is `None`.
    fn choose(&mut self, episodes: &[View<'_>], kept: Option<&[usize]>) -> Vec<ActionId>;
}

/// Plays one episode in each environment to its end.
///
/// # Errors
/// When an environment refuses a start or an action.
pub fn play(
    environments: &mut [Box<dyn Environment>],
    starts: &[Start],
    player: &mut dyn Player,
) -> Result<Vec<Trajectory>, MdpError> {
    assert_eq!(environments.len(), starts.len(), "one start for each environment");
    let begin = |(environment, start): (&mut Box<dyn Environment>, &Start)| {
        let state = environment.reset(*start)?;
        Ok(Trajectory::begin(state, environment.allowed()))
    };
    let mut episodes: Vec<Trajectory> =
        environments.iter_mut().zip(starts).map(begin).collect::<Result<_, MdpError>>()?;
    let mut running: Vec<usize> = (0..episodes.len()).collect();
    let mut kept: Option<Vec<usize>> = None;
    while !running.is_empty() {
        let views: Vec<View<'_>> = running.iter().map(|&index| View::of(&episodes[index])).collect();
        let actions = player.choose(&views, kept.as_deref());
        for (&index, action) in running.iter().zip(actions) {
            let step = environments[index].step(action)?;
            episodes[index].push(action, &step, environments[index].allowed());
        }
        let still: Vec<usize> = (0..running.len()).filter(|&row| !episodes[running[row]].outcome.is_end()).collect();
        running = still.iter().map(|&row| running[row]).collect();
        kept = Some(still);
    }
    Ok(episodes)
}

/// Plays by the values of a Q-network.
pub struct NetworkPlayer<'a, N: QNetwork> {
    network: &'a N,
    policy: Policy,
    prior: Option<&'a dyn Prior>,
    encoder: &'a StateEncoder,
    rng: &'a mut ChaCha8Rng,
    memory: Option<Memory<N::DecodeState>>,
    scratch: Vec<f32>,
}

/// What is remembered of the texts between two calls.
struct Memory<S> {
    state: S,
    n_tokens: Vec<usize>,
    positions: Vec<Position>,
}

impl<'a, N: QNetwork> NetworkPlayer<'a, N> {
    /// A player that draws from `rng`; `prior` is given where `policy` weighs it.
    pub fn new(
        network: &'a N,
        policy: Policy,
        prior: Option<&'a dyn Prior>,
        encoder: &'a StateEncoder,
        rng: &'a mut ChaCha8Rng,
    ) -> Self {
        Self { network, policy, prior, encoder, rng, memory: None, scratch: Vec::new() }
    }

    /// Log-probabilities of all actions under the Boltzmann policy, one row an episode.
    ///
    /// `kept` is that of [`Player::choose`]; here it may name a row more than once.
    pub fn log_probs(&mut self, episodes: &[View<'_>], kept: Option<&[usize]>, temperature: f64) -> Vec<Vec<f64>> {
        let n_actions = self.network.n_actions();
        let q = self.q_values(episodes, kept);
        let log_priors = log_priors(self.prior, episodes, n_actions);
        let row = |(index, (view, q)): (usize, (&View<'_>, &[f32]))| {
            let log_prior = log_priors.get(index).map(Vec::as_slice);
            preferences(q, log_prior, temperature, &mut self.scratch);
            let allowed = |action: usize| view.allowed.allows(ActionId(action as u32));
            let weight =
                |(action, &value): (usize, &f32)| if allowed(action) { f64::from(value) } else { f64::NEG_INFINITY };
            let weights: Vec<f64> = self.scratch.iter().enumerate().map(weight).collect();
            let highest = weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let total = highest + weights.iter().map(|weight| (weight - highest).exp()).sum::<f64>().ln();
            weights.iter().map(|weight| weight - total).collect()
        };
        episodes.iter().zip(q.chunks_exact(n_actions)).enumerate().map(row).collect()
    }

    /// Values of all actions, one row an episode.
    fn q_values(&mut self, episodes: &[View<'_>], kept: Option<&[usize]>) -> Vec<f32> {
        let q = match (self.memory.take(), kept) {
            (Some(memory), Some(kept)) => self.go_on(memory, episodes, kept),
            _ => self.start(episodes),
        };
        q.into_data().convert::<f32>().try_to_vec().expect("Q-values are 32-bit floats")
    }

    fn start(&mut self, episodes: &[View<'_>]) -> Tensor<2> {
        let states: Vec<StateRef<'_>> = episodes.iter().map(View::state).collect();
        let rows: Vec<&[StateRef<'_>]> = states.chunks(1).collect();
        let input = self.encoder.input(&rows, &self.network.device());
        let (state, q) = self.network.start(&input);
        let place = |view: &View<'_>| {
            let mut position = Position::default();
            view.text.iter().for_each(|&token| {
                self.encoder.positions.push(&mut position, token);
            });
            position
        };
        let positions = episodes.iter().map(place).collect();
        let n_tokens = episodes.iter().map(|view| view.text.len()).collect();
        self.memory = Some(Memory { state, n_tokens, positions });
        q
    }

    fn go_on(&mut self, memory: Memory<N::DecodeState>, episodes: &[View<'_>], kept: &[usize]) -> Tensor<2> {
        let device = self.network.device();
        let n_new: Vec<usize> =
            kept.iter().zip(episodes).map(|(&row, view)| view.text.len() - memory.n_tokens[row]).collect();
        let rows = |values: Vec<usize>| {
            let len = values.len();
            let values: Vec<i64> = values.into_iter().map(|value| value as i64).collect();
            Tensor::<1, Int>::from_data(TensorData::new(values, [len]), &device)
        };
        // Texts that go on by more tokens begin earlier, so that all of them read their last one together.
        let mut order: Vec<usize> = (0..episodes.len()).collect();
        order.sort_by_key(|&index| std::cmp::Reverse(n_new[index]));
        let is_same = kept.iter().copied().eq(0..memory.n_tokens.len());
        let chosen = |state: N::DecodeState, reading: &[usize]| match is_same && reading.len() == episodes.len() {
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
                reading.iter().map(|&index| episodes[index].text[episodes[index].text.len() - back]).collect();
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
        let n_tokens = episodes.iter().map(|view| view.text.len()).collect();
        self.memory = Some(Memory { state, n_tokens, positions });
        q
    }
}

impl<N: QNetwork> Player for NetworkPlayer<'_, N> {
    fn choose(&mut self, episodes: &[View<'_>], kept: Option<&[usize]>) -> Vec<ActionId> {
        let n_actions = self.network.n_actions();
        let q = self.q_values(episodes, kept);
        let log_priors = log_priors(self.prior, episodes, n_actions);
        let mut actions = Vec::with_capacity(episodes.len());
        for (index, (view, q)) in episodes.iter().zip(q.chunks_exact(n_actions)).enumerate() {
            let log_prior = log_priors.get(index).map(Vec::as_slice);
            actions.push(self.policy.select(q, log_prior, view.allowed, self.rng, &mut self.scratch));
        }
        actions
    }
}

/// What the prior, where there is one, says of all actions in each episode.
fn log_priors(prior: Option<&dyn Prior>, episodes: &[View<'_>], n_actions: usize) -> Vec<Vec<f32>> {
    let Some(prior) = prior else { return Vec::new() };
    let states: Vec<StateRef<'_>> = episodes.iter().map(View::state).collect();
    let mut rows = vec![vec![0.0; n_actions]; states.len()];
    prior.log_probs_of(&states, rows.iter_mut().map(Vec::as_mut_slice).collect());
    rows
}

/// Tells the actions that a prescribed form leaves open, out of those an episode allows.
pub type Narrowing<'a> = dyn Fn(&View<'_>) -> ActionMask + 'a;

/// Plays without values: uniformly or by a prior, perhaps within a prescribed form.
pub struct ScriptedPlayer<'a> {
    /// The policy to draw from; none draws uniformly.
    pub prior: Option<&'a dyn Prior>,
    /// Narrows what a text allows.
    pub narrow: Option<&'a Narrowing<'a>>,
    /// Number of actions of the task.
    pub n_actions: usize,
    /// Where the draws come from.
    pub rng: &'a mut ChaCha8Rng,
}

impl Player for ScriptedPlayer<'_> {
    fn choose(&mut self, episodes: &[View<'_>], _kept: Option<&[usize]>) -> Vec<ActionId> {
        let policy = Policy::Boltzmann { temperature: 1.0 };
        let zeros = vec![0.0; self.n_actions];
        let mut scratch = Vec::new();
        let log_priors = log_priors(self.prior, episodes, self.n_actions);
        let mut choose = |(index, view): (usize, &View<'_>)| {
            let log_prior = log_priors.get(index).map(Vec::as_slice);
            let narrowed = self.narrow.map(|narrow| narrow(view));
            policy.select(&zeros, log_prior, narrowed.as_ref().unwrap_or(view.allowed), self.rng, &mut scratch)
        };
        episodes.iter().enumerate().map(&mut choose).collect()
    }
}

/// Plays one episode by a list of actions.
pub struct FixedPlayer {
    actions: std::vec::IntoIter<ActionId>,
}

impl FixedPlayer {
    /// A player that takes `actions` in their order.
    pub fn new(actions: Vec<ActionId>) -> Self {
        Self { actions: actions.into_iter() }
    }
}

impl Player for FixedPlayer {
    /// # Panics
    /// When there are several episodes or more steps than actions.
    fn choose(&mut self, episodes: &[View<'_>], _kept: Option<&[usize]>) -> Vec<ActionId> {
        assert_eq!(episodes.len(), 1, "a list of actions plays one episode");
        vec![self.actions.next().expect("the episode ends with the list of actions")]
    }
}

#[cfg(test)]
mod tests {
    use dqn_core::Companions;
    use dqn_mdp::{ActionTable, PositionEncoder, Seed};
    use dqn_model::{
        CnnConfig, GruConfig, LstmConfig, MlpConfig, NetworkConfig, TextQNetwork, TorsoConfig, TransformerConfig,
    };
    use proptest::prelude::*;

    use super::*;

    fn network(torso: TorsoConfig) -> TextQNetwork {
        let config = NetworkConfig { embedding_width: 6, torso, ..NetworkConfig::default() };
        let actions = ActionTable::of_tokens((3..9).map(TokenId));
        config.init(
            encoder().shape(12),
            &actions,
            Companions::default(),
            &mut Seed(3).stream("init"),
            &burn::tensor::Device::flex(),
        )
    }

    fn encoder() -> StateEncoder {
        PositionEncoder::Clauses { delimiters: vec![TokenId(4)], max_clauses: 2, max_length: 4 }.into()
    }

    /// What the Boltzmann policy makes of texts that it reads from their beginning.
    fn anew(network: &TextQNetwork, texts: &[Vec<TokenId>]) -> Vec<Vec<f64>> {
        let (encoder, mut rng) = (encoder(), Seed(1).stream("test"));
        NetworkPlayer::new(network, Policy::Greedy, None, &encoder, &mut rng).log_probs(&views(texts), None, 0.01)
    }

    fn views(texts: &[Vec<TokenId>]) -> Vec<View<'_>> {
        texts.iter().map(|text| View { text, source: None, allowed: &ActionMask::All }).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn texts_that_go_on_by_different_numbers_of_tokens_are_not_read_again(
            texts in prop::collection::vec(prop::collection::vec(3_u32..12, 1..4), 1..4),
            rounds in prop::collection::vec(
                prop::collection::vec((any::<prop::sample::Index>(), prop::collection::vec(3_u32..12, 1..5)), 1..5), 1..4),
        ) {
            let torsos = [
                TorsoConfig::Mlp(MlpConfig { window_tokens: 3, hidden: vec![8] }),
                TorsoConfig::Gru(GruConfig { width: 8, n_layers: 2 }),
                TorsoConfig::Lstm(LstmConfig { width: 8, n_layers: 1 }),
                TorsoConfig::Cnn(CnnConfig { width: 8, kernel_size: 2, n_layers: 2 }),
                TorsoConfig::Transformer(TransformerConfig { width: 8, n_heads: 2, n_layers: 1, expansion: 2 }),
            ];
            let begun = |text: &Vec<u32>| [2].iter().chain(text).copied().map(TokenId).collect::<Vec<_>>();
            for torso in torsos {
                let network = network(torso);
                let (encoder, mut rng) = (encoder(), Seed(1).stream("test"));
                let mut player = NetworkPlayer::new(&network, Policy::Greedy, None, &encoder, &mut rng);
                let mut texts: Vec<Vec<TokenId>> = texts.iter().map(begun).collect();
                player.log_probs(&views(&texts), None, 0.01);
                for round in &rounds {
                    // Each text goes on from one of the last, perhaps from one that another goes on from too.
                    let kept: Vec<usize> = round.iter().map(|(row, _)| row.index(texts.len())).collect();
                    let goes_on = |(&row, (_, more)): (&usize, &(_, Vec<u32>))| {
                        texts[row].iter().copied().chain(more.iter().copied().map(TokenId)).collect::<Vec<_>>()
                    };
                    texts = kept.iter().zip(round).map(goes_on).collect();
                    let found = player.log_probs(&views(&texts), Some(&kept), 0.01).concat();
                    for (found, expected) in found.iter().zip(anew(&network, &texts).concat()) {
                        prop_assert!((found - expected).abs() < 1e-2, "{} instead of {}", found, expected);
                    }
                }
            }
        }
    }
}
