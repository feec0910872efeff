//! Remembering one token over many.

use std::sync::Arc;

use dqn_mdp::{ActionMask, Environment, MdpError, Outcome, Start, State, Step};
use dqn_text::{ActionId, ActionTable, Special, TokenId, Vocab};

use crate::{EnvError, start};

/// A corridor with a sign at its beginning that tells where to turn at its end.
///
/// ```text
/// state   <bos>, the cue c0, c1, ..., then one . for each step of the corridor, then ? at the junction
/// action  in the corridor only "go on" is allowed, at the junction only one answer for each cue
/// reward  1 for the answer that equals the cue, else 0
/// end     after the answer, which terminates
/// ```
///
/// The best policy returns 1. One that does not know the cue returns `1 / n_cues` however it answers, and so does a
/// network that reads at most the last `delay + 1` tokens: at the junction they are the same for every cue.
///
/// Source: the T-maze of Bakker 2002, "Reinforcement Learning with Long Short-Term Memory". Differs: nothing but going
/// on can be done in the corridor, so that the task asks for memory alone and not for exploration too, as in
/// `memory_len` of Osband et al. 2020, "Behaviour Suite for Reinforcement Learning".
#[derive(Clone, Debug)]
pub struct Memory {
    vocab: Vocab,
    actions: Arc<ActionTable>,
    delay: usize,
    cue: usize,
    /// Steps taken, `None` outside an episode.
    n_steps: Option<usize>,
}

const CORRIDOR: &str = ".";
const JUNCTION: &str = "?";

/// The action of the corridor; the answers follow it.
const GO_ON: ActionId = ActionId(0);

impl Memory {
    /// The corridor of `delay` steps with `n_cues` cues; start `i` has cue `i`.
    ///
    /// # Errors
    /// [`EnvError::TaskValue`] for a corridor without a step or fewer than two cues.
    pub fn new(delay: usize, n_cues: usize) -> Result<Self, EnvError> {
        EnvError::check_value("memory", "delay", delay, 1)?;
        EnvError::check_value("memory", "n_cues", n_cues, 2)?;
        let cues = (0..n_cues).map(|cue| format!("c{cue}"));
        let names = cues.chain([CORRIDOR.to_owned(), JUNCTION.to_owned()]);
        let vocab = Vocab::new(names).expect("numbered names and the signs are distinct");
        let corridor = token(n_cues);
        let actions = Arc::new(ActionTable::of_tokens([corridor].into_iter().chain((0..n_cues).map(token))));
        Ok(Self { vocab, actions, delay, cue: 0, n_steps: None })
    }

    /// The vocabulary of the texts.
    pub fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    fn n_cues(&self) -> usize {
        self.actions.len() - 1
    }
}

/// The token after the special ones with this index: a cue, then the corridor, then the junction.
fn token(index: usize) -> TokenId {
    TokenId((Special::ALL.len() + index) as u32)
}

impl Environment for Memory {
    fn actions(&self) -> &ActionTable {
        &self.actions
    }

    fn n_starts(&self) -> usize {
        self.n_cues()
    }

    fn reset(&mut self, start: Start) -> Result<State, MdpError> {
        self.cue = start::index(start, self.n_cues())?;
        self.n_steps = Some(0);
        Ok(State::from(vec![Special::Bos.id(), token(self.cue)]))
    }

    fn step(&mut self, action: ActionId) -> Result<Step, MdpError> {
        let n_steps = self.n_steps.ok_or(MdpError::EpisodeOver { action })?;
        if action.index() >= self.actions.len() || !self.allowed().allows(action) {
            return Err(MdpError::Forbidden { action });
        }
        let mut observed = self.actions.tokens(action).to_vec();
        if n_steps == self.delay {
            self.n_steps = None;
            let is_right = action.index() == 1 + self.cue;
            let reward = if is_right { 1.0 } else { 0.0 };
            return Ok(Step { reward, observed, outcome: Outcome::Terminated });
        }
        if n_steps + 1 == self.delay {
            observed.push(token(self.n_cues() + 1));
        }
        self.n_steps = Some(n_steps + 1);
        Ok(Step { reward: 0.0, observed, outcome: Outcome::Continues })
    }

    fn allowed(&self) -> ActionMask {
        match self.n_steps {
            Some(n_steps) if n_steps < self.delay => ActionMask::only(self.actions.len(), [GO_ON]),
            Some(_) | None => ActionMask::all_but(self.actions.len(), &[GO_ON]),
        }
    }
}

#[cfg(test)]
mod tests {
    use dqn_mdp::{Seed, Trajectory};
    use proptest::prelude::*;

    use super::*;

    /// The episode of cue `cue` that ends with `answer`.
    fn episode(task: &mut Memory, cue: usize, answer: u32) -> Trajectory {
        let state = task.reset(Start::Indexed(cue)).unwrap();
        let mut episode = Trajectory::begin(state, task.allowed());
        while episode.outcome == Outcome::Continues {
            let goes_on = task.allowed().allows(GO_ON);
            let action = if goes_on { GO_ON } else { ActionId(1 + answer) };
            let step = task.step(action).unwrap();
            episode.push(action, &step, task.allowed());
        }
        episode
    }

    fn text(task: &Memory, tokens: &[TokenId]) -> String {
        tokens.iter().map(|&token| task.vocab().token(token)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn an_episode_by_hand() {
        let mut task = Memory::new(3, 2).unwrap();
        let right = episode(&mut task, 1, 1);
        assert_eq!(text(&task, &right.tokens), "<bos> c1 . . . ? c1");
        assert_eq!(right.rewards, [0.0, 0.0, 0.0, 1.0]);
        assert_eq!(right.outcome, Outcome::Terminated);
        let (go_on, answers) = (ActionMask::only(3, [GO_ON]), ActionMask::only(3, [ActionId(1), ActionId(2)]));
        let allowed: Vec<&ActionMask> = right.allowed.iter().take(4).collect();
        assert_eq!(allowed, [&go_on, &go_on, &go_on, &answers]);
        let wrong = episode(&mut task, 1, 0);
        assert_eq!(text(&task, &wrong.tokens), "<bos> c1 . . . ? c0");
        assert_eq!(wrong.episode_return(), 0.0);
        assert!(matches!(task.step(ActionId(1)), Err(MdpError::EpisodeOver { .. })));
    }

    #[test]
    fn what_the_place_does_not_allow_is_refused() {
        let mut task = Memory::new(1, 2).unwrap();
        task.reset(Start::Indexed(0)).unwrap();
        assert!(matches!(task.step(ActionId(1)), Err(MdpError::Forbidden { action: ActionId(1) })));
        assert_eq!(text(&task, &task.clone().step(GO_ON).unwrap().observed), ". ?");
        task.step(GO_ON).unwrap();
        assert!(matches!(task.step(GO_ON), Err(MdpError::Forbidden { action: GO_ON })));
        assert!(matches!(task.step(ActionId(3)), Err(MdpError::Forbidden { action: ActionId(3) })));
        assert_eq!(task.step(ActionId(1)).unwrap().reward, 1.0, "a refused action changes nothing");
    }

    #[test]
    fn starts_are_the_cues() {
        let mut task = Memory::new(2, 3).unwrap();
        let cue = |state: State| state.tokens[1].0 - 4;
        assert_eq!((0..task.n_starts()).map(|start| cue(task.reset(Start::Indexed(start)).unwrap())).max(), Some(2));
        let mut counts = [0_u32; 3];
        for seed in 0..3_000 {
            counts[cue(task.reset(Start::Drawn(Seed(seed))).unwrap()) as usize] += 1;
        }
        assert!(counts.iter().all(|&count| (850..1_150).contains(&count)), "{counts:?}");
        assert!(task.reset(Start::Indexed(3)).is_err());
    }

    #[test]
    fn tasks_without_anything_to_remember_are_refused() {
        let message = |delay, n_cues| Memory::new(delay, n_cues).unwrap_err().to_string();
        assert_eq!(message(0, 2), "the task memory has delay = 0; it must be at least 1");
        assert_eq!(message(20, 1), "the task memory has n_cues = 1; it must be at least 2");
    }

    proptest! {
        #[test]
        fn only_one_answer_in_n_is_right_and_only_the_cue_tells_which(delay in 1_usize..30, n_cues in 2_usize..6) {
            let mut task = Memory::new(delay, n_cues).unwrap();
            for answer in 0..n_cues as u32 {
                let episodes: Vec<Trajectory> = (0..n_cues).map(|cue| episode(&mut task, cue, answer)).collect();
                let returns: Vec<f32> = episodes.iter().map(Trajectory::episode_return).collect();
                // An answer that does not depend on the cue is right for one of them: 1 / n_cues on average.
                prop_assert_eq!(returns.iter().sum::<f32>(), 1.0);
                prop_assert_eq!(returns[answer as usize], 1.0);
                for episode in &episodes {
                    let junction = &episode.tokens[..episode.tokens.len() - 1];
                    prop_assert_eq!(junction.len(), delay + 3);
                    let last = &junction[junction.len() - (delay + 1)..];
                    prop_assert_eq!(last, &episodes[0].tokens[2..delay + 3], "the last delay + 1 tokens tell nothing");
                }
            }
        }
    }
}
