//! The network of another run, as a prior or as a beginning.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor, TensorData};
use dqn_core::batch::FORBIDDEN;
use dqn_core::prior::PriorReader;
use dqn_core::{CoreError, Prior, QNetwork, StateEncoder, learner};
use dqn_mdp::{ActionId, ActionTable, Sources, StateRef};
use dqn_model::{HeadConfig, NetworkConfig, TextQNetwork};
use dqn_text::Vocab;

use crate::TrainError;
use crate::config::{InitialParameters, SavedCheckpoint};
use crate::experiment::Experiment;
use crate::reading::Reading;
use crate::run::checkpoint::Which;
use crate::run::directory::RunDirectory;
use crate::runner;

/// What one run takes from another.
pub(crate) struct OtherRun {
    /// Its network, without a graph.
    pub(crate) network: TextQNetwork,
    /// The parts of its checkpoint.
    pub(crate) parts: BTreeMap<String, Vec<u8>>,
    /// What it was made from.
    pub(crate) experiment: Experiment,
    /// blake3 of its parameters, in hexadecimal.
    pub(crate) fingerprint: String,
}

impl OtherRun {
    /// Opens the run at `path`, whose vocabulary and actions must be the given ones.
    ///
    /// # Errors
    /// When it is no run, has no such checkpoint, or is of another vocabulary.
    pub(crate) fn open(
        path: &Path,
        checkpoint: SavedCheckpoint,
        vocab: &Vocab,
        actions: &ActionTable,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let directory = RunDirectory::open(path)?;
        let (experiment, _) = runner::open_experiment(&directory, device)?;
        same_vocabulary(&experiment, path, vocab, actions)?;
        let which = match checkpoint {
            SavedCheckpoint::Best => Which::Best,
            SavedCheckpoint::Last => Which::Last,
        };
        let mut parts = directory.checkpoints().load(which)?.parts;
        let acting = experiment.config.learner.acting.part();
        let missing = || CoreError::MissingPart { part: acting.to_owned() };
        // What others go by is the network that acts, whichever it was.
        let parts = BTreeMap::from([(learner::ONLINE.to_owned(), parts.remove(acting).ok_or_else(missing)?)]);
        let network = learner::load_parameters(experiment.network(device), learner::ONLINE, &parts)?;
        let fingerprint = blake3::hash(&parts[learner::ONLINE]).to_hex().to_string();
        Ok(Self { network, parts, experiment, fingerprint })
    }

    /// A run of `experiment` before it has learned anything.
    ///
    /// # Errors
    /// When its parameters cannot be written.
    pub(crate) fn untrained(experiment: Experiment, device: &Device) -> Result<Self, TrainError> {
        let network = experiment.random_network(device);
        let parts = BTreeMap::from([(learner::ONLINE.to_owned(), learner::parameters(&network)?)]);
        let fingerprint = blake3::hash(&parts[learner::ONLINE]).to_hex().to_string();
        Ok(Self { network, parts, experiment, fingerprint })
    }

    /// Refuses an `experiment` of another vocabulary, other actions or sources; the run is called `path`.
    ///
    /// # Errors
    /// [`TrainError::OtherVocabulary`] and [`TrainError::OtherSources`].
    pub(crate) fn check_reads_alike(&self, experiment: &Experiment, path: &Path) -> Result<(), TrainError> {
        same_vocabulary(&self.experiment, path, experiment.vocab(), &experiment.actions)?;
        experiment.same_sources(&self.experiment, path)
    }

    /// `network` with its parameters, or with all but those of the head.
    ///
    /// # Errors
    /// [`TrainError::OtherNetwork`] when they do not fit.
    pub(crate) fn parameters_for(
        &self,
        network: TextQNetwork,
        shape: &NetworkConfig,
        initial: &InitialParameters,
    ) -> Result<TextQNetwork, TrainError> {
        let fault = |source| TrainError::OtherNetwork { run: initial.run.clone(), source };
        let own = &self.experiment.config.network;
        let is_policy = matches!(shape.head, HeadConfig::Policy { .. }) || network.companions().has_policy;
        let are_logits =
            matches!(own.head, HeadConfig::Scalar { .. }) && self.experiment.config.learner.objective.teaches_logits();
        let becomes_policy = is_policy && are_logits && !initial.fresh_head;
        if !initial.fresh_head && !becomes_policy {
            return learner::load_parameters(network, learner::ONLINE, &self.parts).map_err(fault);
        }
        let reads = |shape: &NetworkConfig| {
            (shape.embedding_width, shape.encoder.clone(), shape.torso.clone(), shape.layer_norm)
        };
        if reads(own) != reads(shape) {
            let message = "embedding_width, encoder, torso and layer_norm must be the same".to_owned();
            return Err(fault(CoreError::Unfit { part: learner::ONLINE.to_owned(), message }));
        }
        let other = self.experiment.random_network(&network.device());
        let other = learner::load_parameters(other, learner::ONLINE, &self.parts).map_err(fault)?;
        Ok(if becomes_policy { network.with_policy_of(other) } else { other.with_head_of(network) })
    }
}

fn same_vocabulary(
    experiment: &Experiment,
    path: &Path,
    vocab: &Vocab,
    actions: &ActionTable,
) -> Result<(), TrainError> {
    if experiment.vocab() == vocab && *experiment.actions == *actions {
        return Ok(());
    }
    Err(TrainError::OtherVocabulary {
        run: path.to_owned(),
        n_tokens: experiment.vocab().len(),
        n_actions: experiment.actions.len(),
        expected_tokens: vocab.len(),
        expected_actions: actions.len(),
    })
}

/// A Q-network as a language model: `softmax(Q)` over all actions.
#[derive(Clone)]
pub(crate) struct NetworkPrior {
    network: TextQNetwork,
    encoder: StateEncoder,
}

impl NetworkPrior {
    pub(crate) fn new(network: TextQNetwork, encoder: StateEncoder) -> Self {
        Self { network: network.for_acting(), encoder }
    }

    /// The same model of texts about `sources`.
    pub(crate) fn reading(mut self, sources: Option<Arc<Sources>>) -> Self {
        self.encoder.sources = sources;
        self
    }
}

impl Prior for NetworkPrior {
    fn log_probs(&self, state: StateRef<'_>, log_probs: &mut [f32]) {
        self.log_probs_of(&[state], vec![log_probs]);
    }

    fn log_probs_of(&self, states: &[StateRef<'_>], log_probs: Vec<&mut [f32]>) {
        let episodes = episodes(states);
        let input = self.encoder.input(&episodes, &self.network.device());
        let values = self.network.q_values(self.network.features(&input));
        let [_, n_states, n_actions] = values.dims();
        let values = log_softmax(values, 2).clamp_min(FORBIDDEN);
        let values: Vec<f32> = values.into_data().convert::<f32>().try_to_vec().expect("Q-values are 32-bit floats");
        let rows = values.chunks_exact(n_states * n_actions).zip(&episodes);
        let rows = rows.flat_map(|(rows, states)| rows.chunks_exact(n_actions).take(states.len()));
        for (row, log_probs) in rows.zip(log_probs) {
            log_probs.copy_from_slice(row);
        }
    }

    fn reader(&self) -> Option<Box<dyn PriorReader + '_>> {
        Some(Box::new(NetworkReader(Reading::new(&self.network, &self.encoder))))
    }

    fn log_probs_taken(&self, taken: &[(StateRef<'_>, ActionId)], _n_actions: usize) -> Vec<f32> {
        let states: Vec<StateRef<'_>> = taken.iter().map(|&(state, _)| state).collect();
        let episodes = episodes(&states);
        let device = self.network.device();
        let features = self.network.features(&self.encoder.input(&episodes, &device));
        let [n_episodes, n_states, _] = features.dims();
        let mut actions = vec![0_i64; n_episodes * n_states];
        let mut of_states = taken.iter().map(|&(_, action)| i64::from(action.0));
        for (row, states) in actions.chunks_exact_mut(n_states).zip(&episodes) {
            row[..states.len()].fill_with(|| of_states.next().expect("every state has an action"));
        }
        let actions = Tensor::from_data(TensorData::new(actions, [n_episodes, n_states]), &device);
        let values = self.network.q_taken(features.clone(), actions);
        let log_probs = values - TextQNetwork::log_sum_exp(self.network.q_values(features), 1.0);
        let log_probs = log_probs.clamp_min(FORBIDDEN).into_data().convert::<f32>();
        let log_probs: Vec<f32> = log_probs.try_to_vec().expect("Q-values are 32-bit floats");
        let rows = log_probs.chunks_exact(n_states).zip(&episodes);
        rows.flat_map(|(row, states)| &row[..states.len()]).copied().collect()
    }
}

struct NetworkReader<'a>(Reading<'a, TextQNetwork>);

impl PriorReader for NetworkReader<'_> {
    fn log_probs(&mut self, states: &[StateRef<'_>], kept: Option<&[usize]>, log_probs: Vec<&mut [f32]>) {
        let values = log_softmax(self.0.q_values(states, kept), 1).clamp_min(FORBIDDEN);
        let values: Vec<f32> = values.into_data().convert::<f32>().try_to_vec().expect("Q-values are 32-bit floats");
        for (row, log_probs) in values.chunks_exact(self.0.n_actions()).zip(log_probs) {
            log_probs.copy_from_slice(row);
        }
    }
}

/// The states in groups of which each precedes the next.
fn episodes<'a, 'b>(states: &'b [StateRef<'a>]) -> Vec<&'b [StateRef<'a>]> {
    states.chunk_by(|state, next| state.precedes(next)).collect()
}

#[cfg(test)]
mod tests {
    use dqn_core::Companions;
    use dqn_mdp::{PositionEncoder, Seed, TokenId};

    use super::*;

    #[test]
    fn states_are_answered_together_as_they_are_alone() {
        let device = Device::flex();
        let encoder = StateEncoder::from(PositionEncoder::None);
        let network = NetworkConfig::default().init(
            encoder.shape(9),
            &ActionTable::of_tokens((0..6).map(TokenId)),
            Companions::default(),
            &mut Seed(1).stream("init"),
            &device,
        );
        let prior = NetworkPrior::new(network, encoder);
        let text: Vec<TokenId> = [2, 4, 5, 6, 4, 8].map(TokenId).to_vec();
        let other: Vec<TokenId> = [2, 7, 5].map(TokenId).to_vec();
        let states: [StateRef<'_>; 5] =
            [&text[..1], &text[..2], &text[..6], &other[..2], &other[..3]].map(StateRef::from);
        assert_eq!(episodes(&states).iter().map(|states| states.len()).collect::<Vec<_>>(), [3, 2]);
        let mut together = vec![vec![0.0; 6]; states.len()];
        prior.log_probs_of(&states, together.iter_mut().map(Vec::as_mut_slice).collect());
        for (state, together) in states.iter().zip(&together) {
            let mut alone = vec![0.0; 6];
            prior.log_probs(*state, &mut alone);
            let total: f32 = alone.iter().map(|value| value.exp()).sum();
            assert!((total - 1.0).abs() < 1e-5, "the probabilities sum to {total}");
            for (alone, together) in alone.iter().zip(together) {
                assert!((alone - together).abs() < 1e-5, "{alone} alone, {together} together");
            }
        }
        assert_ne!(together[0], together[1]);
        // The same while the texts go on, the second of them twice.
        let mut reader = prior.reader().unwrap();
        let mut followed = |states: &[StateRef<'_>], kept: Option<&[usize]>| {
            let mut rows = vec![vec![0.0; 6]; states.len()];
            reader.log_probs(states, kept, rows.iter_mut().map(Vec::as_mut_slice).collect());
            rows
        };
        let first = followed(&[states[0], states[3]], None);
        let then = followed(&[states[4], states[2], states[4]], Some(&[1, 0, 1]));
        let expected = [0, 3, 4, 2, 4].map(|index: usize| &together[index]);
        for (found, expected) in first.iter().chain(&then).flatten().zip(expected.into_iter().flatten()) {
            assert!((found - expected).abs() < 1e-5, "{found} while going on, {expected} together");
        }
        let taken: Vec<_> = states.into_iter().zip([5, 0, 2, 3, 1].map(ActionId)).collect();
        for ((&(_, action), found), row) in taken.iter().zip(prior.log_probs_taken(&taken, 6)).zip(&together) {
            assert!((found - row[action.index()]).abs() < 1e-5, "{found} of {action:?} in {row:?}");
        }
    }
}
