//! The networks, batches and texts that the benchmarks measure, of the shapes that bench/pytorch/learning.py has too.
#![allow(dead_code, reason = "each benchmark uses a part")]

use std::hint::black_box;

use burn::tensor::{Device, Int, Tensor, TensorData};
use dqn_core::{
    BatchBuilder, Companions, DqnConfig, DqnLearner, InputShape, Learner, Progress, QNetwork, SequenceBatch,
    SequenceInput, StepInput, Window,
};
use dqn_mdp::{ActionId, ActionMask, ActionTable, Outcome, PositionEncoder, Seed, State, Step, TokenId, Trajectory};
use dqn_model::{
    CnnConfig, DecodeState, GruConfig, HeadConfig, LstmConfig, MlpConfig, NetworkConfig, TextQNetwork, TorsoConfig,
    TransformerConfig,
};
use rand::{Rng, RngExt};

/// Windows of a batch.
const BATCH: usize = 64;
/// Texts that grow together.
const ACTING_BATCH: usize = 32;
/// Steps of an episode, and tokens that a text grows to.
pub(crate) const STEPS: usize = 32;
/// Numbers of tokens, which are the actions too.
pub(crate) const VOCABULARIES: [usize; 2] = [1_000, 8_000];
/// Tokens already read when the cost of one more is measured.
pub(crate) const POSITIONS: [usize; 6] = [1, 16, 64, 128, 256, 512];
/// The vocabulary of that measurement.
pub(crate) const POSITION_VOCABULARY: usize = 1_000;

/// The networks that read the text, by the names of their kinds.
pub(crate) fn torsos() -> [(&'static str, TorsoConfig); 5] {
    [
        ("mlp", TorsoConfig::Mlp(MlpConfig { window_tokens: 16, hidden: vec![256, 256] })),
        ("gru", TorsoConfig::Gru(GruConfig { width: 256, n_layers: 1 })),
        ("lstm", TorsoConfig::Lstm(LstmConfig { width: 256, n_layers: 1 })),
        ("cnn", TorsoConfig::Cnn(CnnConfig { width: 256, kernel_size: 3, n_layers: 4 })),
        (
            "transformer",
            TorsoConfig::Transformer(TransformerConfig { width: 128, n_heads: 4, n_layers: 2, expansion: 4 }),
        ),
    ]
}

fn network(torso: &TorsoConfig, vocabulary: usize, device: &Device) -> TextQNetwork {
    let config = NetworkConfig {
        embedding_width: 64,
        torso: torso.clone(),
        head: HeadConfig::Scalar { init_deviation: 0.01 },
        ..NetworkConfig::default()
    };
    let actions = ActionTable::of_tokens((0..vocabulary as u32).map(TokenId));
    let input = InputShape { n_tokens: vocabulary, n_positions: 1, source: None };
    config.init(input, &actions, Companions::default(), &mut Seed(1).stream("init"), device)
}

/// An episode that writes `STEPS` tokens drawn at random after the token that begins a text.
pub(crate) fn episode(vocabulary: usize, rng: &mut impl Rng) -> Trajectory {
    let mut episode = Trajectory::begin(State::from(vec![TokenId(2)]), ActionMask::All);
    for step in 1..=STEPS {
        let token = rng.random_range(4..vocabulary as u32);
        let outcome = if step == STEPS { Outcome::Terminated } else { Outcome::Continues };
        let step = Step { reward: 0.1, observed: vec![TokenId(token)], outcome };
        episode.push(ActionId(token), &step, ActionMask::All);
    }
    episode
}

/// How the transitions of a batch share their texts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    /// Each window is a whole episode, read once for all its steps.
    Sequence,
    /// Each window is one transition, with its whole prefix as context.
    Naive,
}

impl Way {
    /// Transitions of one update.
    pub(crate) fn n_transitions(self) -> usize {
        match self {
            Way::Sequence => BATCH * STEPS,
            Way::Naive => BATCH,
        }
    }
}

/// A learner, and the batch it learns from again and again.
pub(crate) struct Learning {
    learner: DqnLearner<TextQNetwork>,
    batch: SequenceBatch,
    progress: Progress,
}

impl Learning {
    /// Double DQN with Huber loss, Adam and gradients of norm 10 at most.
    pub(crate) fn new(torso: &TorsoConfig, vocabulary: usize, way: Way, device: &Device) -> Self {
        let network = network(torso, vocabulary, &device.clone().autodiff());
        let config = DqnConfig { max_gradient_norm: Some(10.0), ..DqnConfig::default() };
        let mut rng = Seed(2).stream("episodes");
        let episodes: Vec<Trajectory> = (0..BATCH).map(|_| episode(vocabulary, &mut rng)).collect();
        let builder = BatchBuilder {
            encoder: PositionEncoder::None.into(),
            n_actions: vocabulary,
            reward_scale: 1.0,
            discount: 0.99,
            n_step: 1,
            context_tokens: 0,
        };
        let window = |(index, trajectory)| match way {
            Way::Sequence => Window { trajectory, start: 0, len: STEPS },
            // Single transitions are spread over all places of the text, as uniform replay would draw them.
            Way::Naive => Window { trajectory, start: index * (STEPS - 1) / (BATCH - 1), len: 1 },
        };
        let windows: Vec<Window<'_>> = episodes.iter().enumerate().map(window).collect();
        let learner = DqnLearner::new(config, network, Seed(3));
        Self { learner, batch: builder.build(&windows, None), progress: Progress::default() }
    }

    /// One update.
    pub(crate) fn update(&mut self) {
        self.learner.update(self.batch.clone(), self.progress).expect("the loss of this batch is finite");
        self.progress.updates += 1;
    }
}

/// A network, and texts that it acts on.
pub(crate) struct Acting {
    network: TextQNetwork,
    texts: Vec<Vec<i64>>,
    device: Device,
}

impl Acting {
    /// Actions of one pass over all texts.
    pub(crate) const N_TRANSITIONS: usize = ACTING_BATCH * STEPS;

    pub(crate) fn new(torso: &TorsoConfig, vocabulary: usize, device: &Device) -> Self {
        let texts = texts(vocabulary, STEPS);
        Self { network: network(torso, vocabulary, device).for_acting(), texts, device: device.clone() }
    }

    /// Q-values of every prefix, the text read once.
    pub(crate) fn incremental(&self) {
        let (mut state, q) = self.network.start(&prefix(&self.texts, 1, &self.device));
        black_box(q.into_data());
        for time in 1..STEPS {
            black_box(self.network.step(&token(&self.texts, time, &self.device), &mut state).into_data());
        }
    }

    /// Q-values of every prefix, each read from its beginning.
    pub(crate) fn anew(&self) {
        for time in 1..=STEPS {
            black_box(self.network.start(&prefix(&self.texts, time, &self.device)).1.into_data());
        }
    }
}

/// A network that has read some tokens of several texts.
pub(crate) struct Reading {
    network: TextQNetwork,
    begun: DecodeState,
    state: DecodeState,
    n_read: usize,
    next: StepInput,
}

impl Reading {
    /// Texts read together.
    pub(crate) const N_TEXTS: usize = ACTING_BATCH;

    /// Reads `position` tokens.
    pub(crate) fn new(torso: &TorsoConfig, position: usize, device: &Device) -> Self {
        let network = network(torso, POSITION_VOCABULARY, device).for_acting();
        let texts = texts(POSITION_VOCABULARY, position + 1);
        let (state, _) = network.start(&prefix(&texts, position, device));
        Self { network, begun: state.clone(), state, n_read: 0, next: token(&texts, position, device) }
    }

    /// Q-values after one more token. Each tenth time the texts are taken back to where they were.
    ///
    /// The step after that copies what was read, since two hold it; among ten the median does not see it.
    pub(crate) fn step(&mut self) {
        if self.n_read == 10 {
            (self.state, self.n_read) = (self.begun.clone(), 0);
        }
        black_box(self.network.step(&self.next, &mut self.state).into_data());
        self.n_read += 1;
    }
}

fn texts(vocabulary: usize, n_tokens: usize) -> Vec<Vec<i64>> {
    let mut rng = Seed(4).stream("texts");
    let mut text = || (0..n_tokens).map(|_| rng.random_range(4..vocabulary as i64)).collect();
    (0..ACTING_BATCH).map(|_| text()).collect()
}

fn prefix(texts: &[Vec<i64>], n_tokens: usize, device: &Device) -> SequenceInput {
    let tokens: Vec<i64> = texts.iter().flat_map(|text| text[..n_tokens].iter().copied()).collect();
    let last = vec![n_tokens as i64 - 1; texts.len()];
    SequenceInput {
        tokens: Tensor::from_data(TensorData::new(tokens, [texts.len(), n_tokens]), device),
        positions: Tensor::zeros([texts.len(), n_tokens], device),
        decisions: Tensor::from_data(TensorData::new(last, [texts.len(), 1]), device),
        source: None,
    }
}

fn token(texts: &[Vec<i64>], place: usize, device: &Device) -> StepInput {
    let column: Vec<i64> = texts.iter().map(|text| text[place]).collect();
    let tokens = Tensor::<1, Int>::from_data(TensorData::new(column, [texts.len()]), device);
    StepInput { tokens, positions: Tensor::zeros([texts.len()], device) }
}
