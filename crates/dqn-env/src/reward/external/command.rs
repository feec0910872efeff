//! A scorer that is a program: a line of JSON into its standard input, a line out of its standard output.
//!
//! Three threads serve a running program, so that none of its pipes can fill up and stop it: one writes requests, one
//! reads answers, one reads what it says on standard error. A program that did anything but answer in step is killed
//! with all it started. Its pipes go with it, so that a late answer has no way to reach a later request.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Failure;
use super::fault::ScorerFault;
use super::protocol::{MAX_ANSWER_BYTES, ScoredText, request, scores, shown};

/// Settings of a scorer that is a program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandConfig {
    /// The program and its arguments, for example `["python3", "reward.py"]`. No shell reads them.
    #[schemars(length(min = 1))]
    pub program: Vec<String>,
    /// The folder in which the program runs; a relative path starts at the experiment file. Default that file's own folder.
    #[serde(default = "default_folder")]
    pub folder: PathBuf,
    /// How often in a row a program that died or was too slow is started again and asked once more. Default 3.
    #[serde(default = "default_restarts")]
    pub restarts: usize,
}

fn default_folder() -> PathBuf {
    PathBuf::from(".")
}

fn default_restarts() -> usize {
    3
}

/// How many of the last lines on standard error an error shows.
const N_LAST_LINES: usize = 10;
/// Longest line on standard error; a longer one is divided.
const MAX_ERROR_LINE_BYTES: u64 = 1_000;
/// What a program has to end by itself once its input is closed.
const GRACE: Duration = Duration::from_millis(500);
/// What standard error has to run dry once the program is over.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// How often the end of a program is looked for.
const POLL: Duration = Duration::from_millis(2);

/// A program that is asked, and started again where that helps.
pub(super) struct CommandScorer {
    /// The name of the reward term.
    term: String,
    config: CommandConfig,
    timeout: Duration,
    running: Option<Running>,
    /// No request has the id of another, whichever process it went to.
    next_id: u64,
    /// Failures since the last answer in step.
    n_failures: usize,
}

impl CommandScorer {
    /// A scorer whose program is started when it is first asked.
    pub(super) fn new(term: &str, config: CommandConfig, timeout: Duration) -> Self {
        Self { term: term.to_owned(), config, timeout, running: None, next_id: 0, n_failures: 0 }
    }

    /// The program in words.
    pub(super) fn name(&self) -> String {
        format!("the program {:?} in {}", self.config.program, self.config.folder.display())
    }

    /// The scores of `texts`, in their order.
    ///
    /// # Errors
    /// What went wrong last, with the last lines on standard error.
    pub(super) fn scores(&mut self, texts: &[ScoredText]) -> Result<Vec<f64>, Failure> {
        loop {
            let fault = match self.attempt(texts) {
                Ok(scores) => {
                    self.n_failures = 0;
                    return Ok(scores);
                }
                Err(fault) => fault,
            };
            if fault.is_in_step() {
                self.n_failures = 0;
                let last_lines = self.running.as_ref().map(Running::last_lines).unwrap_or_default();
                return Err(Failure { fault, last_lines });
            }
            let last_lines = self.running.take().map(Running::last_words).unwrap_or_default();
            self.n_failures += 1;
            let may_pass =
                matches!(fault, ScorerFault::Ended { .. } | ScorerFault::TimedOut { .. } | ScorerFault::NotReading);
            if !may_pass || self.n_failures > self.config.restarts {
                return Err(Failure { fault, last_lines });
            }
            let (term, name, failures, restarts) = (&self.term, self.name(), self.n_failures, self.config.restarts);
            tracing::warn!("reward term {term:?}: {name} {fault}; it is started again ({failures} of {restarts})");
        }
    }

    fn attempt(&mut self, texts: &[ScoredText]) -> Result<Vec<f64>, ScorerFault> {
        let running = match &mut self.running {
            Some(running) => running,
            none => none.insert(Running::start(&self.term, &self.config)?),
        };
        let id = self.next_id;
        self.next_id += 1;
        let answer = running.ask(request(id, texts), self.timeout)?;
        scores(&answer, id, texts.len())
    }
}

/// What is read from standard output.
enum Answer {
    /// A line.
    Line(Vec<u8>),
    /// A line without end.
    TooLong,
    /// There is no more, after this beginning of a line.
    End(Vec<u8>),
}

/// A program that runs.
struct Running {
    child: Child,
    /// To the thread that writes; without it standard input is closed.
    requests: Option<SyncSender<Vec<u8>>>,
    answers: Receiver<Answer>,
    last_lines: Arc<Mutex<VecDeque<String>>>,
    /// Hangs up when standard error is over.
    errors_over: Receiver<()>,
    /// How it ended, once it did.
    status: Option<ExitStatus>,
    is_killed: bool,
}

impl Running {
    fn start(term: &str, config: &CommandConfig) -> Result<Self, ScorerFault> {
        let (program, arguments) = config.program.split_first().expect("an empty program is refused in the settings");
        let mut command = Command::new(program_path(program, &config.folder));
        command.args(arguments).current_dir(&config.folder);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // In a group of its own it is killed with all it started, and an interrupt from the keyboard reaches only the
        // run, which may want to save what it has before it ends.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().map_err(ScorerFault::NotStarted)?;
        let stdin = child.stdin.take().expect("standard input is a pipe");
        let stdout = child.stdout.take().expect("standard output is a pipe");
        let stderr = child.stderr.take().expect("standard error is a pipe");
        let (requests, to_write) = mpsc::sync_channel(1);
        let (read, answers) = mpsc::sync_channel(1);
        let (over, errors_over) = mpsc::sync_channel(0);
        let last_lines = Arc::default();
        thread::spawn(move || write_requests(stdin, &to_write));
        thread::spawn(move || read_answers(stdout, &read));
        let (term, lines) = (term.to_owned(), Arc::clone(&last_lines));
        thread::spawn(move || {
            forward_errors(stderr, &term, &lines);
            drop(over);
        });
        Ok(Self { child, requests: Some(requests), answers, last_lines, errors_over, status: None, is_killed: false })
    }

    /// The line with which the program answers `request`.
    fn ask(&mut self, request: Vec<u8>, timeout: Duration) -> Result<Vec<u8>, ScorerFault> {
        let deadline = Instant::now() + timeout;
        let requests = self.requests.as_ref().expect("input is closed only when the program is stopped");
        // Where nobody writes any more, the program has gone; the answers tell how.
        if let Err(TrySendError::Full(_)) = requests.try_send(request) {
            return Err(ScorerFault::NotReading);
        }
        match self.answers.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Answer::Line(line)) => Ok(line),
            Ok(Answer::TooLong) => Err(ScorerFault::TooLong { limit: MAX_ANSWER_BYTES }),
            Ok(Answer::End(unfinished)) => Err(self.ended(&unfinished)),
            Err(RecvTimeoutError::Disconnected) => Err(self.ended(&[])),
            Err(RecvTimeoutError::Timeout) => Err(ScorerFault::TimedOut { seconds: timeout.as_secs_f64() }),
        }
    }

    /// The fault of a program whose standard output is over.
    fn ended(&mut self, unfinished: &[u8]) -> ScorerFault {
        let how = match self.wait(GRACE) {
            Some(status) => format!("ended ({status})"),
            None => "closed its standard output".to_owned(),
        };
        let unfinished = match unfinished {
            [] => String::new(),
            unfinished => format!(", in the middle of the line {:?}", shown(unfinished)),
        };
        ScorerFault::Ended { how, unfinished }
    }

    /// How the program ended, if it does so in time.
    fn wait(&mut self, most: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + most;
        loop {
            // An error means that there is no such process; the kill that follows does no harm then.
            self.status = self.status.or_else(|| self.child.try_wait().ok().flatten());
            if self.status.is_some() || Instant::now() >= deadline {
                return self.status;
            }
            thread::sleep(POLL);
        }
    }

    /// Kills the program, if it still runs, and what it started; afterwards there is no trace of it.
    fn kill(&mut self) {
        if std::mem::replace(&mut self.is_killed, true) {
            return;
        }
        #[cfg(unix)]
        {
            // Its group keeps its number as long as anyone is in it; where all are gone there is nothing to kill.
            let group = rustix::process::Pid::from_child(&self.child);
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        #[cfg(not(unix))]
        let _ = self.child.kill();
        self.status = self.status.or_else(|| self.child.wait().ok());
    }

    /// The last lines on standard error so far.
    fn last_lines(&self) -> Vec<String> {
        self.last_lines.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Kills the program; the last lines it wrote on standard error.
    fn last_words(mut self) -> Vec<String> {
        self.kill();
        // Hanging up is an error as well, and is what is waited for.
        let _ = self.errors_over.recv_timeout(LAST_WORDS);
        self.last_lines()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.requests = None;
        if !self.is_killed {
            self.wait(GRACE);
            self.kill();
        }
    }
}

/// A path to a program starts at its folder; a bare name is searched for by the system.
fn program_path(program: &str, folder: &Path) -> PathBuf {
    match Path::new(program).components().count() {
        0 | 1 => PathBuf::from(program),
        _ => folder.join(program),
    }
}

/// Writes requests until there are no more or nobody reads them.
fn write_requests(mut stdin: ChildStdin, requests: &Receiver<Vec<u8>>) {
    for request in requests {
        if stdin.write_all(&request).and_then(|()| stdin.flush()).is_err() {
            return;
        }
    }
}

/// Reads answers until there are no more or nobody wants them.
fn read_answers(stdout: impl Read, answers: &SyncSender<Answer>) {
    let mut stdout = BufReader::new(stdout);
    loop {
        let mut line = Vec::new();
        let read = (&mut stdout).take(MAX_ANSWER_BYTES as u64 + 1).read_until(b'\n', &mut line);
        let answer = match read {
            Ok(_) if line.ends_with(b"\n") => Answer::Line(line),
            Ok(n_bytes) if n_bytes > MAX_ANSWER_BYTES => Answer::TooLong,
            _ => Answer::End(line),
        };
        let is_last = !matches!(answer, Answer::Line(_));
        if answers.send(answer).is_err() || is_last {
            return;
        }
    }
}

/// Logs what the program says on standard error, and keeps the last lines.
fn forward_errors(stderr: impl Read, term: &str, last_lines: &Mutex<VecDeque<String>>) {
    let mut stderr = BufReader::new(stderr);
    let mut line = Vec::new();
    while matches!((&mut stderr).take(MAX_ERROR_LINE_BYTES).read_until(b'\n', &mut line), Ok(1..)) {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        line.clear();
        if text.is_empty() {
            continue;
        }
        tracing::info!("{term}: {text}");
        let mut last_lines = last_lines.lock().unwrap_or_else(PoisonError::into_inner);
        if last_lines.len() == N_LAST_LINES {
            last_lines.pop_front();
        }
        last_lines.push_back(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_start_at_the_folder() {
        let folder = Path::new("experiments");
        for (program, expected) in [
            ("python3", "python3"),
            ("./score", "experiments/./score"),
            ("bin/score", "experiments/bin/score"),
            ("/bin/sh", "/bin/sh"),
        ] {
            assert_eq!(program_path(program, folder).as_os_str(), expected);
        }
    }

    #[test]
    fn errors_keep_their_last_lines_in_pieces_of_bounded_length() {
        let kept = Mutex::default();
        let text = format!("{}\n\nlast {}\n", "x\n".repeat(50), "y".repeat(1_500));
        forward_errors(text.as_bytes(), "term", &kept);
        let kept: Vec<usize> = kept.into_inner().unwrap().iter().map(String::len).collect();
        assert_eq!(kept, [1, 1, 1, 1, 1, 1, 1, 1, 1_000, 505]);
    }

    #[test]
    fn output_is_read_line_by_line_to_its_end() {
        let (send, answers) = mpsc::sync_channel(10);
        read_answers(&b"{}\n\nunfinished"[..], &send);
        drop(send);
        let found: Vec<_> = answers
            .iter()
            .map(|answer| match answer {
                Answer::Line(line) => ("line", line),
                Answer::TooLong => ("too long", Vec::new()),
                Answer::End(line) => ("end", line),
            })
            .collect();
        assert_eq!(found, [("line", b"{}\n".to_vec()), ("line", b"\n".to_vec()), ("end", b"unfinished".to_vec())]);
    }
}
