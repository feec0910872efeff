//! What does not make sense about a pretrained model in an experiment.

use dqn_core::objective::Objective;
use dqn_model::{HeadConfig, NetworkConfig};
use dqn_text::tokenizer::TokenizerConfig;

use super::faults::Faults;
use super::{ExperimentConfig, PositionConfig, PriorConfig};

impl ExperimentConfig {
    pub(super) fn pretrained_faults(&self, faults: &mut Faults) {
        let torso = self.network.torso.pretrained();
        let has_tokenizer = matches!(self.tokenizer, TokenizerConfig::Pretrained { .. });
        let single = "a pretrained model knows single tokens of its tokenizer: tokenizer = { kind = \"pretrained\", ... } and \
                      actions of one token";
        let fits = has_tokenizer && self.actions.many_token_kind().is_none();
        if let Some(PriorConfig::Pretrained { .. }) = self.prior
            && !fits
        {
            faults.note("prior.kind", "pretrained".to_owned(), single);
        }
        if let Some(discriminator) = &self.discriminator
            && let Some(network) = &discriminator.network
            && network.torso.pretrained().is_some()
        {
            let why = "it learns beside a policy and begins anew: use another torso";
            faults.note("discriminator.network.torso.kind", "pretrained".to_owned(), why);
        }
        self.head_hidden_faults(faults);
        let Some(torso) = torso else {
            let why = "it has the logits of a torso that is a pretrained model";
            match self.network.head {
                HeadConfig::LanguageModel {} => faults.note("network.head.kind", "language_model".to_owned(), why),
                HeadConfig::Policy { from_model: true, .. } => {
                    faults.note("network.head.from_model", "true".to_owned(), why);
                }
                _ => {}
            }
            return;
        };
        if !fits {
            faults.note("network.torso.kind", "pretrained".to_owned(), single);
        }
        if torso.trained_blocks > 0 && torso.lora.is_some() {
            let why = "either whole blocks are trained or adapters beside them: remove one of both";
            faults.note("network.torso.lora", "a table".to_owned(), why);
        }
        let default = NetworkConfig::default();
        let why = "a pretrained model has vectors and a last norm of its own and reads tokens only: remove it";
        if self.network.embedding_width != default.embedding_width {
            faults.note("network.embedding_width", self.network.embedding_width.to_string(), why);
        }
        if self.network.layer_norm {
            faults.note("network.layer_norm", "true".to_owned(), why);
        }
        if self.positions != PositionConfig::None {
            faults.note("positions.kind", "positions".to_owned(), why);
        }
        if self.network.dropout > 0.0 {
            let why = "the logits of a pretrained model are those of whole features: use 0";
            faults.note("network.dropout", self.network.dropout.to_string(), why);
        }
        if let HeadConfig::Relevance(_) | HeadConfig::Tied { .. } = self.network.head {
            let why = "vectors of tokens are the model's own: use scalar, dueling, policy or language_model";
            faults.note("network.head.kind", "relevance or tied".to_owned(), why);
        }
        // At temperature 1 the values of a group are logits up to a number for each state.
        let is_group = self.learner.objective == (Objective::GroupConsistency {})
            && self.learner.bootstrap.temperature() == Some(1.0)
            && !self.learner.bootstrap.weighs_prior();
        let learns_logits = self.learner.objective.teaches_logits() || is_group;
        let are_logits = matches!(self.network.head, HeadConfig::LanguageModel {});
        if are_logits && (!learns_logits || self.network.noise.is_some() || torso.is_frozen()) {
            let why = "logits are no values: it is for the objectives imitation and optimal_completion, and for group_consistency \
                       with the bootstrap soft at temperature 1, without noise, and with trained_blocks or lora, since the \
                       output layer itself is not trained";
            faults.note("network.head.kind", "language_model".to_owned(), why);
        }
        let has_policy = self.companions().has_policy;
        if torso.is_frozen() && self.learner.imitation > 0.0 {
            let why = "nothing of the policy is trained, which is the frozen model: use 0, or trained_blocks or lora";
            faults.note("learner.imitation", self.learner.imitation.to_string(), why);
        }
        if !torso.is_frozen() && has_policy && self.learner.imitation == 0.0 {
            let why =
                "values would draw the model away from the data that its policy is of: give it a weight such as 1";
            faults.note("learner.imitation", "0".to_owned(), why);
        }
    }

    fn head_hidden_faults(&self, faults: &mut Faults) {
        let Some(width) = self.network.head_hidden else { return };
        if let HeadConfig::Relevance(_) | HeadConfig::Tied { .. } | HeadConfig::LanguageModel {} = self.network.head {
            let why = "only the heads scalar, dueling and policy have a hidden layer: remove it";
            faults.note("network.head_hidden", width.to_string(), why);
        }
    }
}
