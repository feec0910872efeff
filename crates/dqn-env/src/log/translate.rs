//! From a logged episode to the trajectory that replay stores.

use std::collections::HashMap;
use std::sync::Arc;

use dqn_mdp::{ActionMask, Outcome, SourceId, State, Step, Trajectory};
use dqn_text::{ActionId, ActionTable, Segmenter, Special, TokenId, Tokenizer};

use super::episode::{LoggedEpisode, LoggedOutcome, LoggedTokens};
use super::fault::LogProblem;

/// Makes trajectories of logged episodes, for one tokenizer and one table of actions.
///
/// ```text
/// text      <bos>, then the tokens of each turn, each turn tokenized by itself
/// decision  an action turn is divided into actions by longest match (Segmenter); one decision for each
/// reward    that of the turn for its last action, 0 for those before it
/// allowed   every action in every state
/// ```
///
/// What was shown after an action is observed with it, so that it stands in the state of the next one. A log does not
/// tell what else was allowed; a task that forbids some of its actions must say so itself.
///
/// A triple is a prompt and an answer that has ended. Where the table has an action that writes `<eos>` alone, that
/// action is therefore taken after the answer, and the reward is given for it: a policy that writes token by token must
/// also learn to end. An answer of no text is then that action alone. The other shapes get no `<eos>`; token ids may
/// hold one.
///
/// Of token ids, a stretch of action tokens is divided into actions likewise, and an action gets the sum of the rewards
/// of its tokens. `<bos>` is put in front where the ids do not begin with it.
///
/// In a task with sources the prompt of a triple names one, and the other shapes are faults: see [`LogTranslator::about`].
///
/// Text that the tokenizer does not know becomes `<unk>` where it was shown, and is a fault where it was written,
/// unless an action writes `<unk>`.
#[derive(Clone, Debug)]
pub struct LogTranslator<'a> {
    tokenizer: &'a dyn Tokenizer,
    actions: &'a ActionTable,
    segmenter: Segmenter<'a>,
    /// The action that writes `<eos>` alone.
    ending: Option<ActionId>,
    /// The sources by what stands for them as the prompt of a triple.
    sources: Option<Arc<HashMap<String, SourceId>>>,
}

/// The steps of an episode, before it is known which of them is the last.
struct Draft<'a> {
    actions: &'a ActionTable,
    source: Option<SourceId>,
    start: Vec<TokenId>,
    steps: Vec<(ActionId, Step)>,
}

/// A text that the policy wrote after what it was shown at the beginning, as token ids: what [`LogTranslator`] reads the same
/// trajectory from, but for the actions that its states allowed. The reward of an action is that of its last token.
impl From<&Trajectory> for LoggedTokens {
    fn from(episode: &Trajectory) -> Self {
        let (n_tokens, n_shown) = (episode.tokens.len(), episode.n_start_tokens);
        let mut rewards = vec![0.0; n_tokens - n_shown];
        let ends = episode.decisions.iter().skip(1).map(|&place| place as usize).chain([n_tokens - 1]);
        for (end, &reward) in ends.zip(&episode.rewards) {
            rewards[end - n_shown] = reward;
        }
        let is_action = (0..n_tokens).map(|place| place >= n_shown).collect();
        Self { id: None, tokens: episode.tokens.clone(), is_action, rewards, outcome: episode.outcome.into() }
    }
}

impl<'a> LogTranslator<'a> {
    /// A translator into the tokens of `tokenizer` and the actions of `actions`.
    pub fn new(tokenizer: &'a dyn Tokenizer, actions: &'a ActionTable) -> Self {
        let ending = actions.action_of(Special::Eos.id());
        Self { tokenizer, actions, segmenter: Segmenter::new(actions), ending, sources: None }
    }

    /// The same translator for texts about `sources`, which stand as prompts of triples.
    pub fn about(self, sources: Option<Arc<HashMap<String, SourceId>>>) -> Self {
        Self { sources, ..self }
    }

    /// The trajectory of `episode`, over and with at least one step.
    ///
    /// # Errors
    /// [`LogProblem::Unwritable`] and [`LogProblem::NoTokens`] for an action text that no actions write,
    /// [`LogProblem::UnknownSource`] and [`LogProblem::NoSource`] in a task with sources, [`LogProblem::TokenBeyondVocab`] and [`LogProblem::MisplacedToken`] for token ids that are no text,
    /// [`LogProblem::Tokenize`], and those of [`LoggedEpisode::check`].
    pub fn trajectory(&self, episode: &LoggedEpisode) -> Result<Trajectory, LogProblem> {
        episode.check()?;
        let source = self.source(episode)?;
        let mut draft = Draft { actions: self.actions, source, start: vec![Special::Bos.id()], steps: Vec::new() };
        match episode {
            LoggedEpisode::Turns(logged) => {
                let mut rewards = logged.rewards.iter().copied();
                let mut place = Place::Beginning;
                for turn in &logged.turns {
                    let place = std::mem::replace(&mut place, Place::After);
                    if turn.is_action {
                        let actions = self.divide(&turn.text, place)?;
                        draft.act_all(&actions, rewards.next().expect("a reward for each action turn"));
                    } else {
                        draft.observe(&self.encode(&turn.text, place)?);
                    }
                }
            }
            LoggedEpisode::Triple(triple) => {
                if source.is_none() {
                    draft.observe(&self.encode(&triple.prompt, Place::Beginning)?);
                }
                let begins = source.is_some() || triple.prompt.is_empty();
                let place = if begins { Place::Beginning } else { Place::After };
                let answer = match self.ending {
                    Some(_) if triple.response.is_empty() => Vec::new(),
                    _ => self.divide(&triple.response, place)?,
                };
                let actions: Vec<ActionId> = answer.into_iter().chain(self.ending).collect();
                draft.act_all(&actions, triple.reward);
            }
            LoggedEpisode::Tokens(logged) => self.draft_tokens(logged, &mut draft)?,
        }
        Ok(draft.end(episode.outcome()))
    }

    /// What the episode is about, in a task with sources.
    fn source(&self, episode: &LoggedEpisode) -> Result<Option<SourceId>, LogProblem> {
        match (&self.sources, episode) {
            (None, _) => Ok(None),
            (Some(sources), LoggedEpisode::Triple(triple)) => {
                let unknown = || LogProblem::UnknownSource { text: triple.prompt.clone(), n_sources: sources.len() };
                sources.get(&triple.prompt).copied().map(Some).ok_or_else(unknown)
            }
            (Some(_), LoggedEpisode::Turns(_) | LoggedEpisode::Tokens(_)) => Err(LogProblem::NoSource),
        }
    }

    fn encode(&self, text: &str, place: Place) -> Result<Vec<TokenId>, LogProblem> {
        let tokens = match place {
            Place::Beginning => self.tokenizer.encode(text),
            Place::After => self.tokenizer.encode_after(text),
        };
        tokens.map_err(|source| LogProblem::Tokenize { text: text.to_owned(), source })
    }

    /// The actions that write `text`, at least one.
    fn divide(&self, text: &str, place: Place) -> Result<Vec<ActionId>, LogProblem> {
        let tokens = self.encode(text, place)?;
        if tokens.is_empty() {
            return Err(LogProblem::NoTokens { text: text.to_owned() });
        }
        self.segmenter.segment(&tokens).ok_or_else(|| LogProblem::Unwritable { text: text.to_owned() })
    }

    fn draft_tokens(&self, logged: &LoggedTokens, draft: &mut Draft<'_>) -> Result<(), LogProblem> {
        let n_tokens = self.tokenizer.vocab().len();
        for (position, &token) in logged.tokens.iter().enumerate() {
            let is_bos = token == Special::Bos.id() && (position > 0 || logged.is_action[0]);
            if token.index() >= n_tokens {
                return Err(LogProblem::TokenBeyondVocab { position, token, n_tokens });
            }
            if is_bos || token == Special::Pad.id() {
                let name = if is_bos { Special::Bos.text() } else { Special::Pad.text() };
                return Err(LogProblem::MisplacedToken { position, name });
            }
        }
        let mut rewards = logged.rewards.iter().copied();
        let mut rest = &logged.tokens[..];
        for stretch in logged.is_action.chunk_by(|one, next| one == next) {
            let (tokens, after) = rest.split_at(stretch.len());
            if stretch[0] {
                let actions = self.segmenter.segment(tokens);
                let unwritable = || LogProblem::Unwritable { text: self.tokenizer.decode(tokens) };
                for action in actions.ok_or_else(unwritable)? {
                    let n_written = self.actions.tokens(action).len();
                    draft.act(action, rewards.by_ref().take(n_written).sum());
                }
            } else {
                draft.observe(tokens.strip_prefix(&[Special::Bos.id()]).unwrap_or(tokens));
            }
            rest = after;
        }
        Ok(())
    }
}

/// Where in its episode a text stands.
#[derive(Clone, Copy)]
enum Place {
    Beginning,
    After,
}

impl Draft<'_> {
    fn observe(&mut self, tokens: &[TokenId]) {
        match self.steps.last_mut() {
            Some((_, step)) => step.observed.extend_from_slice(tokens),
            None => self.start.extend_from_slice(tokens),
        }
    }

    fn act(&mut self, action: ActionId, reward: f32) {
        let observed = self.actions.tokens(action).to_vec();
        self.steps.push((action, Step { reward, observed, outcome: Outcome::Continues }));
    }

    /// Takes `actions`, of which the last one gets the reward.
    fn act_all(&mut self, actions: &[ActionId], reward: f32) {
        for (index, &action) in actions.iter().enumerate() {
            self.act(action, if index + 1 == actions.len() { reward } else { 0.0 });
        }
    }

    fn end(mut self, outcome: LoggedOutcome) -> Trajectory {
        if let Some((_, last)) = self.steps.last_mut() {
            last.outcome = outcome.into();
        }
        let start = State { source: self.source, ..State::from(self.start) };
        let mut trajectory = Trajectory::begin(start, ActionMask::All);
        self.steps.iter().for_each(|(action, step)| trajectory.push(*action, step, ActionMask::All));
        trajectory.shrink_to_fit();
        trajectory
    }
}

#[cfg(test)]
mod tests {
    use dqn_text::tokenizer::{TextTokenizer, TokenizerConfig};
    use proptest::prelude::*;

    use super::super::{LoggedTriple, LoggedTurn, LoggedTurns};
    use super::*;

    const CHAR: TokenizerConfig = TokenizerConfig::Char { max_tokens: 100, min_count: 1 };

    /// The tokens `a` to `e` have the ids 4 to 8.
    fn letters() -> TextTokenizer {
        CHAR.train(&["abcde"]).unwrap()
    }

    fn ids(tokens: &[u32]) -> Vec<TokenId> {
        tokens.iter().copied().map(TokenId).collect()
    }

    fn turns(texts: &[(&str, bool)], rewards: &[f32]) -> LoggedEpisode {
        let turn = |&(text, is_action): &(&str, bool)| LoggedTurn { text: text.to_owned(), is_action };
        LoggedEpisode::Turns(LoggedTurns {
            id: None,
            turns: texts.iter().map(turn).collect(),
            rewards: rewards.to_vec(),
            outcome: LoggedOutcome::Truncated,
        })
    }

    fn tokens(tokens: &[u32], is_action: &[u32], rewards: &[f32]) -> LoggedEpisode {
        LoggedEpisode::Tokens(LoggedTokens {
            id: None,
            tokens: ids(tokens),
            is_action: is_action.iter().map(|&flag| flag == 1).collect(),
            rewards: rewards.to_vec(),
            outcome: LoggedOutcome::Terminated,
        })
    }

    fn triple(prompt: &str, response: &str, reward: f32) -> LoggedEpisode {
        let (prompt, response) = (prompt.to_owned(), response.to_owned());
        LoggedEpisode::Triple(LoggedTriple { id: None, prompt, response, reward })
    }

    struct Expected<'a> {
        tokens: &'a [u32],
        n_start_tokens: usize,
        decisions: &'a [u32],
        actions: &'a [u32],
        rewards: &'a [f32],
        outcome: Outcome,
    }

    fn check(actions: &ActionTable, episode: &LoggedEpisode, expected: Expected<'_>) {
        let found = LogTranslator::new(&letters(), actions).trajectory(episode).unwrap();
        let expected = Trajectory {
            tokens: ids(expected.tokens),
            n_start_tokens: expected.n_start_tokens,
            source: None,
            decisions: expected.decisions.to_vec(),
            actions: expected.actions.iter().copied().map(ActionId).collect(),
            rewards: expected.rewards.to_vec(),
            allowed: vec![ActionMask::All; expected.actions.len() + 1].into_iter().collect(),
            outcome: expected.outcome,
            term_returns: Vec::new(),
        };
        assert_eq!(found, expected, "{episode:?}");
    }

    #[test]
    fn the_prompt_of_a_triple_names_its_source() {
        let (tokenizer, actions) = (letters(), ActionTable::of_tokens((3..9).map(TokenId)));
        let sources = Arc::new(HashMap::from([("drei".to_owned(), SourceId(7))]));
        let translator = LogTranslator::new(&tokenizer, &actions).about(Some(sources));
        let triple = |prompt: &str| {
            let (prompt, response) = (prompt.to_owned(), "abc".to_owned());
            LoggedEpisode::Triple(LoggedTriple { id: None, prompt, response, reward: 0.5 })
        };
        let found = translator.trajectory(&triple("drei")).unwrap();
        assert_eq!((found.source, found.start(), found.len()), (Some(SourceId(7)), &ids(&[2])[..], 4));
        assert_eq!(found.rewards, [0.0, 0.0, 0.0, 0.5]);
        let unknown = translator.trajectory(&triple("vier")).unwrap_err().to_string();
        assert!(unknown.contains("\"vier\"") && unknown.contains("1 source"), "{unknown}");
        let turns = translator.trajectory(&turns(&[("a", true)], &[1.0])).unwrap_err().to_string();
        assert!(turns.contains("\"prompt\""), "{turns}");
    }

    #[test]
    fn a_command_is_one_action() {
        let commands = ActionTable::new(vec![ids(&[4, 5]), ids(&[6, 7])]);
        // Shown "e", written "cd", shown "ea", written "ab", shown "e".
        let texts = [("e", false), ("cd", true), ("ea", false), ("ab", true), ("e", false)];
        let expected = Expected {
            tokens: &[2, 8, 6, 7, 8, 4, 4, 5, 8],
            n_start_tokens: 2,
            decisions: &[1, 5],
            actions: &[1, 0],
            rewards: &[-1.0, 2.0],
            outcome: Outcome::Truncated,
        };
        check(&commands, &turns(&texts, &[-1.0, 2.0]), expected);
    }

    #[test]
    fn an_episode_may_begin_with_an_action_and_actions_may_follow_each_other() {
        let commands = ActionTable::new(vec![ids(&[4]), ids(&[5, 6])]);
        let expected = Expected {
            tokens: &[2, 5, 6, 4, 4],
            n_start_tokens: 1,
            decisions: &[0, 2, 3],
            actions: &[1, 0, 0],
            rewards: &[0.0, 1.0, 3.0],
            outcome: Outcome::Truncated,
        };
        check(&commands, &turns(&[("bca", true), ("a", true)], &[1.0, 3.0]), expected);
    }

    #[test]
    fn a_triple_over_tokens_ends_with_eos() {
        let table = ActionTable::of_vocab(letters().vocab());
        let expected = Expected {
            tokens: &[2, 4, 5, 8, 7, 3],
            n_start_tokens: 3,
            decisions: &[2, 3, 4],
            actions: &[5, 4, 0],
            rewards: &[0.0, 0.0, 0.5],
            outcome: Outcome::Terminated,
        };
        check(&table, &triple("ab", "ed", 0.5), expected);
        let expected = Expected {
            tokens: &[2, 4, 3],
            n_start_tokens: 2,
            decisions: &[1],
            actions: &[0],
            rewards: &[0.5],
            outcome: Outcome::Terminated,
        };
        check(&table, &triple("a", "", 0.5), expected);
        // Turns over the same table get no <eos>.
        let expected = Expected {
            tokens: &[2, 4, 5],
            n_start_tokens: 2,
            decisions: &[1],
            actions: &[2],
            rewards: &[0.5],
            outcome: Outcome::Truncated,
        };
        check(&table, &turns(&[("a", false), ("b", true)], &[0.5]), expected);
    }

    #[test]
    fn a_triple_over_commands_is_one_decision() {
        let expected = Expected {
            tokens: &[2, 4, 8, 7],
            n_start_tokens: 2,
            decisions: &[1],
            actions: &[0],
            rewards: &[0.5],
            outcome: Outcome::Terminated,
        };
        check(&ActionTable::new(vec![ids(&[8, 7])]), &triple("a", "ed", 0.5), expected);
    }

    #[test]
    fn token_ids_are_taken_as_they_are() {
        let table = ActionTable::new(vec![ids(&[3]), ids(&[4]), ids(&[5]), ids(&[4, 5])]);
        // With and without <bos> in front; 4 5 is one action and gets both rewards.
        for front in [&[2_u32][..], &[]] {
            let flags = [&[0].repeat(front.len())[..], &[0, 1, 1, 1, 0, 1]].concat();
            let logged = tokens(&[front, &[8, 4, 5, 4, 1, 3]].concat(), &flags, &[0.5, 1.0, 2.0, 4.0]);
            let expected = Expected {
                tokens: &[2, 8, 4, 5, 4, 1, 3],
                n_start_tokens: 2,
                decisions: &[1, 3, 5],
                actions: &[3, 1, 0],
                rewards: &[1.5, 2.0, 4.0],
                outcome: Outcome::Terminated,
            };
            check(&table, &logged, expected);
        }
    }

    #[test]
    fn what_cannot_be_translated_is_named() {
        let (letters, commands) = (letters(), ActionTable::new(vec![ids(&[4, 5]), ids(&[6])]));
        let must = "every action text of a log must be one action or several";
        for (episode, expected) in [
            (turns(&[("ab", true), ("ad", true)], &[0.0; 2]), format!("no actions write the text \"ad\"; {must}")),
            (turns(&[("你", true)], &[0.0]), format!("no actions write the text \"你\"; {must}")),
            (triple("a", "ab ", 0.0), format!("no actions write the text \"ab \"; {must}")),
            (
                triple("a", "", 0.0),
                "the action text \"\" is no token of the tokenizer; an action writes at least one".to_owned(),
            ),
            (tokens(&[8, 4, 5, 5], &[0, 1, 1, 1], &[0.0; 3]), format!("no actions write the text \"abb\"; {must}")),
            (
                tokens(&[6, 9], &[1, 0], &[0.0]),
                "tokens[1] is 9; the vocabulary has 9 tokens, counted from 0".to_owned(),
            ),
            (
                tokens(&[0, 6], &[0, 1], &[0.0]),
                "tokens[0] is <pad>; a text holds no <pad>, and <bos> only as its first token, which is no action"
                    .to_owned(),
            ),
            (
                tokens(&[6, 2], &[1, 0], &[0.0]),
                "tokens[1] is <bos>; a text holds no <pad>, and <bos> only as its first token, which is no action"
                    .to_owned(),
            ),
            (
                tokens(&[2, 6], &[1, 1], &[0.0; 2]),
                "tokens[0] is <bos>; a text holds no <pad>, and <bos> only as its first token, which is no action"
                    .to_owned(),
            ),
            (turns(&[("ab", true)], &[]), "there are 0 rewards for 1 action turn; each action turn has one".to_owned()),
        ] {
            let problem = LogTranslator::new(&letters, &commands).trajectory(&episode).unwrap_err();
            assert_eq!(problem.to_string(), expected, "{episode:?}");
        }
    }

    #[test]
    fn white_space_is_no_action_of_words() {
        let config = r#"{"kind": "word"}"#;
        let words = serde_json::from_str::<TokenizerConfig>(config).unwrap().train(&["go on"]).unwrap();
        let table = ActionTable::of_vocab(words.vocab());
        let translator = LogTranslator::new(&words, &table);
        let problem = translator.trajectory(&turns(&[("go", false), ("\n", true)], &[0.0])).unwrap_err();
        assert!(matches!(problem, LogProblem::NoTokens { text } if text == "\n"));
    }

    proptest! {
        #[test]
        fn what_is_logged_as_token_ids_is_read_as_it_was(
            shown in "[a-e]{0,4}",
            written in "[a-e]{1,9}",
            rewards in proptest::collection::vec(-100_i32..100, 9),
        ) {
            let letters = letters();
            let table = ActionTable::of_vocab(letters.vocab()).with(vec![ids(&[4, 5]), ids(&[5, 6]), ids(&[8, 8, 8])]);
            let translator = LogTranslator::new(&letters, &table);
            let texts: &[(&str, bool)] = &[(&shown, false), (&written, true)];
            let texts = if shown.is_empty() { &texts[1..] } else { texts };
            let mut episode = translator.trajectory(&turns(texts, &[0.0])).unwrap();
            episode.rewards = rewards[..episode.len()].iter().map(|&reward| reward as f32).collect();
            let logged = LoggedEpisode::from(LoggedTokens::from(&episode));
            prop_assert_eq!(translator.trajectory(&logged).unwrap(), episode);
        }

        #[test]
        fn text_and_rewards_survive(
            texts in proptest::collection::vec(("[a-e]{1,6}", any::<bool>(), -100_i32..100), 1..12),
            with_pairs: bool,
        ) {
            let letters = letters();
            let pairs = if with_pairs { vec![ids(&[4, 5]), ids(&[5, 6]), ids(&[8, 8, 8])] } else { Vec::new() };
            let table = ActionTable::of_vocab(letters.vocab()).with(pairs);
            let acted: Vec<f32> = texts.iter().filter(|turn| turn.1).map(|turn| turn.2 as f32).collect();
            prop_assume!(!acted.is_empty());
            let logged: Vec<(&str, bool)> = texts.iter().map(|turn| (turn.0.as_str(), turn.1)).collect();
            let episode = turns(&logged, &acted);
            let found = LogTranslator::new(&letters, &table).trajectory(&episode).unwrap();

            let whole: String = logged.iter().map(|turn| turn.0).collect();
            prop_assert_eq!(letters.decode(&found.tokens), whole);
            prop_assert_eq!(f64::from(found.episode_return()), episode.episode_return());

            // What every trajectory keeps.
            prop_assert_eq!(found.tokens[0], Special::Bos.id());
            prop_assert_eq!((found.len(), found.rewards.len()), (found.decisions.len(), found.len()));
            prop_assert_eq!((found.allowed.len(), found.outcome), (found.len() + 1, Outcome::Truncated));
            prop_assert_eq!(found.decisions[0] as usize + 1, found.n_start_tokens);
            prop_assert!(found.decisions.is_sorted_by(|one, next| one < next));
            for (&action, &decision) in found.actions.iter().zip(&found.decisions) {
                prop_assert!(found.tokens[decision as usize + 1..].starts_with(table.tokens(action)));
            }
        }
    }
}
