//! Episodes: many of them step together, and one player chooses for all.

use dqn_core::policy::preferences;
use dqn_core::prior::PriorReader;
use dqn_core::{Policy, Prior, QNetwork, StateEncoder};
use dqn_mdp::{ActionId, ActionMask, Environment, MdpError, SourceId, Start, StateRef, TokenId, Trajectory};
use rand_chacha::ChaCha8Rng;

use crate::reading::Reading;

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
    reading: Reading<'a, N>,
    policy: Policy,
    prior: Option<FollowedPrior<'a>>,
    rng: &'a mut ChaCha8Rng,
    scratch: Vec<f32>,
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
        let prior = prior.map(FollowedPrior::new);
        Self { reading: Reading::new(network, encoder), policy, prior, rng, scratch: Vec::new() }
    }

    /// Log-probabilities of all actions under the Boltzmann policy, one row an episode.
    ///
    /// `kept` is that of [`Player::choose`]; here it may name a row more than once.
    pub fn log_probs(&mut self, episodes: &[View<'_>], kept: Option<&[usize]>, temperature: f64) -> Vec<Vec<f64>> {
        let (n_actions, states) = (self.reading.n_actions(), states(episodes));
        let q = self.reading.values(&states, kept);
        let log_priors = log_priors(self.prior.as_mut(), &states, kept, n_actions);
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
}

impl<N: QNetwork> Player for NetworkPlayer<'_, N> {
    fn choose(&mut self, episodes: &[View<'_>], kept: Option<&[usize]>) -> Vec<ActionId> {
        let (n_actions, states) = (self.reading.n_actions(), states(episodes));
        let q = self.reading.values(&states, kept);
        let log_priors = log_priors(self.prior.as_mut(), &states, kept, n_actions);
        let mut actions = Vec::with_capacity(episodes.len());
        for (index, (view, q)) in episodes.iter().zip(q.chunks_exact(n_actions)).enumerate() {
            let log_prior = log_priors.get(index).map(Vec::as_slice);
            actions.push(self.policy.select(q, log_prior, view.allowed, self.rng, &mut self.scratch));
        }
        actions
    }
}

/// A prior that answers for texts as they go on.
pub struct FollowedPrior<'a> {
    prior: &'a dyn Prior,
    reader: Option<Box<dyn PriorReader + 'a>>,
}

impl<'a> FollowedPrior<'a> {
    /// One that has read nothing yet.
    pub fn new(prior: &'a dyn Prior) -> Self {
        Self { prior, reader: prior.reader() }
    }
}

/// The states of the episodes.
fn states<'a>(episodes: &[View<'a>]) -> Vec<StateRef<'a>> {
    episodes.iter().map(View::state).collect()
}

/// What the prior, where there is one, says of all actions in each state; `kept` is that of [`Player::choose`].
fn log_priors(
    prior: Option<&mut FollowedPrior<'_>>,
    states: &[StateRef<'_>],
    kept: Option<&[usize]>,
    n_actions: usize,
) -> Vec<Vec<f32>> {
    let Some(FollowedPrior { prior, reader }) = prior else { return Vec::new() };
    let mut rows = vec![vec![0.0; n_actions]; states.len()];
    let places = rows.iter_mut().map(Vec::as_mut_slice).collect();
    match reader {
        Some(reader) => reader.log_probs(states, kept, places),
        None => prior.log_probs_of(states, places),
    }
    rows
}

/// Tells the actions that a prescribed form leaves open, out of those an episode allows.
pub type Narrowing<'a> = dyn Fn(&View<'_>) -> ActionMask + 'a;

/// Plays without values: uniformly or by a prior, perhaps within a prescribed form.
pub struct ScriptedPlayer<'a> {
    /// The policy to draw from; none draws uniformly.
    pub prior: Option<FollowedPrior<'a>>,
    /// Narrows what a text allows.
    pub narrow: Option<&'a Narrowing<'a>>,
    /// Number of actions of the task.
    pub n_actions: usize,
    /// Where the draws come from.
    pub rng: &'a mut ChaCha8Rng,
}

impl Player for ScriptedPlayer<'_> {
    fn choose(&mut self, episodes: &[View<'_>], kept: Option<&[usize]>) -> Vec<ActionId> {
        let policy = Policy::Boltzmann { temperature: 1.0 };
        let zeros = vec![0.0; self.n_actions];
        let mut scratch = Vec::new();
        let log_priors = log_priors(self.prior.as_mut(), &states(episodes), kept, self.n_actions);
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
