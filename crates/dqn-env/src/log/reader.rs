//! Reading a log an episode at a time.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use dqn_mdp::Trajectory;

use super::diagnosis::diagnose;
use super::episode::{LoggedEpisode, RawEpisode};
use super::fault::{LogFault, LogProblem, OnFault};
use super::translate::LogTranslator;

/// Longest line of a log, unless [`LogReader::max_line_bytes`] says otherwise: 64 MiB, far more than an episode has and
/// far less than memory has.
pub const MAX_LINE_BYTES: usize = 64 << 20;

/// How many of the faults it skipped a reader keeps.
const MAX_KEPT_FAULTS: usize = 5;

/// The episodes of a log, in their order.
///
/// Files of any size are read: one line is in memory at a time. After an error there is nothing more.
///
/// # Errors
/// As items, a [`LogFault`] for the first line that is no episode ([`OnFault::Stop`]); whatever is done about such
/// lines, also when the file cannot be read, and at its end when there was no episode in it.
#[derive(Debug)]
pub struct LogReader<R> {
    file: String,
    input: R,
    on_fault: OnFault,
    max_line_bytes: usize,
    /// The line at hand, without its end.
    line: Vec<u8>,
    n_lines: u64,
    n_episodes: u64,
    n_skipped: u64,
    faults: Vec<LogFault>,
    is_over: bool,
}

enum Line {
    Whole,
    TooLong,
    End,
}

impl LogReader<BufReader<File>> {
    /// Opens the log at `path`.
    ///
    /// # Errors
    /// [`LogProblem::Io`] when the file cannot be opened.
    pub fn open(path: &Path, on_fault: OnFault) -> Result<Self, LogFault> {
        match File::open(path) {
            Ok(input) => Ok(Self::new(BufReader::new(input), path, on_fault)),
            Err(source) => Err(LogFault {
                file: path.display().to_string(),
                line: None,
                column: None,
                problem: LogProblem::Io { action: "opened", source },
            }),
        }
    }
}

impl<R: BufRead> LogReader<R> {
    /// The log that `input` holds; `path` names it in errors, and `on_fault` is done about lines that are no episodes.
    pub fn new(input: R, path: impl AsRef<Path>, on_fault: OnFault) -> Self {
        Self {
            file: path.as_ref().display().to_string(),
            input,
            on_fault,
            max_line_bytes: MAX_LINE_BYTES,
            line: Vec::new(),
            n_lines: 0,
            n_episodes: 0,
            n_skipped: 0,
            faults: Vec::new(),
            is_over: false,
        }
    }

    /// The same log, with lines of up to `max_line_bytes` bytes, the line end not counted.
    #[must_use]
    pub fn max_line_bytes(mut self, max_line_bytes: usize) -> Self {
        self.max_line_bytes = max_line_bytes;
        self
    }

    /// Lines read so far, blank ones included: the number of the line of the last episode.
    pub fn n_lines(&self) -> u64 {
        self.n_lines
    }

    /// Episodes read so far, without those refused.
    pub fn n_episodes(&self) -> u64 {
        self.n_episodes
    }

    /// Lines skipped so far.
    pub fn n_skipped(&self) -> u64 {
        self.n_skipped
    }

    /// The first few faults skipped.
    pub fn faults(&self) -> &[LogFault] {
        &self.faults
    }

    /// The next episode that `translator` can translate, `None` at the end; the others are refused.
    ///
    /// # Errors
    /// Those of the reader and of [`LogTranslator::trajectory`], with their place.
    pub fn next_trajectory(&mut self, translator: &LogTranslator<'_>) -> Result<Option<Trajectory>, LogFault> {
        while let Some(episode) = self.next() {
            match translator.trajectory(&episode?) {
                Ok(trajectory) => return Ok(Some(trajectory)),
                Err(problem) => self.refuse(problem)?,
            }
        }
        Ok(None)
    }

    /// Treats the episode read last as a line that is no episode, because of what its reader found.
    ///
    /// # Errors
    /// The fault with its place, where the log stops at faults; nothing more is read then.
    pub fn refuse(&mut self, problem: LogProblem) -> Result<(), LogFault> {
        self.n_episodes = self.n_episodes.saturating_sub(1);
        self.judge(None, problem)
    }

    /// A fault of the whole file.
    pub(super) fn fault(&self, problem: LogProblem) -> LogFault {
        LogFault { file: self.file.clone(), line: None, column: None, problem }
    }

    fn judge(&mut self, column: Option<usize>, problem: LogProblem) -> Result<(), LogFault> {
        let fault = LogFault { file: self.file.clone(), line: Some(self.n_lines), column, problem };
        if self.on_fault == OnFault::Stop {
            self.is_over = true;
            return Err(fault);
        }
        self.n_skipped += 1;
        if self.faults.len() < MAX_KEPT_FAULTS {
            self.faults.push(fault);
        }
        Ok(())
    }

    fn read_line(&mut self) -> io::Result<Line> {
        self.line.clear();
        let most = self.max_line_bytes as u64 + 1;
        let n_read = self.input.by_ref().take(most).read_until(b'\n', &mut self.line)?;
        if n_read == 0 {
            return Ok(Line::End);
        }
        self.n_lines += 1;
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
        } else if n_read > self.max_line_bytes {
            self.input.skip_until(b'\n')?;
            return Ok(Line::TooLong);
        }
        Ok(Line::Whole)
    }
}

impl<R: BufRead> Iterator for LogReader<R> {
    type Item = Result<LoggedEpisode, LogFault>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.is_over {
            let (column, problem) = match self.read_line() {
                Err(source) => {
                    self.is_over = true;
                    return Some(Err(self.fault(LogProblem::Io { action: "read", source })));
                }
                Ok(Line::End) => {
                    self.is_over = true;
                    let problem = LogProblem::NoEpisode { n_skipped: self.n_skipped };
                    return (self.n_episodes == 0).then(|| Err(self.fault(problem)));
                }
                Ok(Line::TooLong) => (None, LogProblem::LineTooLong { max_bytes: self.max_line_bytes }),
                Ok(Line::Whole) => match parse(&self.line, self.n_lines == 1) {
                    Ok(None) => continue,
                    Ok(Some(episode)) => {
                        self.n_episodes += 1;
                        return Some(Ok(episode));
                    }
                    Err(fault) => fault,
                },
            };
            if let Err(fault) = self.judge(column, problem) {
                return Some(Err(fault));
            }
        }
        None
    }
}

/// The episode of a line, if the line is not blank.
fn parse(line: &[u8], is_first: bool) -> Result<Option<LoggedEpisode>, (Option<usize>, LogProblem)> {
    let text = std::str::from_utf8(line).map_err(|error| {
        let valid = String::from_utf8_lossy(&line[..error.valid_up_to()]);
        (Some(1 + valid.chars().count()), LogProblem::NotUtf8 { byte: line[error.valid_up_to()] })
    })?;
    // Some programs begin a file with a byte order mark, which is no JSON.
    let text = if is_first { text.strip_prefix('\u{feff}').unwrap_or(text) } else { text };
    if text.trim().is_empty() {
        return Ok(None);
    }
    let raw: RawEpisode = serde_json::from_str(text).map_err(|error| diagnose(text, &error))?;
    raw.resolve().map(Some).map_err(|problem| (None, problem))
}

#[cfg(test)]
mod tests {
    use dqn_text::tokenizer::TokenizerConfig;
    use dqn_text::{ActionTable, Tokenizer};

    use super::*;

    const GOOD: &str = r#"{"turns": [["a", false], ["b", true]], "rewards": [1]}"#;

    fn fault(bytes: &[u8]) -> String {
        let mut reader = LogReader::new(bytes, "log", OnFault::Stop).max_line_bytes(200);
        let fault = reader.find_map(Result::err).unwrap();
        assert!(reader.next().is_none(), "an episode after {fault}");
        fault.to_string()
    }

    #[test]
    fn faults_say_what_was_found_and_what_is_allowed() {
        let known = r#"the known keys are "turns", "tokens", "is_action", "rewards", "outcome", "prompt", "response", "reward", "id""#;
        for (line, expected) in [
            ("", ": the log holds no episode; at least one line must be one"),
            ("\n \r\n", ": the log holds no episode; at least one line must be one"),
            ("hello", ":1:1: the line is not JSON: expected value; every line is one whole JSON object"),
            (
                r#"{"prompt": "你好" "response": 1}"#,
                ":1:17: the line is not JSON: expected `,` or `}`; every line is one whole JSON object",
            ),
            ("{", ":1:1: the line is not JSON: EOF while parsing an object; every line is one whole JSON object"),
            (
                "{\"turns\": [[\"a\", tr",
                ":1:19: the line is not JSON: EOF while parsing a value; every line is one whole JSON object",
            ),
            (r#"{"reward": NaN}"#, ":1:12: NaN is no number of JSON; rewards must be finite"),
            (r#"{"rewards": [1, -Infinity]}"#, ":1:18: -Infinity is no number of JSON; rewards must be finite"),
            (r#"{"rewards": [1, 1e400]}"#, ":1:21: 1e400 is no number of JSON; rewards must be finite"),
            ("[]", ":1: the line is a list; every line is one JSON object"),
            ("7", ":1: the line is a number; every line is one JSON object"),
            (r#"{"messages": []}"#, &format!(r#":1: there is a key "messages"; {known}"#)),
            (
                "{}",
                r#":1: the line has no keys; an episode has "turns" and "rewards", or "tokens", "is_action" and "rewards", or "prompt", "response" and "reward""#,
            ),
            (
                r#"{"rewards": [], "id": "x"}"#,
                r#":1: the line has only "rewards", "id"; an episode has "turns" and "rewards", or "tokens", "is_action" and "rewards", or "prompt", "response" and "reward""#,
            ),
            (
                r#"{"turns": [["a", true]], "reward": 1}"#,
                r#":1: there is a key "reward", which does not go with "turns"; the keys that do are "turns", "rewards", "outcome", "id""#,
            ),
            (
                r#"{"prompt": "a", "response": "b", "reward": 1, "outcome": "truncated"}"#,
                r#":1: there is a key "outcome", which does not go with "prompt"; the keys that do are "prompt", "response", "reward", "id""#,
            ),
            (
                r#"{"prompt": "a", "response": "b", "reward": null}"#,
                r#":1: there is "prompt" but no "reward"; the keys that go together are "prompt", "response", "reward", "id""#,
            ),
            (
                r#"{"tokens": [5], "rewards": [1]}"#,
                r#":1: there is "tokens" but no "is_action"; the keys that go together are "tokens", "is_action", "rewards", "outcome", "id""#,
            ),
            (r#"{"turns": "a", "rewards": [1]}"#, r#":1: turns is "a"; it must be a list of pairs [text, is_action]"#),
            (
                r#"{"turns": [["a", true], ["b"]], "rewards": [1]}"#,
                ":1: turns[1] is a list; it must be a pair [text, is_action]",
            ),
            (r#"{"turns": [["a", true], ["b", 1]], "rewards": [1]}"#, ":1: turns[1][1] is 1; it must be true or false"),
            (r#"{"turns": [[null, true]], "rewards": [1]}"#, ":1: turns[0][0] is null; it must be a text"),
            (
                r#"{"tokens": [5, -1], "is_action": [], "rewards": []}"#,
                ":1: tokens[1] is -1; it must be a token id, a whole number from 0",
            ),
            (
                r#"{"tokens": [5], "is_action": ["yes"], "rewards": []}"#,
                r#":1: is_action[0] is "yes"; it must be true or false"#,
            ),
            (r#"{"turns": [["a", true]], "rewards": [null]}"#, ":1: rewards[0] is null; it must be a number"),
            (r#"{"turns": [["a", true]], "rewards": 1}"#, ":1: rewards is 1; it must be a list of numbers"),
            (
                r#"{"turns": [["a", true]], "rewards": [1], "outcome": "won"}"#,
                r#":1: outcome is "won"; it must be "terminated" or "truncated""#,
            ),
            (r#"{"id": 7}"#, ":1: id is 7; it must be a text"),
            (r#"{"id": "a", "id": "b"}"#, ":1: the line is no episode: duplicate field `id`"),
            (
                r#"{"turns": [["a", true], ["b", true]], "rewards": [1]}"#,
                ":1: there is 1 reward for 2 action turns; each action turn has one",
            ),
            (
                r#"{"tokens": [5, 6], "is_action": [false, true], "rewards": [1, 2]}"#,
                ":1: there are 2 rewards for 1 action token; each action token has one",
            ),
            (
                r#"{"tokens": [5, 6], "is_action": [true], "rewards": [1]}"#,
                r#":1: "tokens" has 2 entries and "is_action" 1; each token has one flag"#,
            ),
            (
                r#"{"turns": [["a", true]], "rewards": [-1e39]}"#,
                ":1: rewards[0] is -1e39; rewards must be finite and within 3.4e38 of 0",
            ),
            (
                r#"{"prompt": "", "response": "b", "reward": 1e300}"#,
                ":1: reward is 1e300; rewards must be finite and within 3.4e38 of 0",
            ),
            (
                r#"{"turns": [["a", false]], "rewards": []}"#,
                ":1: the episode has no action; at least one turn or token must be one",
            ),
            (
                r#"{"turns": [["a", false], ["", true]], "rewards": [1]}"#,
                ":1: turns[1] is an action of no text; an action writes something",
            ),
            (
                &"x".repeat(201),
                ":1: the line is longer than 200 bytes; an episode stands on one line, which may be as long as that",
            ),
        ] {
            assert_eq!(fault(line.as_bytes()), format!("log{expected}"), "{line}");
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_are_named_with_their_place() {
        let bytes = [GOOD.as_bytes(), b"\n\n{\"prompt\": \"\xe4\xbd\xa0\xff\"}\n"].concat();
        assert_eq!(fault(&bytes), "log:3:14: the line is not UTF-8: byte 0xff; convert the file to UTF-8");
        assert_eq!(
            fault(&bytes[..bytes.len() - 5]),
            "log:3:13: the line is not UTF-8: byte 0xe4; convert the file to UTF-8"
        );
    }

    #[test]
    fn a_line_may_be_as_long_as_the_limit() {
        for end in ["", "\n", "\n\n"] {
            let log = format!("{GOOD}{end}");
            let read = |limit: usize| {
                LogReader::new(log.as_bytes(), "log", OnFault::Stop).max_line_bytes(limit).next().unwrap()
            };
            assert!(read(GOOD.len()).is_ok());
            assert!(matches!(read(GOOD.len() - 1).unwrap_err().problem, LogProblem::LineTooLong { .. }));
        }
    }

    #[test]
    fn marks_blank_lines_and_line_ends_of_other_systems_are_passed_over() {
        let log = format!("\u{feff}{GOOD}\r\n\r\n  \n{GOOD}");
        let mut reader = LogReader::new(log.as_bytes(), "log", OnFault::Stop);
        assert_eq!(reader.by_ref().map(|episode| episode.unwrap().episode_return()).collect::<Vec<_>>(), [1.0, 1.0]);
        assert_eq!((reader.n_lines(), reader.n_episodes(), reader.n_skipped()), (4, 2, 0));
    }

    #[test]
    fn skipped_lines_are_counted_and_the_first_faults_kept() {
        let log = format!("{GOOD}\nno\n{}\n{GOOD}\n{{}}\n[]\n1\n2\n3\n{GOOD}\n", "x".repeat(300));
        let mut reader = LogReader::new(log.as_bytes(), "log", OnFault::Skip).max_line_bytes(200);
        assert_eq!(reader.by_ref().filter(Result::is_ok).count(), 3);
        assert_eq!((reader.n_lines(), reader.n_episodes(), reader.n_skipped()), (10, 3, 7));
        let lines: Vec<_> = reader.faults().iter().map(|fault| fault.line.unwrap()).collect();
        assert_eq!(lines, [2, 3, 5, 6, 7]);
        assert!(reader.next().is_none());
    }

    #[test]
    fn a_log_of_nothing_but_faults_is_one() {
        let mut reader = LogReader::new(&b"no\n{}\n"[..], "log", OnFault::Skip);
        let message = "log: the log holds no episode: all of its 2 lines were skipped; at least one line must be one";
        assert_eq!(reader.next().unwrap().unwrap_err().to_string(), message);
        assert!(reader.next().is_none());
    }

    #[test]
    fn an_episode_may_be_refused_afterwards() {
        let log = format!("{GOOD}\n{GOOD}\n");
        let mut reader = LogReader::new(log.as_bytes(), "log", OnFault::Skip);
        assert!(reader.next().unwrap().is_ok());
        reader.refuse(LogProblem::NoAction).unwrap();
        assert!(reader.next().unwrap().is_ok());
        assert_eq!((reader.n_episodes(), reader.n_skipped(), reader.faults()[0].line), (1, 1, Some(1)));
        assert!(reader.next().is_none());

        let mut reader = LogReader::new(log.as_bytes(), "log", OnFault::Stop);
        assert!(reader.by_ref().take(2).all(|episode| episode.is_ok()));
        let fault = reader.refuse(LogProblem::NoAction).unwrap_err();
        assert_eq!((fault.line, reader.next().is_none()), (Some(2), true));
    }

    #[test]
    fn files_that_cannot_be_read_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let lost = folder.path().join("lost.jsonl");
        let fault = LogReader::open(&lost, OnFault::Skip).unwrap_err();
        assert_eq!(fault.to_string(), format!("{}: the log cannot be opened", lost.display()));

        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("broken"))
            }
        }
        let mut reader = LogReader::new(BufReader::new(Broken), "log", OnFault::Skip);
        assert_eq!(reader.next().unwrap().unwrap_err().to_string(), "log: the log cannot be read");
        assert!(reader.next().is_none());
    }

    #[test]
    fn what_cannot_be_translated_is_refused_with_its_line() {
        let tokenizer = TokenizerConfig::Char { max_tokens: 9, min_count: 1 }.train(&["ab"]).unwrap();
        let actions = ActionTable::of_tokens([tokenizer.vocab().id("b").unwrap()]);
        let translator = LogTranslator::new(&tokenizer, &actions);
        let log = format!("{GOOD}\nno\n{}\n{GOOD}\n", GOOD.replace("\"b\"", "\"a\""));
        let mut reader = LogReader::new(log.as_bytes(), "log", OnFault::Skip);
        for _ in 0..2 {
            assert_eq!(reader.next_trajectory(&translator).unwrap().unwrap().rewards, [1.0]);
        }
        assert_eq!(reader.next_trajectory(&translator).unwrap(), None);
        assert_eq!((reader.n_episodes(), reader.n_skipped()), (2, 2));
        let message = reader.faults()[1].to_string();
        assert!(message.starts_with("log:3: no actions write the text \"a\""), "{message}");

        let mut reader = LogReader::new(&log.as_bytes()[GOOD.len() + 4..], "log", OnFault::Stop);
        assert_eq!(reader.next_trajectory(&translator).unwrap_err().line, Some(1));
        assert_eq!(reader.next_trajectory(&translator).unwrap(), None);
    }

    /// A log that is made while it is read, a line whenever one is asked for.
    struct Made {
        n_lines: usize,
        n_made: usize,
        line: Vec<u8>,
        n_read: usize,
    }

    impl Read for Made {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let n_read = self.fill_buf()?.read(buffer)?;
            self.consume(n_read);
            Ok(n_read)
        }
    }

    impl BufRead for Made {
        fn fill_buf(&mut self) -> io::Result<&[u8]> {
            if self.n_read == self.line.len() && self.n_made < self.n_lines {
                let (shown, reward) = ("text ".repeat(self.n_made % 50), self.n_made);
                self.line = format!("{{\"prompt\": \"{shown}\", \"response\": \"r\", \"reward\": {reward}}}\n").into();
                (self.n_made, self.n_read) = (self.n_made + 1, 0);
            }
            Ok(&self.line[self.n_read..])
        }

        fn consume(&mut self, n_bytes: usize) {
            self.n_read += n_bytes;
        }
    }

    #[test]
    fn one_line_is_held_at_a_time() {
        let n_lines = 20_000;
        let made = Made { n_lines, n_made: 0, line: Vec::new(), n_read: 0 };
        let mut reader = LogReader::new(made, "log", OnFault::Stop);
        for line in 0..n_lines {
            let episode = reader.next().unwrap().unwrap();
            assert_eq!((episode.episode_return(), reader.input.n_made), (line as f64, line + 1));
            // Lines have up to 300 bytes; a vector that grows has room for less than twice what it held.
            assert!(reader.line.capacity() < 600, "{}", reader.line.capacity());
        }
        assert!(reader.next().is_none());
    }
}
