//! Repeating a random string.

use std::sync::Arc;

use dqn_mdp::{ActionMask, Environment, MdpError, Outcome, Prompt, Seed, Start, State, Step};
use dqn_text::{ActionId, ActionTable, Special, TokenId, Vocab};
use rand::RngExt;

use crate::EnvError;

/// The task of writing a random string once more.
///
/// ```text
/// state   <bos>, the string, the delimiter |, and what was written so far
/// reward  1 / length when the token is the string's next one, else 0
/// end     after a wrong token, and after the last one; both terminate
/// ```
///
/// A perfect copy returns 1, and a policy that draws its tokens uniformly from `n` symbols
/// `sum_{k = 1}^{length} n^-k / length`.
///
/// Source: the copy task of Zaremba and Sutskever 2015, "Reinforcement Learning Neural Turing Machines", and of
/// Zaremba et al. 2016, "Learning Simple Algorithms from Examples", where a wrong symbol ends the episode too. Differs:
/// the string stands in the text at once instead of under a head that moves over a tape, its length is always the
/// same, and the return is scaled to 1.
///
/// Strings are drawn: those of [`Start::Drawn`] from its seed, those of [`Start::Indexed`] from a seed of the task and
/// the index, so that two tasks with different seeds are played on different strings. Nothing keeps two draws from
/// being equal: of `n^length` strings a given one is met again with probability `n^-length` a draw.
#[derive(Clone, Debug)]
pub struct CopyString {
    vocab: Vocab,
    actions: Arc<ActionTable>,
    length: usize,
    indexed: Seed,
    /// The string of every start, where it is not drawn.
    fixed: Option<Vec<TokenId>>,
    string: Vec<TokenId>,
    /// Tokens written, `None` outside an episode.
    n_written: Option<usize>,
}

/// What ends the string.
const DELIMITER: &str = "|";

/// Most starts that an index names, where there are as many strings.
const MAX_STARTS: usize = 1_000_000;

impl CopyString {
    /// The task over strings of `length` out of `n_symbols` symbols, written `0`, `1`, ...; the strings of
    /// [`Start::Indexed`] are drawn with `indexed`.
    ///
    /// # Errors
    /// [`EnvError::TaskValue`] for an empty string or fewer than two symbols.
    pub fn new(length: usize, n_symbols: usize, indexed: Seed) -> Result<Self, EnvError> {
        EnvError::check_value("copy", "length", length, 1)?;
        EnvError::check_value("copy", "n_symbols", n_symbols, 2)?;
        let names = (0..n_symbols).map(|symbol| symbol.to_string()).chain([DELIMITER.to_owned()]);
        let vocab = Vocab::new(names).expect("numbers and the delimiter are distinct");
        let actions = Arc::new(ActionTable::of_tokens((0..n_symbols).map(symbol)));
        Ok(Self { vocab, actions, length, indexed, fixed: None, string: Vec::new(), n_written: None })
    }

    /// The same task with the one start `string`, or none where that is no string of the task.
    pub fn with_string(self, string: &[TokenId]) -> Option<Self> {
        let is_string =
            string.len() == self.length && string.iter().all(|&token| self.actions.action_of(token).is_some());
        is_string.then(|| Self { fixed: Some(string.to_vec()), ..self })
    }

    /// The vocabulary of the strings.
    pub fn vocab(&self) -> &Vocab {
        &self.vocab
    }
}

fn symbol(index: usize) -> TokenId {
    TokenId((Special::ALL.len() + index) as u32)
}

impl Environment for CopyString {
    fn actions(&self) -> &ActionTable {
        &self.actions
    }

    fn n_starts(&self) -> usize {
        let n_strings = (0..self.length).fold(1, |n: usize, _| n.saturating_mul(self.actions.len()));
        if self.fixed.is_some() { 1 } else { n_strings.min(MAX_STARTS) }
    }

    fn reset(&mut self, start: Start) -> Result<State, MdpError> {
        let mut rng = match start {
            Start::Drawn(seed) => seed.stream("copy"),
            Start::Indexed(index) if index < self.n_starts() => self.indexed.stream(&format!("copy {index}")),
            Start::Indexed(index) => return Err(MdpError::NoSuchStart { index, n_starts: self.n_starts() }),
        };
        let n_symbols = self.actions.len();
        self.string = match &self.fixed {
            Some(string) => string.clone(),
            None => (0..self.length).map(|_| symbol(rng.random_range(0..n_symbols))).collect(),
        };
        self.n_written = Some(0);
        let delimiter = symbol(n_symbols);
        Ok(State::of(&Prompt::from([self.string.as_slice(), &[delimiter]].concat())))
    }

    fn step(&mut self, action: ActionId) -> Result<Step, MdpError> {
        let n_written = self.n_written.ok_or(MdpError::EpisodeOver { action })?;
        if action.index() >= self.actions.len() {
            return Err(MdpError::Forbidden { action });
        }
        let written = self.actions.tokens(action)[0];
        let is_right = written == self.string[n_written];
        let goes_on = is_right && n_written + 1 < self.length;
        self.n_written = goes_on.then_some(n_written + 1);
        Ok(Step {
            reward: if is_right { 1.0 / self.length as f32 } else { 0.0 },
            observed: vec![written],
            outcome: if goes_on { Outcome::Continues } else { Outcome::Terminated },
        })
    }

    fn allowed(&self) -> ActionMask {
        ActionMask::All
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn task(length: usize, n_symbols: usize, seed: u64) -> CopyString {
        CopyString::new(length, n_symbols, Seed(seed)).unwrap()
    }

    fn text(task: &CopyString, state: &State) -> String {
        state.tokens.iter().map(|&token| task.vocab().token(token)).collect::<Vec<_>>().join(" ")
    }

    /// The symbols of the string that stands in `state`.
    fn symbols(state: &State) -> Vec<u32> {
        state.tokens[1..state.tokens.len() - 1].iter().map(|token| token.0 - 4).collect()
    }

    #[test]
    fn a_copy_earns_its_share_for_each_symbol() {
        let mut task = task(4, 3, 0);
        let state = task.reset(Start::Indexed(0)).unwrap();
        let string = symbols(&state);
        assert_eq!(text(&task, &state), format!("<bos> {} {} {} {} |", string[0], string[1], string[2], string[3]));
        assert_eq!((task.actions().len(), task.allowed()), (3, ActionMask::All));
        for (index, &symbol) in string.iter().enumerate() {
            let step = task.step(ActionId(symbol)).unwrap();
            let outcome = if index == 3 { Outcome::Terminated } else { Outcome::Continues };
            assert_eq!(step, Step { reward: 0.25, observed: vec![TokenId(4 + symbol)], outcome });
        }
        assert!(matches!(task.step(ActionId(0)), Err(MdpError::EpisodeOver { action: ActionId(0) })));
    }

    #[test]
    fn a_wrong_symbol_is_observed_earns_nothing_and_terminates() {
        let mut task = task(4, 3, 0);
        let state = task.reset(Start::Indexed(1)).unwrap();
        let string = symbols(&state);
        assert_eq!(task.step(ActionId(string[0])).unwrap().reward, 0.25);
        let wrong = (string[1] + 1) % 3;
        let step = task.step(ActionId(wrong)).unwrap();
        assert_eq!(step, Step { reward: 0.0, observed: vec![TokenId(4 + wrong)], outcome: Outcome::Terminated });
        assert!(task.step(ActionId(0)).is_err());
        task.reset(Start::Indexed(1)).unwrap();
        assert!(matches!(task.step(ActionId(3)), Err(MdpError::Forbidden { action: ActionId(3) })));
    }

    /// Mean return over all strings of `length` and all ways to write one, by going through them.
    fn random_return(length: usize, n_symbols: usize) -> f64 {
        let n_strings = n_symbols.pow(length as u32);
        let digit = |of: usize, place: usize| of / n_symbols.pow(place as u32) % n_symbols;
        let right = |string: usize, written: usize| {
            (0..length).take_while(|&place| digit(string, place) == digit(written, place)).count() as f64
        };
        let pairs = (0..n_strings).flat_map(|string| (0..n_strings).map(move |written| (string, written)));
        let total: f64 = pairs.map(|(string, written)| right(string, written) / length as f64).sum();
        total / (n_strings * n_strings) as f64
    }

    #[test]
    fn uniform_writing_returns_the_stated_sum() {
        for (length, n_symbols) in [(1, 2), (2, 2), (3, 4), (2, 10)] {
            let stated: f64 = (1..=length).map(|k| (n_symbols as f64).powi(-(k as i32)) / length as f64).sum();
            assert!((random_return(length, n_symbols) - stated).abs() < 1e-12, "{length} of {n_symbols}");
        }
        // And the environment pays so: 200,000 episodes of 3 tokens out of 4, whose standard error is below .0005.
        let mut task = task(3, 4, 0);
        let mut rng = Seed(7).stream("test");
        let n_episodes = 200_000;
        let mut total = 0.0;
        for episode in 0..n_episodes {
            task.reset(Start::Drawn(Seed(episode))).unwrap();
            while task.n_written.is_some() {
                total += f64::from(task.step(ActionId(rng.random_range(0..4))).unwrap().reward);
            }
        }
        let expected = (1.0 / 4.0 + 1.0 / 16.0 + 1.0 / 64.0) / 3.0;
        assert!((total / n_episodes as f64 - expected).abs() < 0.002, "{}", total / n_episodes as f64);
    }

    #[test]
    fn every_seed_has_strings_of_its_own() {
        let strings = |seed: u64| -> HashSet<Vec<TokenId>> {
            let mut task = task(8, 10, seed);
            (0..2_000).map(|index| task.reset(Start::Indexed(index)).unwrap().tokens).collect()
        };
        let (one, other) = (strings(1), strings(2));
        assert_eq!(one, strings(1));
        // Of 10^8 strings, 2,000 drawn ones meet each other .02 times and those of another seed .04 times.
        assert!(one.len() >= 1_999, "{}", one.len());
        assert!(one.intersection(&other).count() <= 1);
        let mut task = task(8, 10, 1);
        let drawn: HashSet<_> = (0..2_000).map(|seed| task.reset(Start::Drawn(Seed(seed))).unwrap().tokens).collect();
        assert!(drawn.len() >= 1_999 && one.intersection(&drawn).count() <= 1);
    }

    #[test]
    fn symbols_are_uniform_in_every_place() {
        let mut task = task(3, 5, 0);
        let mut counts = [[0_u32; 5]; 3];
        for seed in 0..10_000 {
            for (place, symbol) in symbols(&task.reset(Start::Drawn(Seed(seed))).unwrap()).into_iter().enumerate() {
                counts[place][symbol as usize] += 1;
            }
        }
        // Five standard deviations of a count are 200.
        assert!(counts.iter().flatten().all(|&count| (1_800..2_200).contains(&count)), "{counts:?}");
    }

    #[test]
    fn there_are_as_many_starts_as_strings() {
        for (length, n_symbols, expected) in [(1, 2, 2), (3, 4, 64), (8, 10, 1_000_000), (500, 7, 1_000_000)] {
            assert_eq!(task(length, n_symbols, 0).n_starts(), expected);
        }
        let error = task(1, 2, 0).reset(Start::Indexed(2)).unwrap_err();
        assert_eq!(error.to_string(), "start 2 does not exist; the environment has 2 starts, counted from 0");
    }

    #[test]
    fn strings_that_need_no_copying_are_refused() {
        let message = |length, n_symbols| CopyString::new(length, n_symbols, Seed(0)).unwrap_err().to_string();
        assert_eq!(message(0, 10), "the task copy has length = 0; it must be at least 1");
        assert_eq!(message(8, 1), "the task copy has n_symbols = 1; it must be at least 2");
    }

    #[test]
    fn a_string_can_be_given() {
        let string = [symbol(2), symbol(0)];
        let mut given = task(2, 3, 0).with_string(&string).unwrap();
        let delimiter = symbol(3);
        assert_eq!(given.n_starts(), 1);
        assert_eq!(given.reset(Start::Indexed(0)).unwrap().tokens[1..], [symbol(2), symbol(0), delimiter]);
        assert_eq!(given.step(ActionId(2)).unwrap().reward, 0.5);
        assert!(task(2, 3, 0).with_string(&string[..1]).is_none() && task(1, 3, 0).with_string(&[delimiter]).is_none());
    }

    proptest! {
        #[test]
        fn the_best_policy_returns_one(length in 1_usize..40, n_symbols in 2_usize..30, seed: u64) {
            let mut task = task(length, n_symbols, seed);
            let state = task.reset(Start::Drawn(Seed(seed))).unwrap();
            prop_assert_eq!(&task.clone().reset(Start::Drawn(Seed(seed))).unwrap(), &state);
            let steps: Vec<Step> =
                symbols(&state).into_iter().map(|symbol| task.step(ActionId(symbol)).unwrap()).collect();
            let total: f32 = steps.iter().map(|step| step.reward).sum();
            prop_assert!((total - 1.0).abs() < 1e-5, "{}", total);
            prop_assert_eq!(steps.iter().filter(|step| step.outcome.is_end()).count(), 1);
            prop_assert!(task.step(ActionId(0)).is_err());
        }
    }
}
