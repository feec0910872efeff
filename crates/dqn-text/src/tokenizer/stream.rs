//! Text that is written token by token: what can be shown already, and where it ends.

use super::pretrained::PretrainedTokenizer;
use crate::TokenId;

/// Tokens of a prompt that the first new ones are decoded with.
const N_CONTEXT: usize = 8;
/// Tokens that may wait for the rest of a character: its bytes are four at most.
const MAX_WAITING: usize = 16;

/// Turns tokens into pieces of text as they come.
///
/// What a token writes can depend on those before it (a space is dropped at the beginning of a text only), and a character
/// may be several tokens long. A piece is therefore what a few last tokens write with the new one that they did not write
/// without it, and half a character waits. The pieces of a text that was encoded are the text.
#[derive(Clone, Debug, Default)]
pub struct Detokenizer {
    /// The last tokens: those that were shown with the last piece, and those that wait.
    tokens: Vec<TokenId>,
    /// How many of them were shown.
    n_shown: usize,
}

impl Detokenizer {
    /// One for what follows a prompt.
    pub fn after(prompt: &[TokenId]) -> Self {
        let tokens = prompt[prompt.len().saturating_sub(N_CONTEXT)..].to_vec();
        Self { n_shown: tokens.len(), tokens }
    }

    /// What one more token writes, or nothing while a character is not complete.
    pub fn push(&mut self, tokenizer: &PretrainedTokenizer, token: TokenId) -> String {
        self.tokens.push(token);
        let text = tokenizer.decode(&self.tokens);
        let is_complete = !text.ends_with(char::REPLACEMENT_CHARACTER);
        if !is_complete && self.tokens.len() - self.n_shown < MAX_WAITING {
            return String::new();
        }
        self.show(tokenizer, &text)
    }

    /// What still waits, when no more tokens come.
    pub fn finish(&mut self, tokenizer: &PretrainedTokenizer) -> String {
        let text = tokenizer.decode(&self.tokens);
        self.show(tokenizer, &text)
    }

    /// The part of `text`, which all tokens write, that those shown before did not write.
    fn show(&mut self, tokenizer: &PretrainedTokenizer, text: &str) -> String {
        let shown = tokenizer.decode(&self.tokens[..self.n_shown]);
        // Bytes that make no character with those after them change what stood there; as many characters stay shown.
        let piece = match text.strip_prefix(&shown) {
            Some(piece) => piece.to_owned(),
            None => text.chars().skip(shown.chars().count()).collect(),
        };
        // Tokens that wrote nothing stay, so that those after them are not taken for the beginning of a text.
        if !piece.is_empty() {
            self.tokens.drain(..self.n_shown);
            self.n_shown = self.tokens.len();
        }
        piece
    }
}

/// Holds back what may be the beginning of a stop string, and cuts the text where one stands.
#[derive(Clone, Debug, Default)]
pub struct StopStrings {
    stops: Vec<String>,
    /// What may be the beginning of one.
    held: String,
}

impl StopStrings {
    /// Stop strings; empty ones, which would stand everywhere, are left out.
    pub fn new(stops: impl IntoIterator<Item = String>) -> Self {
        let stops = stops.into_iter().filter(|stop| !stop.is_empty()).collect();
        Self { stops, held: String::new() }
    }

    /// What can be shown after one more piece, and whether a stop string was found. It and what follows it are not shown.
    pub fn push(&mut self, piece: &str) -> (String, bool) {
        self.held += piece;
        if let Some(end) = self.stops.iter().filter_map(|stop| self.held.find(stop.as_str())).min() {
            self.held.truncate(end);
            return (std::mem::take(&mut self.held), true);
        }
        let is_beginning = |start: &usize| self.stops.iter().any(|stop| stop.starts_with(&self.held[*start..]));
        let starts = self.held.char_indices().map(|(start, _)| start);
        let start = starts.clone().find(is_beginning).unwrap_or(self.held.len());
        let held = self.held.split_off(start);
        (std::mem::replace(&mut self.held, held), false)
    }

    /// What is still held back, when no more pieces come.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::pretrained::tests::with_bytes;
    use super::*;

    fn pieces(prompt: &[TokenId], tokens: &[TokenId]) -> Vec<String> {
        let tokenizer = with_bytes();
        let mut stream = Detokenizer::after(prompt);
        let mut pieces: Vec<String> = tokens.iter().map(|&token| stream.push(&tokenizer, token)).collect();
        pieces.push(stream.finish(&tokenizer));
        pieces
    }

    #[test]
    fn characters_come_whole_and_spaces_stay_between_words() {
        // "▁ab", "▁a", then the bytes of é after "▁", each byte a token.
        let tokens = [7, 6, 3, 9 + 0xC3, 9 + 0xA9].map(TokenId);
        assert_eq!(pieces(&[], &tokens), ["ab", " a", " ", "", "é", ""]);
        // After a prompt the first word keeps its space.
        assert_eq!(pieces(&[TokenId(1), TokenId(7)], &tokens[..1]), [" ab", ""]);
        // The end of a text writes nothing, and half a character is shown as such when nothing else comes.
        assert_eq!(pieces(&[TokenId(7)], &[2, 9 + 0xC3].map(TokenId)), ["", "", "\u{fffd}"]);
    }

    #[test]
    fn stop_strings_are_found_across_pieces() {
        let check = |stops: &[&str], pieces: &[&str], expected: &[&str], stopped: bool| {
            let mut stop = StopStrings::new(stops.iter().map(|&stop| stop.to_owned()));
            let mut shown = Vec::new();
            let mut found = false;
            for piece in pieces {
                let (text, is_stop) = stop.push(piece);
                shown.push(text);
                found |= is_stop;
                if is_stop {
                    break;
                }
            }
            if !found {
                shown.push(stop.finish());
            }
            assert_eq!((shown, found), (expected.iter().map(|&text| text.to_owned()).collect(), stopped));
        };
        check(&["END"], &["a E", "N", "Dx"], &["a ", "", ""], true);
        check(&["END"], &["a E", "N", "Nx"], &["a ", "", "ENNx", ""], false);
        check(&["\n\n", "."], &["one\n", "two.\n\nthree"], &["one", "\ntwo"], true);
        check(&["é!"], &["né", "e", "é"], &["n", "ée", "", "é"], false);
        check(&["aab"], &["aa", "ab"], &["", "a"], true);
        check(&[], &["x", "y"], &["x", "y", ""], false);
        check(&[""], &["x"], &["x", ""], false);
    }

    proptest! {
        #[test]
        fn pieces_of_an_encoded_text_are_the_text(text: String, prompt: String) {
            let tokenizer = with_bytes();
            let prompt = tokenizer.encode(&prompt).unwrap();
            let tokens = tokenizer.encode_bare(&text).unwrap();
            let all = [prompt.clone(), tokens.clone()].concat();
            let expected = tokenizer.decode(&all)[tokenizer.decode(&prompt).len()..].to_owned();
            // Bytes that stand for a replacement character in the text itself are shown late, but shown.
            prop_assert_eq!(pieces(&prompt, &tokens).concat(), expected);
        }

        #[test]
        fn any_tokens_can_be_shown(tokens in prop::collection::vec(0_u32..300, 0..60)) {
            let tokens: Vec<TokenId> = tokens.into_iter().map(TokenId).collect();
            pieces(&[], &tokens);
        }

        #[test]
        fn text_up_to_the_first_stop_is_shown(text in "[ab]{0,30}", cuts in prop::collection::vec(0_usize..30, 0..5)) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).chain([0, text.len()]).collect();
            cuts.sort_unstable();
            let stops = ["aba", "bb"];
            let mut stop = StopStrings::new(stops.map(str::to_owned));
            let (mut shown, mut found) = (String::new(), false);
            for cut in cuts.windows(2) {
                if !found {
                    let (piece, is_stop) = stop.push(&text[cut[0]..cut[1]]);
                    shown += &piece;
                    found = is_stop;
                }
            }
            if !found {
                shown += &stop.finish();
            }
            // The end that comes first in time is found: the text is cut at the earliest stop of the shortest beginning with one.
            let first = (0..=text.len()).find(|&end| stops.iter().any(|stop| text[..end].contains(stop)));
            prop_assert_eq!(found, first.is_some());
            if let Some(end) = first {
                prop_assert!(text.starts_with(&shown) && shown.len() < end);
            } else {
                prop_assert_eq!(shown, text);
            }
        }
    }
}
