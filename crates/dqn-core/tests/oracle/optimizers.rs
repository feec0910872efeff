//! Six steps of each optimizer on random gradients against the formulas of one number.

use burn::module::Param;
use burn::nn::LinearConfig;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use dqn_core::Schedule;
use dqn_core::optimizer::{OptimizerConfig, clip_by_global_norm, clip_by_value};
use proptest::prelude::*;

const N: usize = 3;
const RATE: f64 = 0.05;

/// What an optimizer remembers of one parameter, and its next step.
#[derive(Clone, Copy, Default)]
struct Memory {
    n_steps: i32,
    mean: f64,
    square: f64,
    velocity: f64,
}

impl Memory {
    /// The parameter after a step with `gradient`.
    fn step(&mut self, config: &OptimizerConfig, parameter: f64, gradient: f64) -> f64 {
        self.n_steps += 1;
        let first = self.n_steps == 1;
        match *config {
            OptimizerConfig::Adam { beta_1, beta_2, epsilon, l2, .. } => {
                parameter - RATE * self.adam(gradient + l2 * parameter, beta_1, beta_2, epsilon)
            }
            OptimizerConfig::AdamW { beta_1, beta_2, epsilon, weight_decay, .. } => {
                parameter - RATE * weight_decay * parameter - RATE * self.adam(gradient, beta_1, beta_2, epsilon)
            }
            OptimizerConfig::AdaGrad { epsilon, l2, .. } => {
                let gradient = gradient + l2 * parameter;
                self.square += gradient * gradient;
                parameter - RATE * gradient / (self.square.sqrt() + epsilon)
            }
            OptimizerConfig::RmsProp { decay, momentum, epsilon, centered, l2, .. } => {
                let gradient = gradient + l2 * parameter;
                self.mean = decay * self.mean + (1.0 - decay) * gradient;
                self.square = decay * self.square + (1.0 - decay) * gradient * gradient;
                let spread = if centered { self.square - self.mean * self.mean } else { self.square };
                self.velocity = momentum * self.velocity + gradient / (spread.sqrt() + epsilon);
                parameter - RATE * self.velocity
            }
            OptimizerConfig::Sgd { momentum, nesterov, l2, .. } => {
                let gradient = gradient + l2 * parameter;
                self.velocity = if first { gradient } else { momentum * self.velocity + gradient };
                parameter - RATE * if nesterov { gradient + momentum * self.velocity } else { self.velocity }
            }
        }
    }

    fn adam(&mut self, gradient: f64, beta_1: f64, beta_2: f64, epsilon: f64) -> f64 {
        self.mean = beta_1 * self.mean + (1.0 - beta_1) * gradient;
        self.square = beta_2 * self.square + (1.0 - beta_2) * gradient * gradient;
        let mean = self.mean / (1.0 - beta_1.powi(self.n_steps));
        let square = self.square / (1.0 - beta_2.powi(self.n_steps));
        mean / (square.sqrt() + epsilon)
    }
}

fn optimizers() -> impl Strategy<Value = OptimizerConfig> {
    let learning_rate = Schedule::Constant { value: RATE };
    let l2 = || prop::sample::select(vec![0.0, 0.3]);
    let epsilon = || prop::sample::select(vec![1e-8, 1e-2]);
    let momentum = || prop::sample::select(vec![0.0, 0.6]);
    prop_oneof![
        (0.5..0.95_f64, 0.8..0.999_f64, epsilon(), l2()).prop_map(move |(beta_1, beta_2, epsilon, l2)| {
            OptimizerConfig::Adam { learning_rate, beta_1, beta_2, epsilon, l2 }
        }),
        (0.5..0.95_f64, 0.8..0.999_f64, epsilon(), l2()).prop_map(move |(beta_1, beta_2, epsilon, weight_decay)| {
            OptimizerConfig::AdamW { learning_rate, beta_1, beta_2, epsilon, weight_decay }
        }),
        (epsilon(), l2()).prop_map(move |(epsilon, l2)| OptimizerConfig::AdaGrad { learning_rate, epsilon, l2 }),
        (0.5..0.95_f64, momentum(), epsilon(), any::<bool>(), l2()).prop_map(
            move |(decay, momentum, epsilon, centered, l2)| OptimizerConfig::RmsProp {
                learning_rate,
                decay,
                momentum,
                epsilon,
                centered,
                l2
            }
        ),
        (momentum(), any::<bool>(), l2()).prop_map(move |(momentum, nesterov, l2)| {
            OptimizerConfig::Sgd { learning_rate, momentum, nesterov: nesterov && momentum > 0.0, l2 }
        }),
    ]
}

/// Gradients away from 0, where a step is not the quotient of two small numbers.
fn gradients() -> impl Strategy<Value = [f64; N]> {
    prop::array::uniform3(prop_oneof![-2.0..-0.1_f64, 0.1..2.0_f64])
}

proptest! {
    #[test]
    fn steps_are_those_of_the_formulas(
        config in optimizers(),
        begin in prop::array::uniform3(-2.0..2.0_f64),
        all_gradients in prop::collection::vec(gradients(), 6),
    ) {
        let device = Device::flex().autodiff();
        let tensor = |values: [f64; N], shape: [usize; 2]| {
            Tensor::<2>::from_data(TensorData::new(values.map(|value| value as f32).to_vec(), shape), &device)
        };
        let mut module = LinearConfig::new(N, 1).with_bias(false).init(&device);
        module.weight = Param::from_tensor(tensor(begin, [N, 1]));
        let mut optimizer = config.init();
        let (mut parameters, mut memories) = (begin, [Memory::default(); N]);
        for (step, gradients) in all_gradients.into_iter().enumerate() {
            let loss = tensor(gradients, [1, N]).matmul(module.weight.val()).sum();
            let found = GradientsParams::from_grads(loss.backward(), &module);
            module = optimizer.step(RATE, module, found);
            for ((parameter, memory), gradient) in parameters.iter_mut().zip(&mut memories).zip(gradients) {
                *parameter = memory.step(&config, *parameter, gradient);
            }
            let found: Vec<f32> = module.weight.val().try_into_vec_as().unwrap();
            for (found, expected) in found.iter().zip(parameters) {
                let difference = (f64::from(*found) - expected).abs();
                prop_assert!(difference < 2e-4, "step {step} of {config:?}: {found} instead of {expected}");
            }
        }
    }

    #[test]
    fn gradients_are_clipped_by_value_then_by_norm(
        gradients in gradients(),
        max_value in 0.05..3.0_f64,
        max_norm in 0.05..3.0_f64,
    ) {
        let device = Device::flex().autodiff();
        let module = LinearConfig::new(N, 1).with_bias(false).init(&device);
        let row = TensorData::new(gradients.map(|value| value as f32).to_vec(), [1, N]);
        let loss = Tensor::<2>::from_data(row, &device).matmul(module.weight.val()).sum();
        let mut found = GradientsParams::from_grads(loss.backward(), &module);
        clip_by_value(&mut found, &module, max_value);
        let found_norm: f32 = clip_by_global_norm(&mut found, &module, Some(max_norm)).into_scalar();
        let cut = gradients.map(|gradient| gradient.min(max_value).max(-max_value));
        let norm = cut.iter().map(|gradient| gradient * gradient).sum::<f64>().sqrt();
        prop_assert!((f64::from(found_norm) - norm).abs() < 1e-5);
        let found: Vec<f32> = found.get::<2>(module.weight.id).unwrap().try_into_vec_as().unwrap();
        for (found, gradient) in found.iter().zip(cut) {
            let expected = if norm > max_norm { gradient * max_norm / norm } else { gradient };
            prop_assert!((f64::from(*found) - expected).abs() < 1e-5, "{found} instead of {expected}");
        }
    }
}
