//! Free writing after a prompt, up to `<eos>` or a limit.

use std::sync::Arc;

use dqn_mdp::{ActionMask, Environment, MdpError, Outcome, Prompt, Start, State, Step};
use dqn_text::{ActionId, ActionTable, Special, TokenId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{EnvError, start};

/// What it means for a text to reach its limit (Pardo et al. 2018).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// The text is cut short: it would have gone on, and what would have come still counts in the values of its states.
    #[default]
    Truncates,
    /// The limit is part of the task: nothing comes after it, and what is to be earned must be earned before.
    Terminates,
}

/// The task of going on from a prompt.
///
/// The environment itself rewards nothing: reward terms judge the finished texts. `<eos>` terminates an episode; the
/// limit truncates it, or terminates it as well ([`Generation::with_limit`]). All lengths count the tokens after `<bos>`, those of the prompt and `<eos>` included.
///
/// An action that would pass the limit is not allowed; only where every action would, all are, and the one taken is cut
/// at the limit. So a table that can write single tokens always fills a text exactly.
#[derive(Clone, Debug)]
pub struct Generation {
    prompts: Arc<[Prompt]>,
    actions: Arc<ActionTable>,
    max_tokens: usize,
    min_tokens: usize,
    limit: Limit,
    /// What a text allows that still takes one token, two, and so on up to the longest action: before `min_tokens` and
    /// after. Masks are shared by all states they fit.
    allowed: Arc<[Vec<ActionMask>; 2]>,
    /// Length of the text, `None` outside an episode.
    n_tokens: Option<usize>,
}

impl Generation {
    /// The task for `prompts`, given without `<bos>`, whose texts end at `max_tokens` at the latest.
    ///
    /// # Errors
    /// [`EnvError::NoStarts`] without prompts, [`EnvError::PromptTooLong`] for a prompt that leaves nothing to write,
    /// [`EnvError::PromptToken`] for one that holds `<pad>`, `<bos>` or `<eos>`.
    pub fn new(prompts: Arc<[Prompt]>, actions: Arc<ActionTable>, max_tokens: usize) -> Result<Self, EnvError> {
        if prompts.is_empty() {
            return Err(EnvError::NoStarts { what: "prompts" });
        }
        let never_inside = [Special::Pad, Special::Bos, Special::Eos].map(Special::id);
        for (prompt, Prompt { tokens, .. }) in prompts.iter().enumerate() {
            if tokens.len() >= max_tokens {
                return Err(EnvError::PromptTooLong { prompt, n_tokens: tokens.len(), max_tokens });
            }
            if let Some(position) = tokens.iter().position(|token| never_inside.contains(token)) {
                return Err(EnvError::PromptToken { prompt, position, token: tokens[position] });
            }
        }
        let allowed = Arc::new([Vec::new(), fitting(&actions, false)]);
        Ok(Self { prompts, actions, max_tokens, min_tokens: 0, limit: Limit::Truncates, allowed, n_tokens: None })
    }

    /// The same task, where reaching `max_tokens` means this.
    pub fn with_limit(self, limit: Limit) -> Self {
        Self { limit, ..self }
    }

    /// The same task in which `<eos>` is not allowed before the text has `min_tokens` tokens.
    ///
    /// # Errors
    /// [`EnvError::MinTokens`] when that would never be, [`EnvError::NothingButEos`] when no other action is left.
    pub fn with_min_tokens(mut self, min_tokens: usize) -> Result<Self, EnvError> {
        if min_tokens >= self.max_tokens {
            return Err(EnvError::MinTokens { min_tokens, max_tokens: self.max_tokens });
        }
        let n_ending = self.actions.iter().filter(|(_, tokens)| ends(tokens)).count();
        if min_tokens > 0 && n_ending == self.actions.len() {
            return Err(EnvError::NothingButEos { min_tokens, n_actions: n_ending });
        }
        self.min_tokens = min_tokens;
        let after = self.allowed[1].clone();
        self.allowed = Arc::new([if min_tokens > 0 { fitting(&self.actions, true) } else { Vec::new() }, after]);
        Ok(self)
    }
}

fn ends(tokens: &[TokenId]) -> bool {
    tokens.contains(&Special::Eos.id())
}

/// For each number of tokens that a text still takes, from 1 to the length of the longest action, the actions it allows:
/// those that fit, or all where none does; of them those without `<eos>` where the text must go on.
fn fitting(actions: &ActionTable, must_go_on: bool) -> Vec<ActionMask> {
    let is_open = |tokens: &[TokenId]| !(must_go_on && ends(tokens));
    let mask = |room: usize| {
        let of_length = |most: usize| -> Vec<ActionId> {
            let fits = |(_, tokens): &(ActionId, &[TokenId])| is_open(tokens) && tokens.len() <= most;
            actions.iter().filter(fits).map(|(action, _)| action).collect()
        };
        let fitting = of_length(room);
        let chosen = if fitting.is_empty() { of_length(usize::MAX) } else { fitting };
        if chosen.len() == actions.len() { ActionMask::All } else { ActionMask::only(actions.len(), chosen) }
    };
    (1..=actions.longest()).map(mask).collect()
}

impl Environment for Generation {
    fn actions(&self) -> &ActionTable {
        &self.actions
    }

    fn n_starts(&self) -> usize {
        self.prompts.len()
    }

    fn reset(&mut self, start: Start) -> Result<State, MdpError> {
        let prompt = &self.prompts[start::index(start, self.prompts.len())?];
        self.n_tokens = Some(prompt.tokens.len());
        Ok(State::of(prompt))
    }

    /// Writes the tokens of `action`, those beyond the limit or after an `<eos>` left out.
    fn step(&mut self, action: ActionId) -> Result<Step, MdpError> {
        let n_tokens = self.n_tokens.ok_or(MdpError::EpisodeOver { action })?;
        if action.index() >= self.actions.len() || !self.allowed().allows(action) {
            return Err(MdpError::Forbidden { action });
        }
        let written = self.actions.tokens(action);
        let fits = &written[..written.len().min(self.max_tokens - n_tokens)];
        let end = fits.iter().position(|&token| token == Special::Eos.id());
        let observed = fits[..end.map_or(fits.len(), |end| end + 1)].to_vec();
        let n_tokens = n_tokens + observed.len();
        let outcome = match end {
            Some(_) => Outcome::Terminated,
            None if n_tokens < self.max_tokens => Outcome::Continues,
            None => match self.limit {
                Limit::Truncates => Outcome::Truncated,
                Limit::Terminates => Outcome::Terminated,
            },
        };
        self.n_tokens = (!outcome.is_end()).then_some(n_tokens);
        Ok(Step { reward: 0.0, observed, outcome })
    }

    fn allowed(&self) -> ActionMask {
        let Some(n_tokens) = self.n_tokens else { return ActionMask::All };
        let of_room = &self.allowed[usize::from(n_tokens >= self.min_tokens)];
        of_room[(self.max_tokens - n_tokens).min(of_room.len()) - 1].clone()
    }
}

#[cfg(test)]
mod tests {
    use dqn_mdp::{Seed, Trajectory};
    use proptest::prelude::*;

    use super::*;

    const EOS: u32 = 3;

    fn ids(tokens: &[u32]) -> Vec<TokenId> {
        tokens.iter().copied().map(TokenId).collect()
    }

    /// Action 0 writes `<eos>`; actions 1 to 5 write the tokens 4 to 8.
    fn six_actions() -> Arc<ActionTable> {
        Arc::new(ActionTable::of_tokens((3..9).map(TokenId)))
    }

    fn task(prompts: &[&[u32]], max_tokens: usize) -> Result<Generation, EnvError> {
        Generation::new(prompts.iter().map(|prompt| Prompt::from(ids(prompt))).collect(), six_actions(), max_tokens)
    }

    /// Plays `actions` until they or the episode end.
    fn play(task: &mut dyn Environment, start: Start, actions: &[u32]) -> Trajectory {
        let state = task.reset(start).unwrap();
        let mut episode = Trajectory::begin(state, task.allowed());
        for &action in actions {
            let step = task.step(ActionId(action)).unwrap();
            episode.push(ActionId(action), &step, task.allowed());
        }
        episode
    }

    #[test]
    fn eos_terminates_and_the_limit_truncates() {
        let mut free = task(&[&[4, 5], &[]], 4).unwrap();
        let ended = play(&mut free, Start::Indexed(0), &[2, 0]);
        assert_eq!((ended.tokens, ended.outcome), (ids(&[2, 4, 5, 5, EOS]), Outcome::Terminated));
        let cut = play(&mut free, Start::Indexed(0), &[2, 1]);
        assert_eq!((cut.tokens, cut.outcome), (ids(&[2, 4, 5, 5, 4]), Outcome::Truncated));
        assert!(matches!(free.step(ActionId(0)), Err(MdpError::EpisodeOver { .. })));
        let full = play(&mut free.clone().with_limit(Limit::Terminates), Start::Indexed(0), &[2, 1]);
        assert_eq!((full.tokens, full.outcome), (ids(&[2, 4, 5, 5, 4]), Outcome::Terminated));
        let from_nothing = play(&mut free, Start::Indexed(1), &[1, 1, 1]);
        assert_eq!((from_nothing.tokens, from_nothing.outcome), (ids(&[2, 4, 4, 4]), Outcome::Continues));
        assert_eq!(from_nothing.rewards, [0.0; 3]);
    }

    #[test]
    fn eos_waits_for_the_minimum_and_masks_share_an_allocation() {
        let mut free = task(&[&[4]], 6).unwrap().with_min_tokens(3).unwrap();
        let episode = play(&mut free, Start::Indexed(0), &[1, 1, 1, 0]);
        let may_end: Vec<bool> = episode.allowed.iter().map(|mask| mask.allows(ActionId(0))).collect();
        // Texts of 1, 2, 3, 4 and 5 tokens.
        assert_eq!(may_end, [false, false, true, true, true]);
        let (ActionMask::Only(first), ActionMask::Only(second)) = (&episode.allowed[0], &episode.allowed[1]) else {
            panic!("the first two states forbid <eos>: {:?}", episode.allowed);
        };
        assert!(Arc::ptr_eq(first, second));
        free.reset(Start::Indexed(0)).unwrap();
        assert!(matches!(free.step(ActionId(0)), Err(MdpError::Forbidden { action: ActionId(0) })));
        assert!(matches!(free.step(ActionId(6)), Err(MdpError::Forbidden { action: ActionId(6) })));
        assert!(free.step(ActionId(1)).is_ok(), "a forbidden action changes nothing");
    }

    #[test]
    fn phrases_that_would_pass_the_limit_are_not_allowed_and_cut_where_nothing_else_is() {
        let phrases = Arc::new(ActionTable::new(vec![ids(&[4, 5, 6]), ids(&[7, EOS, 8])]));
        let mut free = Generation::new(vec![Prompt::default()].into(), phrases, 5).unwrap();
        let cut = play(&mut free, Start::Indexed(0), &[0, 0]);
        assert_eq!((cut.tokens, cut.outcome), (ids(&[2, 4, 5, 6, 4, 5]), Outcome::Truncated));
        let ended = play(&mut free, Start::Indexed(0), &[0, 1]);
        assert_eq!((ended.tokens, ended.outcome), (ids(&[2, 4, 5, 6, 7, EOS]), Outcome::Terminated));

        // Actions of 1, 2 and 3 tokens, and <eos>: what a text of 5 tokens allows that has 0 to 4 already.
        let mixed = Arc::new(ActionTable::new(vec![ids(&[4]), ids(&[5, 6]), ids(&[4, 5, 6]), ids(&[EOS])]));
        let mut free = Generation::new(vec![Prompt::default()].into(), mixed, 5).unwrap().with_min_tokens(4).unwrap();
        let episode = play(&mut free, Start::Indexed(0), &[0, 0, 0, 0]);
        let allowed: Vec<Vec<u32>> =
            episode.allowed.iter().map(|mask| mask.iter(4).map(|action| action.0).collect()).collect();
        assert_eq!(allowed, [vec![0, 1, 2], vec![0, 1, 2], vec![0, 1, 2], vec![0, 1], vec![0, 3]]);
        assert!(matches!(free.step(ActionId(2)), Err(MdpError::Forbidden { .. })));
        let exact = play(&mut free, Start::Indexed(0), &[2, 1]);
        assert_eq!((exact.tokens.len(), exact.outcome), (6, Outcome::Truncated));
    }

    #[test]
    fn prompts_and_limits_that_cannot_be_met_are_refused() {
        let message = |prompts: &[&[u32]], max| task(prompts, max).unwrap_err().to_string();
        assert_eq!(message(&[], 4), "the environment has no prompts; at least one is needed");
        assert_eq!(
            message(&[&[4], &[4, 5]], 2),
            "prompt 1 has 2 tokens; with max_tokens = 2 it must have fewer than that"
        );
        assert_eq!(message(&[&[4, EOS]], 4), "token 1 of prompt 0 is id 3; prompts hold none of <pad>, <bos>, <eos>");
        let too_many = task(&[&[]], 4).unwrap().with_min_tokens(4).unwrap_err();
        assert_eq!(too_many.to_string(), "min_tokens is 4; with max_tokens = 4 it must be below that");
        let only_eos = Arc::new(ActionTable::of_tokens([Special::Eos.id()]));
        let nothing_else =
            Generation::new(vec![Prompt::default()].into(), only_eos, 4).unwrap().with_min_tokens(1).unwrap_err();
        assert_eq!(nothing_else.to_string(), "min_tokens is 1, but all 1 actions write <eos>; it must be 0");
    }

    proptest! {
        #[test]
        fn the_same_start_and_actions_make_the_same_episode(
            seed in any::<u64>(),
            choices in prop::collection::vec(any::<prop::sample::Index>(), 12),
            min_tokens in 0_usize..7,
            has_phrases: bool,
        ) {
            let more = if has_phrases { vec![ids(&[4, 5, 6]), ids(&[7, 8])] } else { Vec::new() };
            let actions = Arc::new(ActionTable::clone(&six_actions()).with(more));
            let n_actions = actions.len();
            let prompts = [vec![4], vec![5, 6], vec![]].iter().map(|prompt| ids(prompt).into()).collect();
            let mut free = Generation::new(prompts, actions, 8).unwrap().with_min_tokens(min_tokens).unwrap();
            let start = Start::Drawn(Seed(seed));
            let mut episode = Trajectory::begin(free.reset(start).unwrap(), free.allowed());
            for choice in &choices {
                let allowed: Vec<ActionId> = free.allowed().iter(n_actions).collect();
                prop_assert!(!allowed.is_empty());
                let action = *choice.get(&allowed);
                let step = free.step(action).unwrap();
                prop_assert_eq!(&step.observed, free.actions().tokens(action), "nothing is cut where single tokens fit");
                episode.push(action, &step, free.allowed());
                if step.outcome.is_end() {
                    break;
                }
            }
            prop_assert!(episode.outcome.is_end());
            prop_assert!(episode.tokens.len() <= 9);
            prop_assert_eq!(episode.outcome == Outcome::Terminated, episode.tokens.ends_with(&[Special::Eos.id()]));
            prop_assert!(episode.outcome == Outcome::Truncated || episode.tokens.len() > min_tokens + 1);
            let actions: Vec<u32> = episode.actions.iter().map(|action| action.0).collect();
            prop_assert_eq!(play(&mut free, start, &actions), episode);
        }
    }
}
