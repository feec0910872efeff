//! Q-networks on a pretrained model: what is read token by token equals what is read at once, what is frozen stays, and
//! what begins as the model begins as the model.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData, Tolerance};
use dqn_core::optimizer::OptimizerConfig;
use dqn_core::{Companions, Decoding, InputShape, QNetwork, Schedule, SequenceInput, StepInput, learner};
use dqn_mdp::{ActionTable, Seed, TokenId};
use dqn_model::pretrained::{CausalLm, HiddenStates, LoraConfig, PretrainedBase, PretrainedConfig};
use dqn_model::{HeadConfig, NetworkConfig, TextQNetwork, TorsoConfig};

const MODELS: [&str; 3] = ["llama", "gpt2", "qwen2-sharded"];
const STATES: [HiddenStates; 2] = [HiddenStates::Last, HiddenStates::All];
const N_TOKENS: usize = 20;
/// Rows are texts of this vocabulary, whose token `i` is `MAP[i]` of the model.
const MAP: [u32; N_TOKENS] = [2, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18];

fn load(model: &str, device: &Device) -> CausalLm {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/pretrained").join(model);
    CausalLm::load(&folder, device).unwrap()
}

fn base(model: &str, states: HiddenStates) -> Arc<PretrainedBase> {
    let lm = load(model, &Device::flex());
    Arc::new(PretrainedBase::new(lm, MAP.map(TokenId).to_vec(), states).unwrap())
}

/// Every model with every choice of its states.
fn bases() -> impl Iterator<Item = (String, Arc<PretrainedBase>)> {
    let pairs = MODELS.into_iter().flat_map(|model| STATES.map(|states| (model, states)));
    pairs.map(|(model, states)| (format!("{model} {states:?}"), base(model, states)))
}

fn trained(trained_blocks: usize, rank: Option<usize>) -> PretrainedConfig {
    let lora = rank.map(|rank| LoraConfig { rank, alpha: 4.0 });
    PretrainedConfig { folder: PathBuf::new(), trained_blocks, lora, states: HiddenStates::Last, kept_megabytes: 0 }
}

fn kinds() -> [PretrainedConfig; 4] {
    [trained(0, None), trained(1, None), trained(9, None), trained(0, Some(2))]
}

fn network(base: &Arc<PretrainedBase>, torso: PretrainedConfig, head: HeadConfig, device: &Device) -> TextQNetwork {
    let torso = PretrainedConfig { states: base.states(), ..torso };
    let head_hidden = (!matches!(head, HeadConfig::LanguageModel {})).then_some(7);
    let config = NetworkConfig { torso: TorsoConfig::Pretrained(torso), head, head_hidden, ..NetworkConfig::default() };
    let shape = InputShape { n_tokens: N_TOKENS, n_positions: 1, source: None };
    let actions = ActionTable::of_tokens((3..N_TOKENS as u32).map(TokenId));
    let companions = Companions { has_policy: true, has_second: true };
    config.init_on(Some(base), shape, &actions, companions, &mut Seed(3).stream("init"), device)
}

fn heads() -> [HeadConfig; 4] {
    [
        HeadConfig::Scalar { init_deviation: 0.5 },
        HeadConfig::Dueling { init_deviation: 0.5 },
        HeadConfig::Policy { temperature: 0.5, init_deviation: 0.5, from_model: true },
        HeadConfig::LanguageModel {},
    ]
}

fn ids(rows: &[Vec<i64>], device: &Device) -> Tensor<2, Int> {
    Tensor::from_data(TensorData::new(rows.concat(), [rows.len(), rows[0].len()]), device)
}

fn input(rows: &[Vec<i64>], decisions: &[Vec<i64>], device: &Device) -> SequenceInput {
    let tokens = ids(rows, device);
    SequenceInput { positions: tokens.zeros_like(), decisions: ids(decisions, device), tokens, source: None }
}

fn texts() -> Vec<Vec<i64>> {
    vec![vec![2, 5, 6, 7, 19, 4], vec![2, 9, 8, 3, 10, 11], vec![2, 4, 4, 12, 18, 5]]
}

fn assert_close<const D: usize>(found: Tensor<D>, expected: Tensor<D>, context: &str) {
    assert_eq!(found.dims(), expected.dims(), "{context}");
    let difference: f32 = (found - expected).abs().max().into_scalar();
    assert!(difference < 2e-5, "{context}: differs by {difference}");
}

/// The network after one step of an optimizer that moves every parameter with a gradient.
fn moved(network: TextQNetwork) -> (TextQNetwork, usize) {
    let device = network.device();
    let all: Vec<Vec<i64>> = vec![(0..6).collect(); 3];
    let features = network.features(&input(&texts(), &all, &device));
    let loss = network.q_values(features.clone()).powi_scalar(2).mean()
        + network.second_q_values(features.clone()).mean()
        + network.state_values(features.clone()).mean()
        + log_softmax(network.policy_logits(features), 2).narrow(2, 0, 2).mean();
    let gradients = GradientsParams::from_grads(loss.backward(), &network);
    let n_gradients = gradients.len();
    let (momentum, nesterov, l2) = (0.0, false, 0.0);
    let learning_rate = Schedule::Constant { value: 0.1 };
    let mut optimizer = OptimizerConfig::Sgd { learning_rate, momentum, nesterov, l2 }.init();
    (optimizer.step(0.1, network, gradients), n_gradients)
}

#[test]
fn what_a_frozen_model_kept_is_bit_for_bit_what_it_reads() {
    let device = Device::flex();
    for (model, states) in MODELS.into_iter().flat_map(|model| STATES.map(|states| (model, states))) {
        let keeping = Arc::new(Arc::into_inner(base(model, states)).unwrap().keeping(1_000_000).unwrap());
        let features = |base: &Arc<PretrainedBase>, decisions: Vec<Vec<i64>>| {
            let network = network(base, trained(0, None), heads()[0], &device);
            let features = network.features(&input(&texts(), &decisions, &device));
            features.try_into_vec_as::<f32>().unwrap()
        };
        // Another question about the same texts, so that the second answer is not the last one.
        for decisions in [vec![vec![1, 2, 5]; 3], vec![vec![0, 5]; 3], vec![vec![1, 2, 5]; 3]] {
            assert_eq!(features(&keeping, decisions.clone()), features(&base(model, states), decisions), "{model}");
        }
    }
}

#[test]
fn token_by_token_equals_the_whole_text_also_after_learning() {
    let device = Device::flex();
    let all: Vec<Vec<i64>> = vec![(0..6).collect(); 3];
    for (model, base) in bases() {
        for (torso, head) in kinds().into_iter().flat_map(|torso| heads().map(|head| (torso.clone(), head))) {
            let context = format!("{model} {torso:?} {head:?}");
            let learned = moved(network(&base, torso, head, &device.clone().autodiff())).0;
            let network = learned.valid();
            let whole = network.q_values(network.features(&input(&texts(), &all, &device)));
            let at = |index: usize| whole.clone().narrow(1, index, 1).squeeze_dim::<2>(1);
            let rows = |order: [i64; 2]| Tensor::<1, Int>::from_data(order, &device);
            for network in [network.clone(), network.clone().for_acting()] {
                let (mut state, q) = network.start(&input(&texts(), &vec![vec![2]; 3], &device));
                assert_close(q, at(2), &context);
                let column = |at: usize, rows: &[usize]| {
                    let tokens: Vec<i64> = rows.iter().map(|&row| texts()[row][at]).collect();
                    let tokens = Tensor::<1, Int>::from_data(TensorData::new(tokens, [rows.len()]), &device);
                    StepInput { positions: tokens.zeros_like(), tokens }
                };
                assert_close(network.step(&column(3, &[0, 1, 2]), &mut state), at(3), &context);
                // The texts part, change places, and go on together.
                let first = network.select(state.clone(), rows([2, 0]));
                let second = network.select(state, rows([1, 1]));
                let mut joined = network.join(first, second);
                let found = network.step(&column(4, &[2, 0, 1, 1]), &mut joined);
                let order = Tensor::<1, Int>::from_data([2, 0, 1, 1], &device);
                assert_close(found, at(4).select(0, order), &context);
                let features = network.features(&input(&texts(), &all, &device));
                assert_close(network.q_values(features), whole.clone(), &context);
            }
            // With a graph the same is said as without.
            let lifted = input(&texts(), &all, &device).lifted();
            assert_close(learned.q_values(learned.features(&lifted)).inner(), whole, &context);
        }
    }
}

#[test]
fn only_what_is_trained_has_gradients_and_a_place_in_checkpoints() {
    let device = Device::flex();
    for (model, base) in bases() {
        let before = base.lm().clone().into_record().into_bytes().unwrap().to_vec();
        let n_parameters = |torso: PretrainedConfig| {
            let network = network(&base, torso, heads()[0], &device.clone().autodiff());
            let (n_all, stored) = (network.num_params(), learner::parameters(&network).unwrap().len());
            let (moved, n_gradients) = moved(network);
            assert!(moved.num_params() == n_all);
            (n_all, n_gradients, stored)
        };
        let [frozen, last, all, adapted] = kinds().map(n_parameters);
        // Two values of actions and one of the state, each behind a layer of its own: weight and bias of six layers.
        assert_eq!(frozen.1, 12, "{model}");
        assert!(frozen.0 < last.0 && last.0 < all.0, "{model}: {frozen:?} {last:?} {all:?}");
        assert!(frozen.1 < adapted.1 && last.1 < all.1, "{model}");
        assert!(frozen.2 < last.2 && last.2 < all.2, "{model}: frozen parameters are not stored");
        let after = base.lm().clone().into_record().into_bytes().unwrap().to_vec();
        assert!(before == after, "{model}: the frozen model changed");
    }
}

#[test]
fn adapters_and_heads_begin_as_the_model() {
    let device = Device::flex();
    let all: Vec<Vec<i64>> = vec![(0..6).collect(); 3];
    for (model, base) in bases() {
        // The model asked directly, by its own ids, for the tokens that actions write.
        let own: Vec<Vec<i64>> =
            texts().iter().map(|text| text.iter().map(|&token| i64::from(MAP[token as usize])).collect()).collect();
        let hidden = base.lm().hidden(ids(&own, &device));
        let width = base.lm().config().width;
        let logits = base.lm().logits(hidden.reshape([18, width]));
        let chosen: Vec<i64> = MAP[3..].iter().map(|&id| i64::from(id)).collect();
        let n_actions = chosen.len();
        let chosen = Tensor::<1, Int>::from_data(TensorData::new(chosen, [n_actions]), &device);
        let expected = log_softmax(logits.select(1, chosen), 1).reshape([3, 6, n_actions]);
        for torso in kinds() {
            for (head, temperature) in [
                (HeadConfig::LanguageModel {}, 1.0),
                (HeadConfig::Policy { temperature: 0.5, init_deviation: 0.0, from_model: true }, 0.5),
            ] {
                let context = format!("{model} {torso:?} {head:?}");
                let network = network(&base, torso.clone(), head, &device);
                let features = network.features(&input(&texts(), &all, &device));
                let found = network.q_values(features.clone()).div_scalar(temperature);
                assert_close(log_softmax(found, 2), expected.clone(), &context);
                assert_close(log_softmax(network.policy_logits(features.clone()), 2), expected.clone(), &context);
                // Without values that weigh anything, what is decoded is the model.
                let decoding = Decoding { beta: 0.0, with_policy: true, top_k: None, temperature: 0.0 };
                let decoded = network.decoding(Some(decoding)).for_acting().q_values(features);
                assert_close(decoded, expected.clone(), &context);
            }
        }
    }
}

#[test]
#[expect(deprecated, reason = "burn-ndarray is one of the backends this project promises")]
fn all_states_are_those_below_scaled_and_then_the_last() {
    let texts: [&[TokenId]; 2] = [&[5, 6, 7].map(TokenId), &[9, 3].map(TokenId)];
    for model in MODELS {
        let mut found = Vec::new();
        // Packed weights, and plain tensors with padding.
        for device in [Device::flex(), Device::ndarray()] {
            let lm = load(model, &device);
            let (config, table) = (lm.config().clone(), lm.embedding.val());
            let positions = lm.positions.as_ref().map(|positions| positions.val());
            let width = config.width;
            let acting = lm.for_acting();
            let last = acting.hidden(&texts).unwrap();
            let acting = acting.showing(HiddenStates::All);
            let all = acting.hidden(&texts).unwrap();
            assert_eq!(all.dims(), [5, (config.n_layers + 1) * width], "{model}");
            assert_close(all.clone().narrow(1, config.n_layers * width, width), last.clone(), model);
            assert_close(acting.logits(all.clone()), acting.logits(last), model);

            let row = |table: &Tensor<2>, row: usize| table.clone().narrow(0, row, 1);
            for (index, (place, token)) in [(0, 5), (1, 6), (2, 7), (0, 9), (1, 3)].into_iter().enumerate() {
                let vector = match &positions {
                    Some(positions) => row(&table, token) + row(positions, place),
                    None => row(&table, token),
                };
                let scale = (vector.clone().square().mean() + config.norm_epsilon).sqrt();
                let state = row(&all, index).narrow(1, 0, width);
                assert_close(state, vector / scale.reshape([1, 1]), model);
            }
            for layer in 1..config.n_layers {
                let squares = all.clone().narrow(1, layer * width, width).square().mean_dim(1);
                let [least, most] = [squares.clone().min(), squares.max()].map(|square| square.into_scalar::<f32>());
                assert!(least > 0.9 && most < 1.00001, "{model}: {least} to {most}");
            }
            found.push(all.into_data());
        }
        let [packed, plain] = found.try_into().unwrap();
        packed.assert_approx_eq::<f32>(&plain, Tolerance::absolute(2e-5));
    }
}

#[test]
fn a_vocabulary_of_another_model_is_refused() {
    let lm = load("llama", &Device::flex());
    let vocab_size = lm.config().vocab_size as u32;
    let error = PretrainedBase::new(lm, vec![TokenId(0), TokenId(vocab_size)], HiddenStates::Last).unwrap_err();
    let error = error.to_string();
    assert!(error.contains(&vocab_size.to_string()), "{error}");
}
