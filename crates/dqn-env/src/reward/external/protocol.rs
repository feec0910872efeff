//! What a scorer is asked, and what it may answer.

use serde::Serialize;
use serde_json::Value;

use super::fault::ScorerFault;

/// Most bytes of one answer: 64 MiB, far more than scores need and far less than memory has.
pub(super) const MAX_ANSWER_BYTES: usize = 64 << 20;

/// Most characters of a foreign text that an error shows.
const MAX_SHOWN_CHARS: usize = 200;

/// A text to be scored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct ScoredText {
    /// The text that the episode is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source: Option<String>,
    pub(super) prompt: String,
    pub(super) response: String,
    /// Texts that people wrote after the prompt.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) references: Vec<String>,
}

/// The request as one line of JSON, its end included.
pub(super) fn request(id: u64, texts: &[ScoredText]) -> Vec<u8> {
    #[derive(Serialize)]
    struct Request<'a> {
        id: u64,
        texts: &'a [ScoredText],
    }
    let mut line = serde_json::to_vec(&Request { id, texts }).expect("a request holds numbers and strings only");
    line.push(b'\n');
    line
}

/// The scores that `answer` gives for the `n_texts` texts of request `id`, in their order.
pub(super) fn scores(answer: &[u8], id: u64, n_texts: usize) -> Result<Vec<f64>, ScorerFault> {
    let no_answer = |why: String| ScorerFault::NotAnAnswer { found: shown(answer), why, id };
    let value: Value = serde_json::from_slice(answer).map_err(|error| no_answer(not_json(answer, &error)))?;
    let object = value.as_object().ok_or_else(|| no_answer("it is no object".to_owned()))?;
    let found = object.get("id").ok_or_else(|| no_answer("it has no \"id\"".to_owned()))?;
    if found.as_u64() != Some(id) {
        return Err(ScorerFault::OtherId { found: shown(found.to_string().as_bytes()), expected: id });
    }
    if let Some(error) = object.get("error") {
        let message = error.as_str().map_or_else(|| error.to_string(), str::to_owned);
        return Err(ScorerFault::Refused { message: shown(message.as_bytes()) });
    }
    let scores = object.get("scores").and_then(Value::as_array);
    let scores = scores.ok_or_else(|| no_answer("it has no array \"scores\"".to_owned()))?;
    if scores.len() != n_texts {
        return Err(ScorerFault::ScoreCount { found: scores.len(), expected: n_texts });
    }
    let number = |(index, score): (usize, &Value)| {
        // Rewards are kept in 32 bits, in which larger numbers are infinite.
        let number = score.as_f64().filter(|score| score.abs() <= f64::from(f32::MAX));
        let found = || shown(score.to_string().as_bytes());
        number.ok_or_else(|| ScorerFault::Score { found: found(), index, n_scores: n_texts })
    };
    scores.iter().enumerate().map(number).collect()
}

/// Why `answer` is no JSON; that many programs write NaN although JSON has none is said in so many words.
fn not_json(answer: &[u8], error: &serde_json::Error) -> String {
    let text = String::from_utf8_lossy(answer);
    match ["NaN", "nan", "Infinity", "inf"].iter().find(|name| text.contains(*name)) {
        Some(name) => format!("{error}: {name} is no JSON, and scores must be finite"),
        None => error.to_string(),
    }
}

/// The beginning of a foreign text.
pub(super) fn shown(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(&text[..text.len().min(4 * MAX_SHOWN_CHARS + 4)]);
    let text = text.trim_end_matches(['\n', '\r']);
    match text.char_indices().nth(MAX_SHOWN_CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(prompt: &str, response: &str, references: &[&str]) -> ScoredText {
        let references = references.iter().map(|&reference| reference.to_owned()).collect();
        ScoredText { source: None, prompt: prompt.to_owned(), response: response.to_owned(), references }
    }

    #[test]
    fn a_request_is_one_line() {
        let texts = [text("a\n", "\"b\"", &[]), text("", "白", &["日", ""])];
        let expected = "{\"id\":7,\"texts\":[{\"prompt\":\"a\\n\",\"response\":\"\\\"b\\\"\"},\
                        {\"prompt\":\"\",\"response\":\"白\",\"references\":[\"日\",\"\"]}]}\n";
        assert_eq!(String::from_utf8(request(7, &texts)).unwrap(), expected);
    }

    #[test]
    fn answers_are_scores_or_say_what_is_wrong() {
        for (answer, expected) in [
            ("{\"id\": 7, \"scores\": [1, -2.5e-1]}\n", Ok([1.0, -0.25])),
            ("{\"scores\": [0, 0], \"model\": \"mine\", \"id\": 7}\r\n", Ok([0.0, 0.0])),
            ("loading\n", Err("answered \"loading\", which is no answer (expected value at line 1 column 1)")),
            ("\n", Err("answered \"\", which is no answer (EOF while parsing a value")),
            ("{\"id\": 7, \"scores\": [1, NaN]}", Err("NaN is no JSON, and scores must be finite")),
            ("{\"id\": 7, \"scores\": [1, -Infinity]}", Err("Infinity is no JSON, and scores must be finite")),
            ("{\"id\": 7, \"scores\": [1, 1e999]}", Err("number out of range")),
            ("[1, 2]", Err("it is no object")),
            ("{\"scores\": [1, 2]}", Err("it has no \"id\"")),
            ("{\"id\": 6, \"scores\": [1, 2]}", Err("answered with id 6; the request had id 7")),
            ("{\"id\": \"7\", \"scores\": [1, 2]}", Err("answered with id \"7\"; the request had id 7")),
            ("{\"id\": 7, \"score\": [1, 2]}", Err("it has no array \"scores\"")),
            ("{\"id\": 7, \"scores\": [1]}", Err("answered 1 scores for 2 texts; it must give one for each text")),
            ("{\"id\": 7, \"scores\": [1, 2, 3]}", Err("answered 3 scores for 2 texts")),
            ("{\"id\": 7, \"scores\": [1, null]}", Err("gave null as score 1 of 2, counted from 0")),
            ("{\"id\": 7, \"scores\": [\"1\", 1]}", Err("gave \"1\" as score 0 of 2")),
            ("{\"id\": 7, \"scores\": [1, 1e39]}", Err("gave 1e+39 as score 1 of 2")),
            ("{\"id\": 7, \"error\": \"no GPU\"}", Err("answered with an error of its own: no GPU")),
            ("{\"id\": 7, \"scores\": [1, 2]} {}", Err("trailing characters")),
        ] {
            match (scores(answer.as_bytes(), 7, 2), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{answer}"),
                (Err(fault), Err(expected)) => assert!(fault.to_string().contains(expected), "{answer}: {fault}"),
                (found, _) => panic!("{answer}: {found:?}"),
            }
        }
    }

    #[test]
    fn a_long_answer_is_cut_where_it_is_shown() {
        let fault = scores("白".repeat(100_000).as_bytes(), 1, 1).unwrap_err().to_string();
        assert!(fault.contains(&format!("\"{}...\"", "白".repeat(MAX_SHOWN_CHARS))) && fault.len() < 1_000, "{fault}");
    }

    proptest! {
        #[test]
        fn whatever_comes_is_an_answer_or_an_error(answer in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(scores) = scores(&answer, 1, 2) {
                prop_assert_eq!(scores.len(), 2);
            }
        }

        #[test]
        fn scores_come_back_in_their_order(given in prop::collection::vec(any::<i32>(), 0..50), id: u64) {
            // Multiples of 1/8 are written and read without rounding.
            let given: Vec<f64> = given.into_iter().map(|eighths| f64::from(eighths) / 8.0).collect();
            let answer = serde_json::json!({ "id": id, "scores": given }).to_string();
            prop_assert_eq!(scores(answer.as_bytes(), id, given.len()).unwrap(), given);
        }
    }
}
