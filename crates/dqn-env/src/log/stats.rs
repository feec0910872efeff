//! What a log holds, in numbers.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::BufRead;

use dqn_text::{Special, Tokenizer};
use serde::Serialize;

use super::episode::{LoggedEpisode, LoggedOutcome};
use super::fault::{LogFault, LogProblem};
use super::reader::LogReader;

/// The numbers of a log.
///
/// An action is an action turn, an action token, or the answer of a triple, as the log has it; how many decisions of a
/// policy that makes depends on its actions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LogStats {
    /// Number of episodes, at least 1.
    pub n_episodes: u64,
    /// Number of actions in all of them.
    pub n_actions: u64,
    /// Number of tokens in all of them, `<bos>` not counted; `None` where there is text and no tokenizer.
    pub n_tokens: Option<u64>,
    /// Returns of the episodes, undiscounted.
    pub returns: Spread,
    /// Lengths of the episodes in actions.
    pub lengths_actions: Spread,
    /// Lengths of the episodes in characters (Unicode scalar values), whatever was shown and written, of those that are
    /// text; `None` where none is.
    pub lengths_characters: Option<Spread>,
    /// Share of the episodes that terminated, from 0 to 1; the others were truncated.
    pub terminated_fraction: f64,
    /// Number of distinct texts before the first action.
    pub n_distinct_starts: u64,
    /// Number of distinct action texts.
    pub n_distinct_actions: u64,
    /// Lines that were no episodes.
    pub n_skipped: u64,
}

/// How values are spread. Quantiles are linear between neighbours.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// Their mean.
    pub mean: f64,
    /// The least.
    pub min: f64,
    /// A twentieth lies below.
    pub p5: f64,
    /// A quarter lies below.
    pub p25: f64,
    /// The median.
    pub p50: f64,
    /// A quarter lies above.
    pub p75: f64,
    /// A twentieth lies above.
    pub p95: f64,
    /// The greatest.
    pub max: f64,
}

/// Collects the numbers of a log in one pass over its episodes.
///
/// # Units
/// 16 bytes an episode, and about as much for each distinct text: of texts only 64-bit hashes are kept. Two of a
/// million texts share one with a probability below 1e-7.
#[derive(Clone, Debug, Default)]
pub struct StatsPass {
    returns: Vec<f64>,
    lengths_actions: Vec<u32>,
    lengths_characters: Vec<u32>,
    n_actions: u64,
    n_tokens: u64,
    /// Whether an episode was seen whose tokens were not counted.
    is_uncounted: bool,
    n_terminated: u64,
    starts: HashSet<u64>,
    actions: HashSet<u64>,
}

impl LogStats {
    /// Reads all of a log; with a tokenizer, the tokens of its texts are counted too.
    ///
    /// # Errors
    /// Those of the reader, and [`LogProblem::Tokenize`] where the tokenizer fails; the reader decides whether to go
    /// on.
    pub fn read<R: BufRead>(reader: &mut LogReader<R>, tokenizer: Option<&dyn Tokenizer>) -> Result<Self, LogFault> {
        let mut pass = StatsPass::default();
        while let Some(episode) = reader.next() {
            let episode = episode?;
            match pass.push(&episode, tokenizer) {
                Ok(()) => {}
                Err(problem) => reader.refuse(problem)?,
            }
        }
        let n_skipped = reader.n_skipped();
        pass.finish(n_skipped).ok_or_else(|| reader.fault(LogProblem::NoEpisode { n_skipped }))
    }
}

impl StatsPass {
    /// Adds `episode`; with a tokenizer, the tokens of its texts are counted.
    ///
    /// # Errors
    /// [`LogProblem::Tokenize`]; nothing is added then.
    pub fn push(&mut self, episode: &LoggedEpisode, tokenizer: Option<&dyn Tokenizer>) -> Result<(), LogProblem> {
        match count_tokens(episode, tokenizer)? {
            Some(n_tokens) => self.n_tokens += n_tokens,
            None => self.is_uncounted = true,
        }
        if let Some(texts) = episode.texts() {
            let n_characters: usize = texts.iter().map(|(text, _)| text.chars().count()).sum();
            self.lengths_characters.push(saturated(n_characters));
            // Joined, so that a beginning in two turns is the same as in one.
            let start: String = texts.iter().take_while(|turn| !turn.1).map(|turn| turn.0).collect();
            self.starts.insert(hash(&start));
            self.actions.extend(texts.iter().filter(|turn| turn.1).map(|turn| hash(turn.0)));
        }
        if let LoggedEpisode::Tokens(logged) = episode {
            let n_start = logged.is_action.iter().take_while(|&&is_action| !is_action).count();
            self.starts.insert(hash(&logged.tokens[..n_start]));
            let flagged = logged.tokens.iter().zip(&logged.is_action);
            self.actions.extend(flagged.filter(|&(_, &is_action)| is_action).map(|(token, _)| hash(token)));
        }
        let n_actions = episode.rewards().len();
        self.n_actions += n_actions as u64;
        self.lengths_actions.push(saturated(n_actions));
        self.returns.push(episode.episode_return());
        self.n_terminated += u64::from(episode.outcome() == LoggedOutcome::Terminated);
        Ok(())
    }

    /// The return of each episode added, in their order.
    pub fn returns(&self) -> &[f64] {
        &self.returns
    }

    /// The numbers of what was added, beside `n_skipped` lines that were no episodes; `None` where nothing was.
    pub fn finish(self, n_skipped: u64) -> Option<LogStats> {
        let n_episodes = self.returns.len() as u64;
        Some(LogStats {
            n_episodes,
            n_actions: self.n_actions,
            n_tokens: (!self.is_uncounted).then_some(self.n_tokens),
            returns: Spread::of(self.returns)?,
            lengths_actions: Spread::of(self.lengths_actions)?,
            lengths_characters: Spread::of(self.lengths_characters),
            terminated_fraction: self.n_terminated as f64 / n_episodes as f64,
            n_distinct_starts: self.starts.len() as u64,
            n_distinct_actions: self.actions.len() as u64,
            n_skipped,
        })
    }
}

fn count_tokens(episode: &LoggedEpisode, tokenizer: Option<&dyn Tokenizer>) -> Result<Option<u64>, LogProblem> {
    if let LoggedEpisode::Tokens(logged) = episode {
        let has_bos = logged.tokens.first() == Some(&Special::Bos.id());
        return Ok(Some(logged.tokens.len() as u64 - u64::from(has_bos)));
    }
    let (Some(tokenizer), Some(texts)) = (tokenizer, episode.texts()) else { return Ok(None) };
    let count = |&(text, _): &(&str, bool)| match tokenizer.encode(text) {
        Ok(tokens) => Ok(tokens.len() as u64),
        Err(source) => Err(LogProblem::Tokenize { text: text.to_owned(), source }),
    };
    texts.iter().map(count).sum::<Result<u64, _>>().map(Some)
}

fn saturated(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn hash<T: Hash + ?Sized>(value: &T) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

impl Spread {
    /// The spread of `values`, none of them NaN; `None` where there are none.
    pub fn of<T: Copy + Into<f64>>(mut values: Vec<T>) -> Option<Self> {
        let n_values = values.len();
        let last = n_values.checked_sub(1)?;
        values.sort_unstable_by(|&one, &other| one.into().total_cmp(&other.into()));
        let quantile = |fraction: f64| {
            let place = fraction * last as f64;
            let (below, above): (f64, f64) =
                (values[place.floor() as usize].into(), values[place.ceil() as usize].into());
            below + (above - below) * place.fract()
        };
        Some(Self {
            mean: values.iter().map(|&value| value.into()).sum::<f64>() / n_values as f64,
            min: values[0].into(),
            p5: quantile(0.05),
            p25: quantile(0.25),
            p50: quantile(0.5),
            p75: quantile(0.75),
            p95: quantile(0.95),
            max: values[last].into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use dqn_text::tokenizer::TokenizerConfig;

    use super::super::OnFault;
    use super::*;

    const LOG: &str = concat!(
        r#"{"turns": [["go", false], ["on", true], ["ok", false], ["on", true]], "rewards": [-1, 4]}"#,
        "\nno\n",
        r#"{"turns": [["g", false], ["o", false], ["off", true]], "rewards": [1], "outcome": "truncated"}"#,
        "\n",
        r#"{"prompt": "你好", "response": "on", "reward": 0}"#,
        "\n",
        r#"{"prompt": "go", "response": "你", "reward": 2}"#,
        "\n",
    );

    fn read(log: &str, tokenizer: Option<&dyn Tokenizer>) -> LogStats {
        let mut reader = LogReader::new(log.as_bytes(), "log", OnFault::Skip);
        LogStats::read(&mut reader, tokenizer).unwrap()
    }

    #[test]
    fn a_log_is_counted_by_hand() {
        // Returns 3, 1, 0, 2; actions 2, 1, 1, 1; characters 8, 5, 4, 3.
        fn check(found: &Spread, expected: [f64; 8]) {
            let found = [found.mean, found.min, found.p5, found.p25, found.p50, found.p75, found.p95, found.max];
            assert_eq!(found.map(|value| (value * 1e9).round() / 1e9), expected);
        }
        let stats = read(LOG, None);
        check(&stats.returns, [1.5, 0.0, 0.15, 0.75, 1.5, 2.25, 2.85, 3.0]);
        check(&stats.lengths_actions, [1.25, 1.0, 1.0, 1.0, 1.0, 1.25, 1.85, 2.0]);
        check(stats.lengths_characters.as_ref().unwrap(), [5.0, 3.0, 3.15, 3.75, 4.5, 5.75, 7.55, 8.0]);
        assert_eq!((stats.n_episodes, stats.n_actions, stats.n_tokens), (4, 5, None));
        // Starts "go" thrice and "你好"; actions "on", "off" and "你".
        assert_eq!((stats.n_distinct_starts, stats.n_distinct_actions), (2, 3));
        assert_eq!((stats.terminated_fraction, stats.n_skipped), (0.75, 1));

        let char = TokenizerConfig::Char { max_tokens: 100, min_count: 1 }.train(&["go"]).unwrap();
        assert_eq!(read(LOG, Some(&char)).n_tokens, Some(20));
    }

    #[test]
    fn token_ids_are_counted_without_a_tokenizer() {
        let log = concat!(
            r#"{"tokens": [2, 7, 5, 6], "is_action": [false, false, true, true], "rewards": [0, 1]}"#,
            "\n",
            r#"{"tokens": [8, 5], "is_action": [false, true], "rewards": [1]}"#,
        );
        let stats = read(log, None);
        assert_eq!((stats.n_tokens, stats.n_actions, stats.lengths_characters), (Some(5), 3, None));
        assert_eq!((stats.n_distinct_starts, stats.n_distinct_actions), (2, 2));
        // Text beside them, and no tokenizer: not all tokens are known.
        assert_eq!(read(&format!("{log}\n{LOG}"), None).n_tokens, None);
    }

    #[test]
    fn an_empty_pass_has_no_numbers() {
        assert_eq!(StatsPass::default().finish(3), None);
        let mut reader = LogReader::new(&b""[..], "log", OnFault::Stop);
        assert!(LogStats::read(&mut reader, None).is_err());
        // A log that was read already.
        let fault = LogStats::read(&mut reader, None).unwrap_err();
        assert_eq!(fault.to_string(), "log: the log holds no episode; at least one line must be one");
    }
}
