//! Episodes: many of them step together, and one player chooses for all.

use burn::tensor::{Int, Tensor, TensorData};
use dqn_core::policy::preferences;
use dqn_core::{Policy, Prior, QNetwork, SequenceInput, StepInput};
use dqn_mdp::{ActionId, ActionMask, Environment, MdpError, Position, PositionEncoder, Start, TokenId, Trajectory};
use rand_chacha::ChaCha8Rng;

/// What a player sees of an episode.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The text so far.
    pub text: &'a [TokenId],
    /// The actions it allows.
    pub allowed: &'a ActionMask,
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
        let views: Vec<View<'_>> = running
            .iter()
            .map(|&index| {
                let episode = &episodes[index];
                View { text: &episode.tokens, allowed: episode.allowed.last().expect("a state has a mask") }
            })
            .collect();
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
    positions: &'a PositionEncoder,
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
        positions: &'a PositionEncoder,
        rng: &'a mut ChaCha8Rng,
    ) -> Self {
        Self { network, policy, prior, positions, rng, memory: None, scratch: Vec::new() }
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
        let input = sequence_input(episodes.iter().map(|view| view.text), self.positions, &self.network.device());
        let (state, q) = self.network.start(&input);
        let place = |view: &View<'_>| {
            let mut position = Position::default();
            view.text.iter().for_each(|&token| {
                self.positions.push(&mut position, token);
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
        let same = n_new.iter().all(|&n| n == n_new[0]);
        if !same {
            // Answers of different lengths would need a pause for some rows; reading the texts anew is simpler.
            return self.start(episodes);
        }
        let rows = |values: Vec<i64>| {
            let len = values.len();
            Tensor::<1, Int>::from_data(TensorData::new(values, [len]), &device)
        };
        let is_same = kept.iter().copied().eq(0..memory.n_tokens.len());
        let mut state = match is_same {
            true => memory.state,
            false => self.network.select(memory.state, rows(kept.iter().map(|&row| row as i64).collect())),
        };
        let mut positions: Vec<Position> = kept.iter().map(|&row| memory.positions[row]).collect();
        let mut q = None;
        for back in (1..=n_new[0]).rev() {
            let tokens: Vec<TokenId> = episodes.iter().map(|view| view.text[view.text.len() - back]).collect();
            let ids: Vec<i64> = tokens
                .iter()
                .zip(&mut positions)
                .map(|(&token, position)| i64::from(self.positions.push(position, token)))
                .collect();
            let tokens = rows(tokens.iter().map(|token| i64::from(token.0)).collect());
            q = Some(self.network.step(&StepInput { tokens, positions: rows(ids) }, &mut state));
        }
        let n_tokens = episodes.iter().map(|view| view.text.len()).collect();
        self.memory = Some(Memory { state, n_tokens, positions });
        q.expect("every action writes at least one token")
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
    let texts: Vec<&[TokenId]> = episodes.iter().map(|view| view.text).collect();
    let mut rows = vec![vec![0.0; n_actions]; texts.len()];
    prior.log_probs_of(&texts, rows.iter_mut().map(Vec::as_mut_slice).collect());
    rows
}

/// The input that asks for the last state of each text.
///
/// # Shapes
/// - returns `[batch, time]` padded on the right, with `decisions` of `[batch, 1]`
pub fn sequence_input<'a>(
    texts: impl Iterator<Item = &'a [TokenId]> + Clone,
    positions: &PositionEncoder,
    device: &burn::tensor::Device,
) -> SequenceInput {
    let rows = texts.clone().count();
    let time = texts.clone().map(<[TokenId]>::len).max().unwrap_or(0);
    let mut tokens = vec![0_i64; rows * time];
    let mut places = vec![0_i64; rows * time];
    let mut decisions = vec![0_i64; rows];
    for (row, text) in texts.enumerate() {
        for (index, (token, place)) in text.iter().zip(positions.ids(text)).enumerate() {
            tokens[row * time + index] = i64::from(token.0);
            places[row * time + index] = i64::from(place);
        }
        decisions[row] = text.len() as i64 - 1;
    }
    let matrix = |values, width| Tensor::<2, Int>::from_data(TensorData::new(values, [rows, width]), device);
    SequenceInput { tokens: matrix(tokens, time), positions: matrix(places, time), decisions: matrix(decisions, 1) }
}

/// Tells the actions that a prescribed form leaves open after a text.
pub type Narrowing<'a> = dyn Fn(&[TokenId]) -> ActionMask + 'a;

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
            let narrowed = self.narrow.map(|narrow| narrow(view.text));
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
