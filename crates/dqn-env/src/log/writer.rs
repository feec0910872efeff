//! Writing a log.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use super::episode::LoggedEpisode;
use super::fault::{LogFault, LogProblem};

/// Writes episodes a line each, buffered, so that a [`LogReader`](super::LogReader) reads the same ones.
///
/// What is still in the buffer is written by [`LogWriter::finish`]; without it a fault of the disk could pass unseen.
#[derive(Debug)]
pub struct LogWriter<W: Write> {
    file: String,
    output: BufWriter<W>,
    n_episodes: u64,
}

impl LogWriter<File> {
    /// Begins a log at `path`, in place of a file that may be there.
    ///
    /// # Errors
    /// [`LogProblem::Io`] when the file cannot be made.
    pub fn create(path: &Path) -> Result<Self, LogFault> {
        let file = path.display().to_string();
        match File::create(path) {
            Ok(output) => Ok(Self::new(file, output)),
            Err(source) => Err(io_fault(&file, source)),
        }
    }
}

impl<W: Write> LogWriter<W> {
    /// A log that is written to `output`; `file` names it in errors.
    pub fn new(file: impl Into<String>, output: W) -> Self {
        Self { file: file.into(), output: BufWriter::new(output), n_episodes: 0 }
    }

    /// Episodes written so far.
    pub fn n_episodes(&self) -> u64 {
        self.n_episodes
    }

    /// Appends `episode` in the shape it has.
    ///
    /// # Errors
    /// Those of [`LoggedEpisode::check`], before anything is written, and [`LogProblem::Io`].
    pub fn write(&mut self, episode: &LoggedEpisode) -> Result<(), LogFault> {
        if let Err(problem) = episode.check() {
            return Err(LogFault { file: self.file.clone(), line: Some(self.n_episodes + 1), column: None, problem });
        }
        let written = serde_json::to_writer(&mut self.output, episode).map_err(Into::into);
        written.and_then(|()| self.output.write_all(b"\n")).map_err(|source| io_fault(&self.file, source))?;
        self.n_episodes += 1;
        Ok(())
    }

    /// Writes what is left in the buffer and returns what was written to.
    ///
    /// # Errors
    /// [`LogProblem::Io`].
    pub fn finish(self) -> Result<W, LogFault> {
        let Self { file, output, .. } = self;
        output.into_inner().map_err(|error| io_fault(&file, error.into_error()))
    }
}

fn io_fault(file: &str, source: std::io::Error) -> LogFault {
    let problem = LogProblem::Io { action: "written", source };
    LogFault { file: file.to_owned(), line: None, column: None, problem }
}

#[cfg(test)]
mod tests {
    use dqn_text::TokenId;
    use proptest::prelude::*;

    use super::super::{LogReader, LoggedOutcome, LoggedTokens, LoggedTriple, LoggedTurn, LoggedTurns, OnFault};
    use super::*;

    fn written(episodes: &[LoggedEpisode]) -> Vec<u8> {
        let mut writer = LogWriter::new("log", Vec::new());
        episodes.iter().for_each(|episode| writer.write(episode).unwrap());
        assert_eq!(writer.n_episodes(), episodes.len() as u64);
        writer.finish().unwrap()
    }

    #[test]
    fn lines_are_those_of_the_format() {
        let turns = LoggedTurns {
            id: Some("7".to_owned()),
            turns: vec![LoggedTurn::shown("门"), LoggedTurn::written("open\n")],
            rewards: vec![0.1],
            outcome: LoggedOutcome::Truncated,
        };
        let triple = LoggedTriple { id: None, prompt: "p".to_owned(), response: "r".to_owned(), reward: -1.0 };
        let tokens = LoggedTokens {
            id: None,
            tokens: vec![TokenId(4), TokenId(5)],
            is_action: vec![false, true],
            rewards: vec![2.0],
            outcome: LoggedOutcome::Terminated,
        };
        let lines =
            written(&[LoggedEpisode::Turns(turns), LoggedEpisode::Triple(triple), LoggedEpisode::Tokens(tokens)]);
        let expected = concat!(
            r#"{"id":"7","turns":[["门",false],["open\n",true]],"rewards":[0.1],"outcome":"truncated"}"#,
            "\n",
            r#"{"prompt":"p","response":"r","reward":-1.0}"#,
            "\n",
            r#"{"tokens":[4,5],"is_action":[false,true],"rewards":[2.0],"outcome":"terminated"}"#,
            "\n",
        );
        assert_eq!(String::from_utf8(lines).unwrap(), expected);
    }

    #[test]
    fn what_could_not_be_read_is_not_written() {
        let mut writer = LogWriter::new("log", Vec::new());
        let triple = |reward| LoggedTriple { id: None, prompt: String::new(), response: "r".to_owned(), reward };
        writer.write(&LoggedEpisode::Triple(triple(0.0))).unwrap();
        let fault = writer.write(&LoggedEpisode::Triple(triple(f32::NAN))).unwrap_err();
        assert_eq!(fault.to_string(), "log:2: reward is NaN; rewards must be finite and within 3.4e38 of 0");
        assert_eq!(writer.finish().unwrap().iter().filter(|&&byte| byte == b'\n').count(), 1);
    }

    #[test]
    fn files_are_written_and_faults_of_the_disk_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        let triple = LoggedTriple { id: None, prompt: String::new(), response: "r".to_owned(), reward: 0.5 };
        let episode = LoggedEpisode::Triple(triple);
        let mut writer = LogWriter::create(&path).unwrap();
        writer.write(&episode).unwrap();
        writer.finish().unwrap();
        let read: Vec<LoggedEpisode> = LogReader::open(&path, OnFault::Stop).unwrap().map(Result::unwrap).collect();
        assert_eq!(read, std::slice::from_ref(&episode));

        let fault = LogWriter::create(folder.path()).unwrap_err();
        assert_eq!(fault.to_string(), format!("{}: the log cannot be written", folder.path().display()));
        let mut no_room = [0_u8; 3];
        let mut writer = LogWriter::new("log", &mut no_room[..]);
        writer.write(&episode).unwrap();
        assert_eq!(writer.finish().unwrap_err().to_string(), "log: the log cannot be written");
    }

    /// Episodes of every shape, the texts and rewards anything.
    fn any_episode() -> impl Strategy<Value = LoggedEpisode> {
        let reward = || proptest::num::f32::NORMAL | proptest::num::f32::ZERO | proptest::num::f32::SUBNORMAL;
        let outcome = || prop_oneof![Just(LoggedOutcome::Terminated), Just(LoggedOutcome::Truncated)];
        let id = || proptest::option::of(any::<String>());
        let acted = ("(?s).{1,9}", reward()).prop_map(|(text, reward)| (LoggedTurn::written(text), Some(reward)));
        let shown = any::<String>().prop_map(|text| (LoggedTurn::shown(text), None));
        let turns = proptest::collection::vec(prop_oneof![acted, shown], 1..8);
        let turns = (id(), turns, outcome()).prop_filter_map("no action", |(id, turns, outcome)| {
            let (turns, rewards): (Vec<_>, Vec<_>) = turns.into_iter().unzip();
            let episode = LoggedTurns { id, turns, rewards: rewards.into_iter().flatten().collect(), outcome };
            (!episode.rewards.is_empty()).then_some(LoggedEpisode::Turns(episode))
        });
        let tokens = proptest::collection::vec((any::<u32>(), proptest::option::of(reward())), 1..20);
        let tokens = (id(), tokens, outcome()).prop_filter_map("no action", |(id, tokens, outcome)| {
            let is_action = tokens.iter().map(|(_, reward)| reward.is_some()).collect();
            let rewards: Vec<f32> = tokens.iter().filter_map(|&(_, reward)| reward).collect();
            let tokens = tokens.into_iter().map(|(token, _)| TokenId(token)).collect();
            let is_episode = !rewards.is_empty();
            is_episode.then_some(LoggedEpisode::Tokens(LoggedTokens { id, tokens, is_action, rewards, outcome }))
        });
        let triple = (id(), any::<String>(), any::<String>(), reward())
            .prop_map(|(id, prompt, response, reward)| LoggedTriple { id, prompt, response, reward })
            .prop_map(LoggedEpisode::Triple);
        prop_oneof![turns, tokens, triple]
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(episodes in proptest::collection::vec(any_episode(), 1..6)) {
            let lines = written(&episodes);
            prop_assert_eq!(lines.iter().filter(|&&byte| byte == b'\n').count(), episodes.len());
            let reader = LogReader::new(&lines[..], "log", OnFault::Stop);
            prop_assert_eq!(reader.map(Result::unwrap).collect::<Vec<_>>(), episodes);
        }
    }
}
