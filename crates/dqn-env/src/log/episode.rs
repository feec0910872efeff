//! An episode as a line of a log holds it.

use dqn_mdp::Outcome;
use dqn_text::TokenId;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::fault::LogProblem;

/// An episode of a log, in one of its three shapes.
///
/// What was read is well-formed, see [`LoggedEpisode::check`]; what is built by hand may not be.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum LoggedEpisode {
    /// Texts that were shown and texts that were written, in turn.
    Turns(LoggedTurns),
    /// Token ids of the vocabulary the policy will use.
    Tokens(LoggedTokens),
    /// A prompt, what was answered, and what that was worth.
    Triple(LoggedTriple),
}

/// An episode as texts.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoggedTurns {
    /// A name of the episode; nothing reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The texts in their order, each `[text, is_action]`: at least one action, and no action of no text. Before the
    /// first action stands what was shown at the beginning; an episode that begins with an action has an empty prompt.
    pub turns: Vec<LoggedTurn>,
    /// For each action turn, its reward: finite, single precision.
    pub rewards: Vec<f32>,
    /// How the episode ended.
    #[serde(default)]
    pub outcome: LoggedOutcome,
}

/// A text that was shown or written; in JSON `[text, is_action]`.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(with = "(String, bool)")]
pub struct LoggedTurn {
    /// The text, as it was: nothing is put between two turns, so that line ends stand in it.
    pub text: String,
    /// Whether the policy wrote it, and not the environment.
    pub is_action: bool,
}

/// An episode as token ids.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoggedTokens {
    /// A name of the episode; nothing reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The whole text. `<bos>` may stand first and nowhere else, `<pad>` nowhere.
    #[schemars(with = "Vec<u32>")]
    pub tokens: Vec<TokenId>,
    /// For each token, whether the policy wrote it; at least one is true.
    pub is_action: Vec<bool>,
    /// For each token the policy wrote, its reward: finite, single precision.
    pub rewards: Vec<f32>,
    /// How the episode ended.
    #[serde(default)]
    pub outcome: LoggedOutcome,
}

/// A prompt, an answer and its reward: one turn that was shown and one that was written, after which the episode
/// terminated.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoggedTriple {
    /// A name of the episode; nothing reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What was shown; may be empty.
    pub prompt: String,
    /// What was written.
    pub response: String,
    /// What it was worth: finite, single precision.
    pub reward: f32,
}

/// How a logged episode ended. A log holds whole episodes, so that none of them goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LoggedOutcome {
    /// By the rules of the task: nothing of value follows.
    #[default]
    Terminated,
    /// Cut by a limit: value would have followed.
    Truncated,
}

impl From<LoggedOutcome> for Outcome {
    fn from(outcome: LoggedOutcome) -> Self {
        match outcome {
            LoggedOutcome::Terminated => Outcome::Terminated,
            LoggedOutcome::Truncated => Outcome::Truncated,
        }
    }
}

/// What a log says of an episode that is over; one that goes on was cut where the log ends.
impl From<Outcome> for LoggedOutcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Terminated => LoggedOutcome::Terminated,
            Outcome::Truncated | Outcome::Continues => LoggedOutcome::Truncated,
        }
    }
}

impl From<LoggedTurns> for LoggedEpisode {
    fn from(episode: LoggedTurns) -> Self {
        Self::Turns(episode)
    }
}

impl From<LoggedTokens> for LoggedEpisode {
    fn from(episode: LoggedTokens) -> Self {
        Self::Tokens(episode)
    }
}

impl From<LoggedTriple> for LoggedEpisode {
    fn from(episode: LoggedTriple) -> Self {
        Self::Triple(episode)
    }
}

impl LoggedTurn {
    /// A text that was shown.
    pub fn shown(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_action: false }
    }

    /// A text that the policy wrote.
    pub fn written(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_action: true }
    }
}

impl Serialize for LoggedTurn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.text, self.is_action).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for LoggedTurn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (text, is_action) = Deserialize::deserialize(deserializer)?;
        Ok(Self { text, is_action })
    }
}

impl LoggedEpisode {
    /// The name of the episode, if it has one.
    pub fn id(&self) -> Option<&str> {
        let (Self::Turns(LoggedTurns { id, .. })
        | Self::Tokens(LoggedTokens { id, .. })
        | Self::Triple(LoggedTriple { id, .. })) = self;
        id.as_deref()
    }

    /// The rewards, one for each action turn or action token.
    pub fn rewards(&self) -> &[f32] {
        match self {
            Self::Turns(LoggedTurns { rewards, .. }) | Self::Tokens(LoggedTokens { rewards, .. }) => rewards,
            Self::Triple(triple) => std::slice::from_ref(&triple.reward),
        }
    }

    /// Sum of the rewards, undiscounted.
    pub fn episode_return(&self) -> f64 {
        self.rewards().iter().copied().map(f64::from).sum()
    }

    /// How the episode ended.
    pub fn outcome(&self) -> LoggedOutcome {
        match self {
            Self::Turns(LoggedTurns { outcome, .. }) | Self::Tokens(LoggedTokens { outcome, .. }) => *outcome,
            Self::Triple(_) => LoggedOutcome::Terminated,
        }
    }

    /// The texts in their order, each with whether it is an action; `None` for token ids.
    pub fn texts(&self) -> Option<Vec<(&str, bool)>> {
        match self {
            Self::Turns(LoggedTurns { turns, .. }) => {
                Some(turns.iter().map(|turn| (turn.text.as_str(), turn.is_action)).collect())
            }
            Self::Tokens(_) => None,
            Self::Triple(triple) => Some(vec![(&triple.prompt, false), (&triple.response, true)]),
        }
    }

    /// Checks what the types leave open.
    ///
    /// # Errors
    /// [`LogProblem::NoAction`], [`LogProblem::EmptyAction`], [`LogProblem::FlagCount`], [`LogProblem::RewardCount`]
    /// and [`LogProblem::Reward`].
    pub fn check(&self) -> Result<(), LogProblem> {
        let (expected, unit) = match self {
            Self::Turns(LoggedTurns { turns, .. }) => {
                if let Some(turn) = turns.iter().position(|turn| turn.is_action && turn.text.is_empty()) {
                    return Err(LogProblem::EmptyAction { turn });
                }
                (turns.iter().filter(|turn| turn.is_action).count(), "action turn")
            }
            Self::Tokens(LoggedTokens { tokens, is_action, .. }) => {
                if tokens.len() != is_action.len() {
                    return Err(LogProblem::FlagCount { n_tokens: tokens.len(), n_flags: is_action.len() });
                }
                (is_action.iter().filter(|&&flag| flag).count(), "action token")
            }
            Self::Triple(triple) => return finite("reward", f64::from(triple.reward)).map(|_| ()),
        };
        let found = self.rewards().len();
        if expected == 0 {
            return Err(LogProblem::NoAction);
        }
        if found != expected {
            return Err(LogProblem::RewardCount { found, expected, unit });
        }
        let mut rewards = self.rewards().iter().enumerate();
        rewards.try_for_each(|(index, &reward)| finite(&format_place(index), f64::from(reward)).map(|_| ()))
    }
}

fn format_place(index: usize) -> String {
    format!("rewards[{index}]")
}

/// The reward that stands `at` a place, in single precision.
fn finite(at: &str, reward: f64) -> Result<f32, LogProblem> {
    let narrow = reward as f32;
    let problem = || LogProblem::Reward { at: at.to_owned(), found: format!("{reward:?}") };
    narrow.is_finite().then_some(narrow).ok_or_else(problem)
}

/// All keys a line may have. Which of them belong together is decided after reading, as serde's own choice between
/// shapes does not say why none of them fits.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEpisode {
    id: Option<String>,
    turns: Option<Vec<LoggedTurn>>,
    tokens: Option<Vec<TokenId>>,
    is_action: Option<Vec<bool>>,
    rewards: Option<Vec<f64>>,
    outcome: Option<LoggedOutcome>,
    prompt: Option<String>,
    response: Option<String>,
    reward: Option<f64>,
}

/// Every key that some shape has.
pub(super) const KEYS: [&str; 9] =
    ["turns", "tokens", "is_action", "rewards", "outcome", "prompt", "response", "reward", "id"];
const TURNS_KEYS: &[&str] = &["turns", "rewards", "outcome", "id"];
const TOKENS_KEYS: &[&str] = &["tokens", "is_action", "rewards", "outcome", "id"];
const TRIPLE_KEYS: &[&str] = &["prompt", "response", "reward", "id"];

impl RawEpisode {
    /// The keys of the line that hold something; `null` is as good as absent.
    fn present(&self) -> impl Iterator<Item = &'static str> {
        let is_present = [
            self.turns.is_some(),
            self.tokens.is_some(),
            self.is_action.is_some(),
            self.rewards.is_some(),
            self.outcome.is_some(),
            self.prompt.is_some(),
            self.response.is_some(),
            self.reward.is_some(),
            self.id.is_some(),
        ];
        KEYS.into_iter().zip(is_present).filter(|&(_, is_present)| is_present).map(|(key, _)| key)
    }

    /// The episode, in the shape that its keys tell, well-formed.
    pub(super) fn resolve(self) -> Result<LoggedEpisode, LogProblem> {
        let (shape, keys) = if self.turns.is_some() {
            ("turns", TURNS_KEYS)
        } else if self.tokens.is_some() {
            ("tokens", TOKENS_KEYS)
        } else if self.prompt.is_some() || self.response.is_some() {
            (if self.prompt.is_some() { "prompt" } else { "response" }, TRIPLE_KEYS)
        } else {
            return Err(LogProblem::NoShape { found: self.present().collect() });
        };
        if let Some(key) = self.present().find(|key| !keys.contains(key)) {
            return Err(LogProblem::ForeignKey { key, shape, keys });
        }
        let missing = |key| LogProblem::MissingKey { key, shape, keys };
        let needed_rewards = |rewards: Option<Vec<f64>>| {
            let rewards = rewards.ok_or_else(|| missing("rewards"))?;
            let places = rewards.into_iter().enumerate();
            places.map(|(index, reward)| finite(&format_place(index), reward)).collect::<Result<Vec<f32>, _>>()
        };
        let (id, outcome) = (self.id, self.outcome.unwrap_or_default());
        let episode = if let Some(turns) = self.turns {
            LoggedEpisode::Turns(LoggedTurns { id, turns, rewards: needed_rewards(self.rewards)?, outcome })
        } else if let Some(tokens) = self.tokens {
            let is_action = self.is_action.ok_or_else(|| missing("is_action"))?;
            let rewards = needed_rewards(self.rewards)?;
            LoggedEpisode::Tokens(LoggedTokens { id, tokens, is_action, rewards, outcome })
        } else {
            let prompt = self.prompt.ok_or_else(|| missing("prompt"))?;
            let response = self.response.ok_or_else(|| missing("response"))?;
            let reward = finite("reward", self.reward.ok_or_else(|| missing("reward"))?)?;
            LoggedEpisode::Triple(LoggedTriple { id, prompt, response, reward })
        };
        episode.check()?;
        Ok(episode)
    }
}

impl<'de> Deserialize<'de> for LoggedEpisode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        RawEpisode::deserialize(deserializer)?.resolve().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> LoggedEpisode {
        serde_json::from_str(line).unwrap()
    }

    #[test]
    fn each_shape_is_read_with_its_defaults() {
        let turns = read(r#"{"turns": [["a door", false], ["open\n", true], ["ok", false]], "rewards": [-1]}"#);
        let texts = vec![LoggedTurn::shown("a door"), LoggedTurn::written("open\n"), LoggedTurn::shown("ok")];
        let expected = LoggedTurns { id: None, turns: texts, rewards: vec![-1.0], outcome: LoggedOutcome::Terminated };
        assert_eq!(turns, LoggedEpisode::Turns(expected));

        let line = r#"{"tokens": [7, 4, 9], "is_action": [false, true, true], "rewards": [0, 0.5],
            "outcome": "truncated", "id": "x"}"#;
        let expected = LoggedTokens {
            id: Some("x".to_owned()),
            tokens: [7, 4, 9].map(TokenId).to_vec(),
            is_action: vec![false, true, true],
            rewards: vec![0.0, 0.5],
            outcome: LoggedOutcome::Truncated,
        };
        assert_eq!(read(line), LoggedEpisode::Tokens(expected));

        // What a table program writes for an empty cell is as good as absent.
        let triple = read(r#"{"prompt": "", "response": "4", "reward": 1, "id": null, "turns": null}"#);
        let expected = LoggedTriple { id: None, prompt: String::new(), response: "4".to_owned(), reward: 1.0 };
        assert_eq!(triple, LoggedEpisode::Triple(expected));
        assert_eq!((triple.id(), triple.outcome()), (None, LoggedOutcome::Terminated));
    }

    #[test]
    fn the_return_is_the_sum_of_the_rewards() {
        for (line, expected) in [
            (r#"{"turns": [["a", true], ["b", true]], "rewards": [-1, 3.5]}"#, 2.5),
            (r#"{"tokens": [5, 6], "is_action": [true, true], "rewards": [0.25, 0.5]}"#, 0.75),
            (r#"{"prompt": "p", "response": "r", "reward": -0.5}"#, -0.5),
        ] {
            assert_eq!(read(line).episode_return(), expected, "{line}");
        }
    }

    #[test]
    fn texts_are_in_their_order() {
        let turns = read(r#"{"turns": [["a", true], ["b", false]], "rewards": [0]}"#);
        assert_eq!(turns.texts(), Some(vec![("a", true), ("b", false)]));
        let triple = read(r#"{"prompt": "p", "response": "r", "reward": 0}"#);
        assert_eq!(triple.texts(), Some(vec![("p", false), ("r", true)]));
        assert_eq!(read(r#"{"tokens": [5], "is_action": [true], "rewards": [0]}"#).texts(), None);
    }

    #[test]
    fn serde_refuses_what_the_reader_refuses() {
        let error = serde_json::from_str::<LoggedEpisode>(r#"{"turns": [["a", false]], "rewards": []}"#).unwrap_err();
        assert!(error.to_string().starts_with("the episode has no action"), "{error}");
    }
}
