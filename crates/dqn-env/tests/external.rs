//! The term `external` against programs and servers that do all they should not.
//!
//! Programs are written in `sh` and, where they must understand what they read, in Python.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use dqn_env::reward::References;
use dqn_env::{RewardConfig, RewardContext, RewardSum};
use dqn_mdp::{ActionId, ActionMask, Outcome, SourceId, State, Step, Trajectory};
use dqn_text::tokenizer::{TextTokenizer, TokenizerConfig};
use dqn_text::{Special, TokenId, Tokenizer};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Time enough on a machine that is busy.
const LONG_SECONDS: f64 = 60.0;

fn tokenizer() -> TextTokenizer {
    TokenizerConfig::Char { max_tokens: 100, min_count: 1 }.train(&["abcdefghijklmnopqrstuvwxyz 白日依山尽"]).unwrap()
}

/// The episode in which `written` was written after `prompt`, one token a step, and ended.
fn episode(tokenizer: &TextTokenizer, prompt: &str, written: &str) -> Trajectory {
    let tokens = [&[Special::Bos.id()], tokenizer.encode(prompt).unwrap().as_slice()].concat();
    let mut episode = Trajectory::begin(State::from(tokens), ActionMask::All);
    let mut push = |token, outcome| {
        episode.push(ActionId(0), &Step { reward: 0.0, observed: vec![token], outcome }, ActionMask::All);
    };
    tokenizer.encode(written).unwrap().into_iter().for_each(|token| push(token, Outcome::Continues));
    push(Special::Eos.id(), Outcome::Terminated);
    episode
}

fn build(context: &RewardContext<'_>, transport: Value, more: Value) -> Result<RewardSum, String> {
    let mut term = json!({ "kind": "external", "transport": transport, "timeout_seconds": LONG_SECONDS });
    term.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let config: RewardConfig = serde_json::from_value(json!({ "terms": [term] })).unwrap();
    config.build(context).map_err(|error| error.to_string())
}

fn term(transport: Value, more: Value) -> RewardSum {
    build(&RewardContext::of_tokenizer(&tokenizer()), transport, more).unwrap()
}

/// The program `name` of `folder`, written there.
fn program(folder: &TempDir, interpreter: &str, script: &str, restarts: usize) -> Value {
    fs::write(folder.path().join("program"), script).unwrap();
    json!({ "kind": "command", "program": [interpreter, "program"], "folder": folder.path(), "restarts": restarts })
}

fn shell(folder: &TempDir, script: &str, restarts: usize) -> Value {
    program(folder, "sh", script, restarts)
}

fn python(folder: &TempDir, script: &str, restarts: usize) -> Value {
    program(folder, "python3", script, restarts)
}

/// What the term gives for `texts`, each written after the prompt "a".
fn returns(term: &mut RewardSum, texts: &[&str]) -> Result<Vec<f32>, String> {
    let tokenizer = tokenizer();
    let mut episodes: Vec<Trajectory> = texts.iter().map(|text| episode(&tokenizer, "a", text)).collect();
    term.judge(&mut episodes).map_err(|error| error.to_string())?;
    Ok(episodes.iter().map(Trajectory::episode_return).collect())
}

/// How many lines a script has added to the file `starts`.
fn n_starts(folder: &TempDir) -> usize {
    fs::read_to_string(folder.path().join("starts")).unwrap().lines().count()
}

#[test]
fn the_example_scores_by_what_was_written() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let transport = json!({ "kind": "command", "program": ["python3", "reward.py"], "folder": examples });
    let mut term = term(transport, json!({ "weight": 2.0, "max_batch": 2 }));
    let given = returns(&mut term, &["a b a b", "a b", "", "白日 依山 白日"]).unwrap();
    assert_eq!(given, [1.0, 2.0, 0.0, 4.0 / 3.0]);
    assert_eq!(returns(&mut term, &["a a"]).unwrap(), [1.0]);
}

#[test]
fn a_request_holds_prompt_response_and_references() {
    let folder = TempDir::new().unwrap();
    let script = "read line\nprintf '%s\\n' \"$line\" > request\necho '{\"id\": 0, \"scores\": [1, 2]}'\nread line\n";
    let tokenizer = tokenizer();
    let ids = |text: &str| -> Vec<TokenId> { tokenizer.encode(text).unwrap() };
    let references: References = [(ids("白").into(), vec![ids("日"), ids("山")])].into();
    let context = RewardContext { references: Arc::new(references), ..RewardContext::of_tokenizer(&tokenizer) };
    let second = json!({ "prompt": "a", "response": "" });
    for (more, first) in [
        (json!({}), json!({ "prompt": "白", "response": "日依", "references": ["日", "山"] })),
        (json!({ "references": false }), json!({ "prompt": "白", "response": "日依" })),
    ] {
        let mut term = build(&context, shell(&folder, script, 0), more).unwrap();
        let mut episodes = [episode(&tokenizer, "白", "日依"), episode(&tokenizer, "a", "")];
        term.judge(&mut episodes).unwrap();
        assert_eq!(episodes.map(|episode| episode.rewards), [vec![0.0, 0.0, 1.0], vec![2.0]]);
        let request = fs::read_to_string(folder.path().join("request")).unwrap();
        let request: Value = serde_json::from_str(&request).unwrap();
        assert_eq!(request, json!({ "id": 0, "texts": [first, second] }));
    }
}

#[test]
fn a_request_holds_what_the_text_is_about() {
    let folder = TempDir::new().unwrap();
    let script = "read line\nprintf '%s\\n' \"$line\" > request\necho '{\"id\": 0, \"scores\": [1]}'\nread line\n";
    let tokenizer = tokenizer();
    let sources: Vec<String> = vec!["one".to_owned(), "two".to_owned()];
    let context = RewardContext { sources: sources.into(), ..RewardContext::of_tokenizer(&tokenizer) };
    let mut term = build(&context, shell(&folder, script, 0), json!({})).unwrap();
    let about = Trajectory { source: Some(SourceId(1)), ..episode(&tokenizer, "", "日") };
    term.judge(&mut [about]).unwrap();
    let request = fs::read_to_string(folder.path().join("request")).unwrap();
    let text = json!({ "source": "two", "prompt": "", "response": "日" });
    assert_eq!(serde_json::from_str::<Value>(&request).unwrap(), json!({ "id": 0, "texts": [text] }));
}

#[test]
fn differences_are_of_the_scores_of_all_beginnings() {
    let folder = TempDir::new().unwrap();
    let script = "
import json, sys
for line in sys.stdin.buffer:
    request = json.loads(line)
    scores = [len(text['response']) ** 2 + 5 for text in request['texts']]
    print(json.dumps({'id': request['id'], 'scores': scores}), flush=True)
";
    let mut term = term(python(&folder, script, 0), json!({ "when": "difference", "max_batch": 3 }));
    let tokenizer = tokenizer();
    let mut episodes = [episode(&tokenizer, "a", "bcd"), episode(&tokenizer, "", "b")];
    term.judge(&mut episodes).unwrap();
    assert_eq!(episodes.map(|episode| episode.rewards), [vec![1.0, 3.0, 5.0, 0.0], vec![1.0, 0.0]]);
}

/// Scores that only the text itself can tell, from programs that die again and again: at a request that they have read,
/// in the middle of an answer, and after an answer.
#[test]
fn thousands_of_rewards_belong_to_their_texts_whatever_dies_in_between() {
    let folder = TempDir::new().unwrap();
    let script = "
import json, os, signal, sys
open('starts', 'a').write('x\\n')
def score(text):
    value = 7
    for char in text['prompt'] + '|' + text['response']:
        value = (value * 31 + ord(char)) % 65521
    return value
for n, line in enumerate(sys.stdin.buffer):
    request = json.loads(line)
    answer = json.dumps({'id': request['id'], 'scores': [score(text) for text in request['texts']]})
    if n == 6 and request['id'] % 3 == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    if n == 6 and request['id'] % 3 == 1:
        print(answer[:len(answer) // 2], end='', flush=True)
        os._exit(3)
    print(answer, flush=True)
    if n == 6:
        os._exit(0)
";
    let mut term = term(python(&folder, script, 1), json!({ "max_batch": 61 }));
    let tokenizer = tokenizer();
    let letters: Vec<char> = ('a'..='z').chain("白日依山尽".chars()).collect();
    let mut random = 1_u64;
    let mut draw = |n: usize| {
        // The constants are Knuth's, of MMIX.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % n
    };
    for _ in 0..3 {
        let mut text = |longest: usize| -> String {
            let length = draw(longest);
            (0..length).map(|_| letters[draw(letters.len())]).collect()
        };
        let texts: Vec<(String, String)> = (0..1_500).map(|_| (text(3), text(12))).collect();
        let mut episodes: Vec<Trajectory> =
            texts.iter().map(|(prompt, response)| episode(&tokenizer, prompt, response)).collect();
        term.judge(&mut episodes).unwrap();
        for (episode, (prompt, response)) in episodes.iter().zip(&texts) {
            let text = format!("{prompt}|{response}");
            let expected = text.chars().fold(7_u32, |value, char| (value * 31 + char as u32) % 65_521);
            assert_eq!(episode.episode_return(), expected as f32, "{text}");
        }
    }
    assert!(n_starts(&folder) >= 10, "{}", n_starts(&folder));
}

#[test]
fn answers_that_are_wrong_end_in_an_error_that_says_so() {
    for (answer, expected) in [
        ("loading the model", "answered \"loading the model\", which is no answer (expected value at line 1 column 1)"),
        ("{\"id\": 0, \"scores\": [1, NaN]}", "NaN is no JSON, and scores must be finite"),
        ("{\"id\": 0, \"scores\": [1, null]}", "gave null as score 1 of 2, counted from 0; it must be a finite number"),
        (
            "{\"id\": 0, \"scores\": [1]}",
            "answered 1 scores for 2 texts; it must give one for each text, in their order",
        ),
        ("{\"id\": 0, \"scores\": [1, 2, 3]}", "answered 3 scores for 2 texts"),
        ("{\"id\": 5, \"scores\": [1, 2]}", "answered with id 5; the request had id 0"),
        ("{\"id\": 0, \"error\": \"out of memory\"}", "answered with an error of its own: out of memory"),
    ] {
        let folder = TempDir::new().unwrap();
        let script = format!("read line\nprintf '%s\\n' '{answer}'\nread line\n");
        let error = returns(&mut term(shell(&folder, &script, 2), json!({})), &["b", "c"]).unwrap_err();
        let place = folder.path().display();
        let name = format!("reward term \"external\" failed: the program [\"sh\", \"program\"] in {place} ");
        assert!(error.starts_with(&name) && error.contains(expected), "{answer}: {error}");
    }
}

#[test]
fn a_program_that_dies_is_started_again_so_often_and_its_last_words_are_told() {
    let folder = TempDir::new().unwrap();
    let script = "echo x >> starts\necho 'first words' >&2\necho 'no such model' >&2\nexit 3\n";
    for (restarts, expected) in [(0, 1), (2, 3)] {
        let _ = fs::remove_file(folder.path().join("starts"));
        let error = returns(&mut term(shell(&folder, script, restarts), json!({})), &["b"]).unwrap_err();
        assert!(error.contains("ended (exit status: 3) before it answered; it must answer each line"), "{error}");
        assert!(error.ends_with("its last lines on standard error:\n  first words\n  no such model"), "{error}");
        assert_eq!(n_starts(&folder), expected);
    }
}

#[test]
fn restarts_count_in_a_row() {
    let folder = TempDir::new().unwrap();
    // Every process answers one request and dies at the second one.
    let script = "
import json, os, sys
open('starts', 'a').write('x\\n')
request = json.loads(sys.stdin.buffer.readline())
print(json.dumps({'id': request['id'], 'scores': [1.5] * len(request['texts'])}), flush=True)
sys.stdin.buffer.readline()
os._exit(1)
";
    let mut term = term(python(&folder, script, 1), json!({ "max_batch": 1 }));
    assert_eq!(returns(&mut term, &["b"; 5]).unwrap(), [1.5; 5]);
    assert_eq!(n_starts(&folder), 5);
}

#[test]
fn a_program_killed_between_two_batches_is_started_again() {
    let folder = TempDir::new().unwrap();
    let script = "echo $$ > pid\nid=0\n[ -f later ] && id=2\ntouch later\n\
                  while read line; do echo \"{\\\"id\\\": $id, \\\"scores\\\": [4]}\"; id=$((id + 1)); done\n";
    for (restarts, expected) in [(1, None), (0, Some("ended (signal: 9 (SIGKILL)) before it answered"))] {
        let _ = fs::remove_file(folder.path().join("later"));
        let mut term = term(shell(&folder, script, restarts), json!({}));
        assert_eq!(returns(&mut term, &["b"]).unwrap(), [4.0]);
        let pid = fs::read_to_string(folder.path().join("pid")).unwrap();
        assert!(Command::new("kill").args(["-9", pid.trim()]).status().unwrap().success());
        match (returns(&mut term, &["b"]), expected) {
            (Ok(given), None) => assert_eq!(given, [4.0]),
            (Err(error), Some(expected)) => assert!(error.contains(expected), "{error}"),
            (given, _) => panic!("{restarts} restarts: {given:?}"),
        }
    }
}

#[test]
fn a_program_that_is_too_slow_is_killed_and_its_late_answer_never_taken() {
    let folder = TempDir::new().unwrap();
    // The first process answers too late, with the id of the next request and a score of its own; the second in time.
    let script = "read line\n[ -f slow ] || { touch slow; sleep 3; echo '{\"id\": 1, \"scores\": [9]}'; }\n\
                  echo '{\"id\": 1, \"scores\": [4]}'\nread line\necho '{\"id\": 2, \"scores\": [5]}'\nread line\n";
    let mut quick = term(shell(&folder, script, 1), json!({ "timeout_seconds": 2 }));
    assert_eq!(returns(&mut quick, &["b"]).unwrap(), [4.0]);
    assert_eq!(returns(&mut quick, &["b"]).unwrap(), [5.0]);
    let never = shell(&folder, "echo 'going to sleep' >&2\nsleep 1000\n", 1);
    let error = returns(&mut term(never, json!({ "timeout_seconds": 2 })), &["b"]).unwrap_err();
    assert!(error.contains("gave no answer within timeout_seconds = 2"), "{error}");
    assert!(error.ends_with("\n  going to sleep"), "{error}");
}

#[test]
fn floods_do_not_stop_a_program_that_answers() {
    let folder = TempDir::new().unwrap();
    // Megabytes on standard error before anything is read, and again before the answer to a request of megabytes.
    let script = "
import json, sys
def flood():
    for n in range(20000):
        sys.stderr.write('%d %s\\n' % (n, 'x' * 200))
    sys.stderr.flush()
flood()
for line in sys.stdin.buffer:
    request = json.loads(line)
    flood()
    scores = [len(text['response']) for text in request['texts']]
    print(json.dumps({'id': request['id'], 'scores': scores}), flush=True)
";
    let long = "abcdefghij".repeat(100);
    let texts = vec![long.as_str(); 2_000];
    let mut flooding = term(python(&folder, script, 0), json!({ "max_batch": 10_000 }));
    assert_eq!(returns(&mut flooding, &texts).unwrap(), vec![1_000.0; 2_000]);
    // One that writes without reading: the request is larger than a pipe, and its answers are none.
    let mut babbling = term(shell(&folder, "exec yes\n", 0), json!({ "max_batch": 10_000 }));
    let error = returns(&mut babbling, &texts).unwrap_err();
    assert!(error.contains("answered \"y\", which is no answer"), "{error}");
    let mut endless = term(shell(&folder, "exec tr '\\0' x < /dev/zero\n", 0), json!({}));
    let error = returns(&mut endless, &texts[..1]).unwrap_err();
    assert!(error.contains("answered with more than 67108864 bytes"), "{error}");
}

#[test]
fn answers_may_come_in_pieces_but_not_end_in_one() {
    let folder = TempDir::new().unwrap();
    let pieces =
        "read line\nprintf '{\"id\": 0,'\nsleep .1\nprintf ' \"sco'\nsleep .1\nprintf 'res\": [2]}\\n'\nread line\n";
    assert_eq!(returns(&mut term(shell(&folder, pieces, 0), json!({})), &["b"]).unwrap(), [2.0]);
    let half = "ended (exit status: 0) before it answered, in the middle of the line \"{\\\"id\\\": 0, \\\"sco\"";
    for (script, expected) in [
        ("read line\nprintf '{\"id\": 0, \"sco'\nexit 0\n", half),
        ("read line\nexec >&-\nsleep 1000\n", "closed its standard output before it answered"),
    ] {
        let error = returns(&mut term(shell(&folder, script, 0), json!({})), &["b"]).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn what_cannot_be_started_is_no_matter_of_restarts() {
    let transport = json!({ "kind": "command", "program": ["no-such-program"], "restarts": 1_000_000_000 });
    let error = returns(&mut term(transport, json!({})), &["b"]).unwrap_err();
    assert!(error.contains("the program [\"no-such-program\"] in . cannot be started: "), "{error}");
}

#[test]
fn a_default_stands_in_for_the_texts_of_a_failed_request() {
    let folder = TempDir::new().unwrap();
    // A process that answers in step lives on: only the request with the letter z fails.
    let script = "
import json, sys
open('starts', 'a').write('x\\n')
for line in sys.stdin.buffer:
    request = json.loads(line)
    scores = [None if 'z' in text['response'] else 1 for text in request['texts']]
    print(json.dumps({'id': request['id'], 'scores': scores}), flush=True)
";
    let more = json!({ "max_batch": 2, "on_failure": { "default": -0.5 } });
    let mut in_step = term(python(&folder, script, 0), more.clone());
    assert_eq!(returns(&mut in_step, &["b", "b", "z", "b", "b"]).unwrap(), [1.0, 1.0, -0.5, -0.5, 1.0]);
    assert_eq!(n_starts(&folder), 1);
    // One that always dies is tried once a request after its restarts are used up, and the run goes on.
    fs::remove_file(folder.path().join("starts")).unwrap();
    let mut dying = term(shell(&folder, "echo x >> starts\nexit 1\n", 2), more);
    assert_eq!(returns(&mut dying, &["b"; 6]).unwrap(), [-0.5; 6]);
    assert_eq!(n_starts(&folder), 3 + 1 + 1);
}

#[cfg(target_os = "linux")]
#[test]
fn nothing_of_a_program_is_left_when_its_term_is_dropped() {
    let folder = TempDir::new().unwrap();
    // It does not end with its input, and has started another process.
    let script =
        "sleep 1000 &\necho $! > child\necho $$ > pid\nread line\necho '{\"id\": 0, \"scores\": [1]}'\nsleep 1000\n";
    let mut term = term(shell(&folder, script, 0), json!({}));
    assert_eq!(returns(&mut term, &["b"]).unwrap(), [1.0]);
    let pid = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap().trim().to_owned();
    let (program, child) = (pid("pid"), pid("child"));
    // A process that has ended is a zombie (Z) until its parent has asked for its status; the orphan's parent is init.
    let state = |pid: &str| {
        let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        status.rsplit_once(") ").map(|(_, rest)| rest[..1].to_owned())
    };
    assert!(state(&program).is_some() && state(&child).is_some());
    drop(term);
    assert_eq!(state(&program), None);
    // It has been told to end, and nobody but init waits for it: on a busy machine it takes a moment.
    let is_gone = || matches!(state(&child).as_deref(), None | Some("Z" | "X"));
    let deadline = Instant::now() + Duration::from_secs_f64(LONG_SECONDS);
    while !is_gone() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
    assert!(is_gone(), "{:?}", state(&child));
}

#[test]
fn settings_are_checked_before_anything_is_asked() {
    let tokenizer = tokenizer();
    let command = || json!({ "kind": "command", "program": ["sh"] });
    for (transport, more, expected) in [
        (json!({ "kind": "command", "program": [] }), json!({}), "transport.program is []; it must be a program and"),
        (json!({ "kind": "http", "url": "localhost" }), json!({}), "transport.url is \"localhost\"; it must be an"),
        (command(), json!({ "timeout_seconds": 0 }), "timeout_seconds is 0; it must be .001 to 86400"),
        (command(), json!({ "max_batch": 0 }), "max_batch is 0; it must be at least 1"),
        (command(), json!({ "on_failure": { "default": 1e300 } }), "it must be a finite number of 32 bits"),
    ] {
        let error = build(&RewardContext::of_tokenizer(&tokenizer), transport, more).err().unwrap();
        assert!(error.starts_with("reward term \"external\": ") && error.contains(expected), "{error}");
    }
}

/// A server that gives one answer a connection; it hands back the bodies it was sent.
fn server(answers: &[&str]) -> (String, JoinHandle<Vec<Value>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/score", listener.local_addr().unwrap());
    let answers: Vec<String> = answers.iter().map(|&answer| answer.to_owned()).collect();
    let serve = move || {
        let one = |answer: &String| {
            let mut stream = listener.accept().unwrap().0;
            let request = body(&mut stream);
            // A client that has seen enough may hang up.
            let _ = stream.write_all(answer.as_bytes());
            serde_json::from_slice(&request).unwrap()
        };
        answers.iter().map(one).collect()
    };
    (url, thread::spawn(serve))
}

fn body(stream: &mut TcpStream) -> Vec<u8> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert_eq!(line.trim(), "POST /score HTTP/1.1");
    let mut length = 0;
    while !line.trim().is_empty() {
        line.clear();
        reader.read_line(&mut line).unwrap();
        if let Some(("content-length", value)) = line.to_ascii_lowercase().trim().split_once(": ") {
            length = value.parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    body
}

fn response(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

#[test]
fn a_server_is_asked_the_same() {
    let [first, second] =
        [r#"{"id": 0, "scores": [1, 2]}"#, r#"{"id": 1, "scores": [3]}"#].map(|body| response("200 OK", body));
    let (url, served) = server(&[&first, &second]);
    let mut term = term(json!({ "kind": "http", "url": url }), json!({ "max_batch": 2 }));
    assert_eq!(returns(&mut term, &["b", "白", "c"]).unwrap(), [1.0, 2.0, 3.0]);
    let text = |response: &str| json!({ "prompt": "a", "response": response });
    let expected = [json!({ "id": 0, "texts": [text("b"), text("白")] }), json!({ "id": 1, "texts": [text("c")] })];
    assert_eq!(served.join().unwrap(), expected);
}

#[test]
fn a_server_in_trouble_is_asked_again_and_one_that_refuses_is_not() {
    let good = response("200 OK", r#"{"id": 0, "scores": [1]}"#);
    let busy = response("503 Service Unavailable", "busy");
    // A connection that is closed without a word is trouble as well.
    let (url, served) = server(&[&busy, "", &good]);
    let mut patient = term(json!({ "kind": "http", "url": url, "retries": 2 }), json!({}));
    assert_eq!(returns(&mut patient, &["b"]).unwrap(), [1.0]);
    assert_eq!(served.join().unwrap().len(), 3);
    for (retries, answer, expected) in [
        (3, response("404 Not Found", "no such page"), "answered with status 404 and \"no such page\"; it must be 200"),
        (0, busy, "answered with status 503 and \"busy\""),
        (3, response("307 Temporary Redirect", ""), "answered with status 307"),
        (3, response("200 OK", "<html>"), "answered \"<html>\", which is no answer"),
        (3, response("200 OK", r#"{"id": 1, "scores": [1]}"#), "answered with id 1; the request had id 0"),
        (3, response("200 OK", r#"{"id": 0, "scores": []}"#), "answered 0 scores for 1 texts"),
        (0, "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{".to_owned(), "cannot be reached"),
    ] {
        let (url, served) = server(&[&answer]);
        let transport = json!({ "kind": "http", "url": url, "retries": retries });
        let error = returns(&mut term(transport, json!({})), &["b"]).unwrap_err();
        assert!(error.contains(&format!("the scorer at {url} ")) && error.contains(expected), "{error}");
        assert_eq!(served.join().unwrap().len(), 1);
    }
}

#[test]
fn a_server_that_is_silent_endless_or_not_there_ends_in_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/score", listener.local_addr().unwrap());
    let transport = json!({ "kind": "http", "url": url, "retries": 0 });
    let error = returns(&mut term(transport.clone(), json!({ "timeout_seconds": 0.5 })), &["b"]).unwrap_err();
    assert!(error.contains("gave no answer within timeout_seconds = 0.5"), "{error}");
    drop(listener);
    let error = returns(&mut term(transport.clone(), json!({})), &["b"]).unwrap_err();
    assert!(error.contains("cannot be reached"), "{error}");
    let defaulted = json!({ "on_failure": { "default": 0.25 } });
    assert_eq!(returns(&mut term(transport, defaulted), &["b"]).unwrap(), [0.25]);
    let (url, served) = server(&[&format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat((64 << 20) + 1_000))]);
    let error = returns(&mut term(json!({ "kind": "http", "url": url }), json!({})), &["b"]).unwrap_err();
    assert!(error.contains("answered with more than 67108864 bytes"), "{error}");
    served.join().unwrap();
}
