//! From the bytes of tokens to text that may be sent: whole characters, and nothing of a stop string.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::engine::{Alternative, Written};

/// A token as it is reported. The texts of all tokens of an answer, put together, are the text of the answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reported {
    /// What it adds to the text. A character of which several tokens have parts is the last one's.
    pub(crate) text: String,
    /// The bytes of the token; those of its text, where a stop string has cut it.
    pub(crate) bytes: Vec<u8>,
    pub(crate) log_probability: f32,
    pub(crate) advantage: Option<f32>,
    pub(crate) alternatives: Vec<Alternative>,
}

/// Text that may be sent, with its tokens.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Piece {
    pub(crate) text: String,
    pub(crate) tokens: Vec<Reported>,
}

/// What came of a token.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Progress {
    /// The text goes on; the piece may be empty, while a character is not whole or a stop string may have begun.
    GoesOn(Piece),
    /// A stop string has come, before which the text ends.
    Stopped(Piece),
}

/// A token that was not sent yet, with the part of the text that is its own.
struct Held {
    start: usize,
    end: usize,
    written: Written,
}

/// A text that grows by tokens.
pub(crate) struct Assembler {
    stops: Arc<[String]>,
    /// All whole characters so far, those of which are sent that no token in `held` has.
    text: String,
    /// The beginning of a character.
    partial: Vec<u8>,
    held: VecDeque<Held>,
}

impl Assembler {
    /// An empty text that ends before any of some strings, none of them empty.
    pub(crate) fn new(stops: Arc<[String]>) -> Self {
        Self { stops, text: String::new(), partial: Vec::new(), held: VecDeque::new() }
    }

    /// Adds a token.
    pub(crate) fn push(&mut self, written: Written) -> Progress {
        let start = self.text.len();
        self.partial.extend_from_slice(&written.piece);
        self.take_characters();
        self.held.push_back(Held { start, end: self.text.len(), written });
        if let Some(cut) = self.stop_since(start) {
            self.text.truncate(cut);
            self.partial.clear();
            self.held.retain(|held| held.start < cut);
            return Progress::Stopped(self.release(self.held.len()));
        }
        let free = self.text.len() - self.stop_begun();
        let n_whole = self.held.len() - usize::from(!self.partial.is_empty());
        let n_free = self.held.iter().take(n_whole).take_while(|held| held.end <= free).count();
        // Tokens without text wait for one that has some, so that no piece is empty.
        let n_silent = self.held.iter().take(n_free).rev().take_while(|held| held.start == held.end).count();
        Progress::GoesOn(self.release(n_free - n_silent))
    }

    /// What is left at the end; a character that never became whole is U+FFFD.
    pub(crate) fn finish(&mut self) -> Piece {
        if !self.partial.is_empty() {
            self.partial.clear();
            self.text.push(char::REPLACEMENT_CHARACTER);
            if let Some(last) = self.held.back_mut() {
                last.end = self.text.len();
            }
        }
        self.release(self.held.len())
    }

    /// Moves whole characters from `partial` to the text; bytes that begin none become U+FFFD.
    fn take_characters(&mut self) {
        let mut bytes = self.partial.as_slice();
        loop {
            match std::str::from_utf8(bytes) {
                Ok(text) => {
                    self.text.push_str(text);
                    self.partial.clear();
                    return;
                }
                Err(error) => {
                    let (whole, rest) = bytes.split_at(error.valid_up_to());
                    self.text.push_str(&String::from_utf8_lossy(whole));
                    let Some(n_wrong) = error.error_len() else {
                        self.partial = rest.to_vec();
                        return;
                    };
                    self.text.push(char::REPLACEMENT_CHARACTER);
                    bytes = &rest[n_wrong..];
                }
            }
        }
    }

    /// Where the first stop string begins that ends after `place`.
    fn stop_since(&self, place: usize) -> Option<usize> {
        let first = |stop: &String| {
            let from = self.text.floor_char_boundary((place + 1).saturating_sub(stop.len()));
            self.text[from..].find(stop.as_str()).map(|found| from + found)
        };
        self.stops.iter().filter_map(first).min()
    }

    /// Length of the longest end of the text that a stop string begins with.
    fn stop_begun(&self) -> usize {
        let longest = |stop: &String| {
            let ends = stop.char_indices().skip(1).map(|(end, _)| end);
            ends.filter(|end| self.text.ends_with(&stop[..*end])).max()
        };
        self.stops.iter().filter_map(longest).max().unwrap_or(0)
    }

    /// The first `n` held tokens as a piece.
    fn release(&mut self, n: usize) -> Piece {
        let mut piece = Piece::default();
        for held in self.held.drain(..n) {
            let is_cut = held.end > self.text.len();
            let text = &self.text[held.start..held.end.min(self.text.len())];
            let bytes = if is_cut { text.as_bytes().to_vec() } else { held.written.piece };
            piece.text.push_str(text);
            piece.tokens.push(Reported {
                text: text.to_owned(),
                bytes,
                log_probability: held.written.log_probability,
                advantage: held.written.advantage,
                alternatives: held.written.alternatives,
            });
        }
        piece
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::Slot;

    fn token(piece: &[u8]) -> Written {
        Written {
            slot: Slot(0),
            token: 0,
            piece: piece.to_vec(),
            log_probability: -1.0,
            advantage: None,
            alternatives: Vec::new(),
            is_end: false,
        }
    }

    /// The pieces that come of tokens, and whether a stop string came.
    fn pieces(stops: &[&str], tokens: &[&[u8]]) -> (Vec<Piece>, bool) {
        let stops: Vec<String> = stops.iter().map(|stop| (*stop).to_owned()).collect();
        let mut assembler = Assembler::new(stops.into());
        let mut found = Vec::new();
        for piece in tokens {
            match assembler.push(token(piece)) {
                Progress::GoesOn(piece) => found.push(piece),
                Progress::Stopped(piece) => {
                    found.push(piece);
                    return (found, true);
                }
            }
        }
        found.push(assembler.finish());
        (found, false)
    }

    #[test]
    fn a_table_of_tokens_and_pieces() {
        type Row<'a> = (&'a [&'a str], &'a [&'a [u8]], &'a [&'a str], bool);
        let table: [Row<'_>; 9] = [
            (&[], &[b"a", b"b"], &["a", "b", ""], false),
            // 你 is e4 bd a0.
            (&[], &[b"\xe4", b"\xbd", b"\xa0!"], &["", "", "你!", ""], false),
            (&[], &[b"a\xe4", b"b"], &["", "a\u{fffd}b", ""], false),
            (&[], &[b"a\xe4\xbd"], &["", "a\u{fffd}"], false),
            (&["END"], &[b"aE", b"N", b"D!"], &["", "", "a"], true),
            (&["END"], &[b"aE", b"N", b"x"], &["", "", "aENx", ""], false),
            (&["ab", "b"], &[b"xa", b"b"], &["", "x"], true),
            (&["aab"], &[b"aa", b"a", b"b"], &["", "", "a"], true),
            (&["a"], &[b"a"], &[""], true),
        ];
        for (stops, tokens, expected, is_stopped) in table {
            let (found, stopped) = pieces(stops, tokens);
            let texts: Vec<&str> = found.iter().map(|piece| piece.text.as_str()).collect();
            assert_eq!((texts.as_slice(), stopped), (expected, is_stopped), "{stops:?} {tokens:?}");
        }
    }

    #[test]
    fn tokens_come_with_their_text() {
        let (found, _) = pieces(&["END"], &[b"\xe4\xbd", b"\xa0", b"x E", b"ND"]);
        let texts: Vec<Vec<(&str, &[u8])>> = found
            .iter()
            .map(|piece| piece.tokens.iter().map(|token| (token.text.as_str(), token.bytes.as_slice())).collect())
            .collect();
        let expected: Vec<Vec<(&str, &[u8])>> =
            vec![vec![], vec![("", b"\xe4\xbd"), ("你", b"\xa0")], vec![], vec![("x ", b"x ")]];
        assert_eq!(texts, expected);
    }

    proptest! {
        /// Whatever the tokens, what is sent is what one sees who has the whole text.
        #[test]
        fn pieces_are_the_whole_text_up_to_the_first_stop(
            tokens in proptest::collection::vec(proptest::collection::vec(proptest::sample::select(
                vec![b'a', b'b', 0xe4, 0xbd, 0xa0, 0xff]), 0..4), 0..12),
            stops in proptest::collection::vec("[ab你]{1,3}", 0..3),
        ) {
            let whole = String::from_utf8_lossy(&tokens.concat()).into_owned();
            // The first stop string to be complete is the one that ends first.
            let ends = |stop: &String| whole.find(stop.as_str()).map(|start| (start + stop.len(), start));
            let first_end = stops.iter().filter_map(ends).map(|(end, _)| end).min();
            let expected_ends: Vec<usize> = stops.iter().filter_map(ends).map(|(_, start)| start).collect();
            let stops: Vec<&str> = stops.iter().map(String::as_str).collect();
            let tokens: Vec<&[u8]> = tokens.iter().map(Vec::as_slice).collect();
            let (found, stopped) = pieces(&stops, &tokens);
            let text: String = found.iter().map(|piece| piece.text.as_str()).collect();
            let of_tokens: String = found.iter().flat_map(|piece| &piece.tokens).map(|token| token.text.as_str()).collect();
            prop_assert_eq!(&text, &of_tokens);
            prop_assert_eq!(stopped, first_end.is_some());
            match stopped {
                true => {
                    prop_assert!(whole.starts_with(&text) && expected_ends.contains(&text.len()));
                    prop_assert!(stops.iter().all(|stop| !text.contains(stop)));
                }
                false => prop_assert_eq!(&text, &whole),
            }
        }
    }
}
