//! Step 7 of the textbook, sync: how the target network follows the online network.

use std::collections::HashMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::learner;

/// How the target network follows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum TargetUpdate {
    /// A copy every so many parameter updates (Mnih et al. 2015).
    Hard {
        /// Parameter updates between two copies.
        #[schemars(range(min = 1))]
        every_updates: u64,
    },
    /// After every parameter update a step of size `rate` towards the online network (Polyak averaging; Lillicrap et
    /// al. 2016).
    Polyak {
        /// Size of the step, above 0; 1 copies.
        #[schemars(range(min = 1e-9, max = 1.0))]
        rate: f64,
    },
}

/// Which of both networks acts, is evaluated, and writes after learning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActingNetwork {
    /// The one that learns.
    #[default]
    Online,
    /// The one that follows it. Under Polyak averaging that is the mean of the last `1 / rate` online networks, from which
    /// the noise of single updates is gone (Polyak and Juditsky 1992).
    Target,
}

impl ActingNetwork {
    /// The part of a checkpoint that holds it.
    pub fn part(self) -> &'static str {
        match self {
            ActingNetwork::Online => learner::ONLINE,
            ActingNetwork::Target => learner::TARGET,
        }
    }
}

impl TargetUpdate {
    /// The target network after update number `update`, counted from 1.
    ///
    /// ```text
    /// hard:    target = online   if update is a multiple of every_updates
    /// polyak:  target = target + rate * (online - target)
    /// ```
    ///
    /// `online` carries no graph.
    pub fn apply<M: Module>(&self, target: M, online: &M, update: u64) -> M {
        match *self {
            TargetUpdate::Hard { every_updates } if update.is_multiple_of(every_updates) => online.clone(),
            TargetUpdate::Hard { .. } => target,
            TargetUpdate::Polyak { rate } => towards(target, online, rate),
        }
    }
}

fn towards<M: Module>(target: M, online: &M, rate: f64) -> M {
    let mut parameters = Parameters::default();
    online.visit(&mut parameters);
    target.map(&mut Towards { parameters, rate })
}

/// The values of a module's parameters by id, rank erased.
#[derive(Default)]
struct Parameters(HashMap<ParamId, Tensor<1>>);

impl ModuleVisitor for Parameters {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.insert(param.id, param.val().flatten(0, D - 1));
    }
}

struct Towards {
    parameters: Parameters,
    rate: f64,
}

impl ModuleMapper for Towards {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let goal = self.parameters.0.remove(&param.id).expect("both networks come from the same module");
        param.map(|value| {
            let goal = goal.reshape(value.shape());
            value.clone() + (goal - value).mul_scalar(self.rate)
        })
    }
}

#[cfg(test)]
mod tests {
    use burn::nn::{Linear, LinearConfig};
    use burn::tensor::Device;

    use super::*;

    fn filled(like: &Linear, value: f32) -> Linear {
        struct Fill(f32);
        impl ModuleMapper for Fill {
            fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
                param.map(|tensor| tensor.full_like(self.0))
            }
        }
        like.clone().map(&mut Fill(value))
    }

    fn weight(module: &Linear) -> f32 {
        module.weight.val().mean().into_scalar()
    }

    #[test]
    fn hard_updates_copy_at_multiples_and_polyak_moves_each_time() {
        let module = LinearConfig::new(2, 3).init(&Device::flex());
        let (target, online) = (filled(&module, 0.0), filled(&module, 1.0));
        let hard = TargetUpdate::Hard { every_updates: 3 };
        let at = |update| weight(&hard.apply(target.clone(), &online, update));
        assert_eq!([at(1), at(2), at(3), at(4), at(6)], [0.0, 0.0, 1.0, 0.0, 1.0]);
        let polyak = TargetUpdate::Polyak { rate: 0.25 };
        let once = polyak.apply(target, &online, 1);
        assert_eq!(weight(&once), 0.25);
        assert_eq!(weight(&polyak.apply(once, &online, 2)), 0.4375);
    }
}
