//! What values the actions: one of the heads.

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Int, Tensor};
use dqn_mdp::ActionTable;
use rand::Rng;

use crate::embedding::TokenEmbedding;
use crate::head::{Head, HeadConfig};
use crate::init::Init;
use crate::linear::Linear;
use crate::network::NetworkConfig;
use crate::pretrained::{LanguageModelHead, PretrainedBase};
use crate::relevance::Relevance;
use crate::tied::Tied;

/// What a head is made for.
pub(crate) struct HeadShape<'a> {
    /// Number of features.
    pub(crate) width: usize,
    pub(crate) actions: &'a ActionTable,
    /// The pretrained model that the torso is, where it is one.
    pub(crate) base: Option<&'a Arc<PretrainedBase>>,
}

/// What values the actions.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "a network holds one of them, once")]
pub(crate) enum ActionValues {
    /// Weights of each action's own.
    Linear(Head),
    /// The text of each action.
    Relevance(Relevance),
    /// The vectors of their tokens.
    Tied(Tied),
    /// The output layer of the pretrained model that is the torso.
    LanguageModel(LanguageModelHead),
}

impl ActionValues {
    /// The head of a network that is configured so.
    pub(crate) fn new<R: Rng>(
        config: &NetworkConfig,
        &HeadShape { width, actions, base }: &HeadShape<'_>,
        init: &mut Init<'_, R>,
    ) -> Self {
        let of_model =
            || LanguageModelHead::new(base.expect("a checked configuration gives the head a model"), actions);
        match &config.head {
            HeadConfig::Relevance(relevance) => {
                Self::Relevance(Relevance::new(relevance, [config.embedding_width, width], actions, init))
            }
            HeadConfig::Tied { init_deviation } => {
                Self::Tied(Tied::new(*init_deviation, [config.embedding_width, width], actions, init))
            }
            HeadConfig::LanguageModel {} => Self::LanguageModel(of_model()),
            HeadConfig::Scalar { .. } | HeadConfig::Dueling { .. } | HeadConfig::Policy { .. } => {
                let hidden = config.head_hidden.map(|hidden| Linear::new(width, hidden, 6.0, init));
                let seen = [config.head_hidden.unwrap_or(width), actions.len()];
                let model = matches!(config.head, HeadConfig::Policy { from_model: true, .. }).then(of_model);
                let head = Head::new(config.head, config.distribution, config.noise, seen, init);
                Self::Linear(head.behind(hidden).beside(model))
            }
        }
    }

    pub(crate) fn n_actions(&self) -> usize {
        match self {
            Self::Linear(head) => head.n_actions(),
            Self::Relevance(head) => head.n_actions(),
            Self::Tied(head) => head.n_actions(),
            Self::LanguageModel(head) => head.n_actions(),
        }
    }

    /// The value of every action: `[rows, width]` to `[rows, actions]`.
    pub(crate) fn q_values(&self, embedding: &TokenEmbedding, features: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Linear(head) => head.q_values(features),
            Self::Relevance(head) => head.q_values(embedding, features),
            Self::Tied(head) => head.q_values(embedding, features),
            Self::LanguageModel(head) => head.logits(features),
        }
    }

    /// What the head says of one action in each row: `[rows, atoms]`.
    pub(crate) fn atoms_taken(
        &self,
        embedding: &TokenEmbedding,
        features: Tensor<2>,
        actions: Tensor<1, Int>,
    ) -> Tensor<2> {
        match self {
            Self::Linear(head) => head.atoms_taken(features, actions),
            Self::Relevance(head) => head.q_taken(embedding, features, actions).unsqueeze_dim(1),
            Self::Tied(head) => head.q_taken(embedding, features, actions).unsqueeze_dim(1),
            Self::LanguageModel(head) => head.logits_taken(features, actions).unsqueeze_dim(1),
        }
    }

    pub(crate) fn considering(self, considered: Option<&[i64]>) -> Self {
        match self {
            Self::Relevance(head) => Self::Relevance(head.considering(considered)),
            others @ (Self::Linear(_) | Self::Tied(_) | Self::LanguageModel(_)) => others,
        }
    }

    pub(crate) fn for_acting(self, embedding: &TokenEmbedding) -> Self {
        match self {
            Self::Linear(head) => Self::Linear(head.for_acting()),
            Self::Relevance(head) => Self::Relevance(head.for_acting(embedding)),
            Self::LanguageModel(head) => Self::LanguageModel(head.for_acting()),
            others @ Self::Tied(_) => others,
        }
    }
}
