//! Free writing after a prompt, up to `<eos>` or a limit.

use std::sync::Arc;

use dqn_mdp::{ActionMask, Environment, MdpError, Outcome, Start, State, Step};
use dqn_text::{ActionId, ActionTable, Special, TokenId};

use crate::{EnvError, start};

/// The task of going on from a prompt.
///
/// The environment itself rewards nothing: reward terms judge the finished texts. `<eos>` terminates an episode; the
/// limit truncates it. All lengths count the tokens after `<bos>`, those of the prompt and `<eos>` included.
#[derive(Clone, Debug)]
pub struct Generation {
    prompts: Arc<[Vec<TokenId>]>,
    actions: Arc<ActionTable>,
    max_tokens: usize,
    min_tokens: usize,
    before_min_tokens: ActionMask,
    /// Length of the text, `None` outside an episode.
    n_tokens: Option<usize>,
}

impl Generation {
    /// The task for `prompts`, given without `<bos>`, whose texts end at `max_tokens` at the latest.
    ///
    /// # Errors
    /// [`EnvError::NoStarts`] without prompts, [`EnvError::PromptTooLong`] for a prompt that leaves nothing to write,
    /// [`EnvError::PromptToken`] for one that holds `<pad>`, `<bos>` or `<eos>`.
    pub fn new(prompts: Arc<[Vec<TokenId>]>, actions: Arc<ActionTable>, max_tokens: usize) -> Result<Self, EnvError> {
        if prompts.is_empty() {
            return Err(EnvError::NoStarts { what: "prompts" });
        }
        let never_inside = [Special::Pad, Special::Bos, Special::Eos].map(Special::id);
        for (prompt, tokens) in prompts.iter().enumerate() {
            if tokens.len() >= max_tokens {
                return Err(EnvError::PromptTooLong { prompt, n_tokens: tokens.len(), max_tokens });
            }
            if let Some(position) = tokens.iter().position(|token| never_inside.contains(token)) {
                return Err(EnvError::PromptToken { prompt, position, token: tokens[position] });
            }
        }
        Ok(Self { prompts, actions, max_tokens, min_tokens: 0, before_min_tokens: ActionMask::All, n_tokens: None })
    }

    /// The same task in which `<eos>` is not allowed before the text has `min_tokens` tokens.
    ///
    /// # Errors
    /// [`EnvError::MinTokens`] when that would never be, [`EnvError::NothingButEos`] when no other action is left.
    pub fn with_min_tokens(mut self, min_tokens: usize) -> Result<Self, EnvError> {
        if min_tokens >= self.max_tokens {
            return Err(EnvError::MinTokens { min_tokens, max_tokens: self.max_tokens });
        }
        let ends = |tokens: &[TokenId]| tokens.contains(&Special::Eos.id());
        let ending: Vec<ActionId> =
            self.actions.iter().filter(|(_, tokens)| ends(tokens)).map(|(action, _)| action).collect();
        if min_tokens > 0 && ending.len() == self.actions.len() {
            return Err(EnvError::NothingButEos { min_tokens, n_actions: ending.len() });
        }
        self.min_tokens = min_tokens;
        if min_tokens > 0 && !ending.is_empty() {
            self.before_min_tokens = ActionMask::all_but(self.actions.len(), &ending);
        }
        Ok(self)
    }
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
        self.n_tokens = Some(prompt.len());
        let mut tokens = vec![Special::Bos.id()];
        tokens.extend_from_slice(prompt);
        Ok(State { tokens })
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
            None if n_tokens >= self.max_tokens => Outcome::Truncated,
            None => Outcome::Continues,
        };
        self.n_tokens = (!outcome.is_end()).then_some(n_tokens);
        Ok(Step { reward: 0.0, observed, outcome })
    }

    fn allowed(&self) -> ActionMask {
        match self.n_tokens {
            Some(n_tokens) if n_tokens < self.min_tokens => self.before_min_tokens.clone(),
            _ => ActionMask::All,
        }
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
        Generation::new(prompts.iter().map(|prompt| ids(prompt)).collect(), six_actions(), max_tokens)
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
    fn phrases_are_cut_at_the_limit_and_after_eos() {
        let phrases = Arc::new(ActionTable::new(vec![ids(&[4, 5, 6]), ids(&[7, EOS, 8])]));
        let mut free = Generation::new(vec![vec![]].into(), phrases, 5).unwrap();
        let cut = play(&mut free, Start::Indexed(0), &[0, 0]);
        assert_eq!((cut.tokens, cut.outcome), (ids(&[2, 4, 5, 6, 4, 5]), Outcome::Truncated));
        let ended = play(&mut free, Start::Indexed(0), &[0, 1]);
        assert_eq!((ended.tokens, ended.outcome), (ids(&[2, 4, 5, 6, 7, EOS]), Outcome::Terminated));
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
        let nothing_else = Generation::new(vec![vec![]].into(), only_eos, 4).unwrap().with_min_tokens(1).unwrap_err();
        assert_eq!(nothing_else.to_string(), "min_tokens is 1, but all 1 actions write <eos>; it must be 0");
    }

    proptest! {
        #[test]
        fn the_same_start_and_actions_make_the_same_episode(
            seed in any::<u64>(),
            choices in prop::collection::vec(any::<prop::sample::Index>(), 12),
            min_tokens in 0_usize..7,
        ) {
            let mut free = task(&[&[4], &[5, 6], &[]], 8).unwrap().with_min_tokens(min_tokens).unwrap();
            let start = Start::Drawn(Seed(seed));
            let mut episode = Trajectory::begin(free.reset(start).unwrap(), free.allowed());
            for choice in &choices {
                let allowed: Vec<ActionId> = free.allowed().iter(6).collect();
                prop_assert!(!allowed.is_empty());
                let action = *choice.get(&allowed);
                let step = free.step(action).unwrap();
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
