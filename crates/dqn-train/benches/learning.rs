//! Transitions learned a second and tokens acted a second, the sequence batch and the incremental step beside the naive
//! way.
//!
//! Learning: one update of double DQN (Huber loss, Adam, gradient clipping) on 64 windows of 32 steps. The naive way is
//! one transition a window with its whole prefix as context, so that the network reads the same text again for every
//! step. Acting: 32 texts that grow to 32 tokens. The naive way reads the whole prefix anew for every action.
//!
//! Run with `cargo xtask bench`; criterion prints elements a second, which are transitions or tokens.

use std::hint::black_box;

use burn::tensor::{Device, Int, Tensor, TensorData};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dqn_core::{
    BatchBuilder, DqnConfig, DqnLearner, Learner, Progress, QNetwork, SequenceBatch, SequenceInput, StepInput, Window,
};
use dqn_mdp::{ActionId, ActionMask, ActionTable, Outcome, PositionEncoder, Seed, State, Step, TokenId, Trajectory};
use dqn_model::{GruConfig, HeadConfig, MlpConfig, NetworkConfig, TextQNetwork, TorsoConfig};
use rand::RngExt;

#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: usize = 64;
const ACTING_BATCH: usize = 32;
const TIME: usize = 32;
const VOCABULARIES: [usize; 2] = [1_000, 8_000];

#[expect(deprecated, reason = "burn-ndarray is one of the backends this project promises")]
fn devices() -> [(&'static str, Device); 2] {
    [("flex", Device::flex()), ("ndarray", Device::ndarray())]
}

fn torsos() -> [(&'static str, TorsoConfig); 2] {
    [
        ("mlp", TorsoConfig::Mlp(MlpConfig { window_tokens: 16, hidden: vec![256, 256] })),
        ("gru", TorsoConfig::Gru(GruConfig { width: 256, n_layers: 1 })),
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
    config.init(vocabulary, 1, &actions, &mut Seed(1).stream("init"), device)
}

fn episodes(vocabulary: usize) -> Vec<Trajectory> {
    let mut rng = Seed(2).stream("episodes");
    let mut draw = || rng.random_range(4..vocabulary as u32);
    let mut episode = || {
        let mut episode = Trajectory::begin(State { tokens: vec![TokenId(2)] }, ActionMask::All);
        for step in 1..=TIME {
            let token = draw();
            let outcome = if step == TIME { Outcome::Terminated } else { Outcome::Continues };
            let step = Step { reward: 0.1, observed: vec![TokenId(token)], outcome };
            episode.push(ActionId(token), &step, ActionMask::All);
        }
        episode
    };
    (0..BATCH).map(|_| episode()).collect()
}

fn batch(episodes: &[Trajectory], len: usize, vocabulary: usize) -> SequenceBatch {
    let builder = BatchBuilder {
        positions: PositionEncoder::None,
        n_actions: vocabulary,
        discount: 0.99,
        n_step: 1,
        context_tokens: 0,
    };
    // Single transitions are spread over all places of the text, as uniform replay would draw them.
    let start = |index: usize| if len == TIME { 0 } else { index * (TIME - len) / (BATCH - 1) };
    let windows: Vec<Window<'_>> = episodes
        .iter()
        .enumerate()
        .map(|(index, trajectory)| Window { trajectory, start: start(index), len })
        .collect();
    builder.build(&windows, None)
}

fn learning(criterion: &mut Criterion) {
    for vocabulary in VOCABULARIES {
        let episodes = episodes(vocabulary);
        for (backend, device) in devices() {
            for (name, torso) in torsos() {
                let mut group = criterion.benchmark_group(format!("learn/{name}/{vocabulary}/{backend}"));
                group.sample_size(10);
                for (way, len) in [("sequence", TIME), ("naive", 1)] {
                    let network = network(&torso, vocabulary, &device.clone().autodiff());
                    let config = DqnConfig { max_gradient_norm: Some(10.0), ..DqnConfig::default() };
                    let mut learner = DqnLearner::new(config, network, Seed(3));
                    let batch = batch(&episodes, len, vocabulary);
                    group.throughput(Throughput::Elements(batch.n_transitions() as u64));
                    group.bench_function(BenchmarkId::from_parameter(way), |bencher| {
                        bencher.iter(|| learner.update(batch.clone(), Progress::default()).expect("a finite loss"));
                    });
                }
                group.finish();
            }
        }
    }
}

fn acting(criterion: &mut Criterion) {
    for vocabulary in VOCABULARIES {
        let mut rng = Seed(4).stream("texts");
        let texts: Vec<Vec<i64>> =
            (0..ACTING_BATCH).map(|_| (0..TIME).map(|_| rng.random_range(4..vocabulary as i64)).collect()).collect();
        for (backend, device) in devices() {
            for (name, torso) in torsos() {
                let network = network(&torso, vocabulary, &device);
                let mut group = criterion.benchmark_group(format!("act/{name}/{vocabulary}/{backend}"));
                group.sample_size(10);
                group.throughput(Throughput::Elements((ACTING_BATCH * TIME) as u64));
                group.bench_function("incremental", |bencher| bencher.iter(|| incremental(&network, &texts, &device)));
                group.bench_function("naive", |bencher| bencher.iter(|| anew(&network, &texts, &device)));
                group.finish();
            }
        }
    }
}

/// Q-values of every prefix, the text read once.
fn incremental(network: &TextQNetwork, texts: &[Vec<i64>], device: &Device) {
    let (mut state, q) = network.start(&prefix(texts, 1, device));
    black_box(q.into_data());
    for time in 1..TIME {
        let column: Vec<i64> = texts.iter().map(|text| text[time]).collect();
        let tokens = Tensor::<1, Int>::from_data(TensorData::new(column, [texts.len()]), device);
        let positions = Tensor::zeros([texts.len()], device);
        black_box(network.step(&StepInput { tokens, positions }, &mut state).into_data());
    }
}

/// Q-values of every prefix, each read from its beginning.
fn anew(network: &TextQNetwork, texts: &[Vec<i64>], device: &Device) {
    for time in 1..=TIME {
        black_box(network.start(&prefix(texts, time, device)).1.into_data());
    }
}

fn prefix(texts: &[Vec<i64>], time: usize, device: &Device) -> SequenceInput {
    let tokens: Vec<i64> = texts.iter().flat_map(|text| text[..time].iter().copied()).collect();
    let last = vec![time as i64 - 1; texts.len()];
    SequenceInput {
        tokens: Tensor::from_data(TensorData::new(tokens, [texts.len(), time]), device),
        positions: Tensor::zeros([texts.len(), time], device),
        decisions: Tensor::from_data(TensorData::new(last, [texts.len(), 1]), device),
    }
}

criterion_group!(benches, learning, acting);
criterion_main!(benches);
