//! The n-gram model as an ARPA file.
//!
//! `<bos>`, `<eos>` and `<unk>` are written `<s>`, `</s>` and `<unk>`. ARPA separates tokens by white space, so a token's
//! white space and control characters are written `\u{HEX}`, a backslash `\\`, and an empty token `\u{}`; the first
//! character of a token that looks like one of `<s>`, `</s>` and `<UNK>` is escaped too.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};

use dqn_text::{Special, TokenId, Vocab};

use crate::kneser_ney::{Gram, gram};
use crate::ngram::{MAX_ORDER, MIN_ORDER};
use crate::{NgramLm, ScoreError};

/// The logarithm that stands for the probability 0 of `<s>`, as in the files of other tools.
const NEVER: f64 = -99.0;
/// How far from 1 the probabilities after a context may sum: files of other tools have about six digits.
const SUM_TOLERANCE: f64 = 1e-3;
/// How much of a faulty line an error shows, in characters.
const EXCERPT: usize = 80;

impl NgramLm {
    /// Writes the model as an ARPA file, from which [`NgramLm::read_arpa`] makes an equal model.
    ///
    /// `<bos>`, `<eos>` and `<unk>` are written `<s>`, `</s>` and `<unk>`. In all other tokens white space and control
    /// characters are written `\u{HEX}`, a backslash `\\`, and an empty token `\u{}`; the first character of a token
    /// that looks like one of `<s>`, `</s>` and `<UNK>` is escaped too.
    ///
    /// # Errors
    /// [`ScoreError::VocabSize`] when `vocab` is not the model's, [`ScoreError::WriteArpa`] when writing fails.
    pub fn write_arpa(&self, vocab: &Vocab, out: &mut impl Write) -> Result<(), ScoreError> {
        if vocab.len() != self.vocab_size() {
            return Err(ScoreError::VocabSize { found: vocab.len(), expected: self.vocab_size() });
        }
        let mut n_listed = vec![0; self.order()];
        n_listed[0] = self.unigrams().len() - 1;
        for (context, tokens, _) in self.contexts() {
            n_listed[context.len()] += tokens.len();
        }
        writeln!(out, "\\data\\")?;
        for (n, n_listed) in (1..).zip(&n_listed) {
            writeln!(out, "ngram {n}={n_listed}")?;
        }
        writeln!(out, "\n\\1-grams:")?;
        for ((token, _), &log10) in vocab.iter().zip(self.unigrams()).filter(|((token, _), _)| !is_pad(*token)) {
            let log10 = if token == Special::Bos.id() { NEVER } else { log10 };
            self.write_entry(vocab, log10, &[token], out)?;
        }
        let mut n = 1;
        for (context, tokens, log10) in self.contexts() {
            // Contexts ascend by length, and one of n tokens lists (n + 1)-grams.
            while n <= context.len() {
                n += 1;
                writeln!(out, "\n\\{n}-grams:")?;
            }
            for (&token, &log10) in tokens.iter().zip(log10) {
                self.write_entry(vocab, log10, &[&context[..], &[token]].concat(), out)?;
            }
        }
        while n < self.order() {
            n += 1;
            writeln!(out, "\n\\{n}-grams:")?;
        }
        writeln!(out, "\n\\end\\")?;
        Ok(())
    }

    fn write_entry(
        &self,
        vocab: &Vocab,
        log10: f64,
        ngram: &[TokenId],
        out: &mut impl Write,
    ) -> Result<(), ScoreError> {
        write!(out, "{log10}\t{}", written(ngram, vocab))?;
        match self.back_off(ngram) {
            Some(back_off) => writeln!(out, "\t{back_off}")?,
            None => writeln!(out)?,
        }
        Ok(())
    }

    /// Reads a model from an ARPA file; `origin` names it in errors.
    ///
    /// The file may come from another tool if it is a model of exactly this vocabulary: every token but `<pad>` and
    /// `<bos>` must be listed, and after every context the probabilities must sum to 1 within 0.001. Tokens are written
    /// as [`NgramLm::write_arpa`] says. What stands before `\data\` is skipped, as is the probability of `<s>`.
    ///
    /// # Errors
    /// The `Arpa` variants of [`ScoreError`], and [`ScoreError::Order`].
    pub fn read_arpa(input: impl BufRead, origin: &str, vocab: &Vocab) -> Result<Self, ScoreError> {
        let mut lines = Lines { input, origin, number: 0 };
        while lines.next("\\data\\")? != "\\data\\" {}
        let (declared, mut line) = lines.header()?;
        if !(MIN_ORDER..=MAX_ORDER).contains(&declared.len()) {
            return Err(ScoreError::Order { found: declared.len(), minimum: MIN_ORDER, maximum: MAX_ORDER });
        }
        let mut sections = Vec::with_capacity(declared.len());
        for (n, &declared) in (1..).zip(&declared) {
            lines.expect(&line, &format!("\\{n}-grams:"))?;
            let (section, next) = lines.section(n, vocab)?;
            if section.len() != declared {
                return Err(ScoreError::ArpaCount {
                    origin: origin.to_owned(),
                    line: lines.number,
                    order: n,
                    found: section.len(),
                    declared,
                });
            }
            sections.push(section);
            line = next;
        }
        lines.expect(&line, "\\end\\")?;
        let lm = assemble(&sections, origin, vocab)?;
        lm.check_sums(origin, vocab)?;
        Ok(lm)
    }

    /// Refuses a model whose probabilities do not sum to 1 after each context.
    fn check_sums(&self, origin: &str, vocab: &Vocab) -> Result<(), ScoreError> {
        let check = |context: &[TokenId], sum: f64| {
            if (sum - 1.0).abs() <= SUM_TOLERANCE {
                return Ok(());
            }
            let (origin, context) = (origin.to_owned(), written(context, vocab));
            Err(ScoreError::ArpaSum { origin, context, sum, tolerance: SUM_TOLERANCE })
        };
        check(&[], self.unigrams().iter().map(|log10| 10_f64.powf(*log10)).sum())?;
        for (context, tokens, log10) in self.contexts() {
            // Shorter contexts were checked before, so what is not listed here has the rest of a sum of 1 there.
            let listed: f64 = log10.iter().map(|log10| 10_f64.powf(*log10)).sum();
            let shorter: f64 = tokens.iter().map(|&token| 10_f64.powf(self.log10_prob(&context[1..], token))).sum();
            let weight = 10_f64.powf(self.back_off(&context).unwrap_or(0.0));
            check(&context, listed + weight * (1.0 - shorter))?;
        }
        Ok(())
    }
}

/// What an ARPA file says of an n-gram: the base-10 logarithms of its probability and of its back-off weight.
struct Entry {
    log10: f64,
    back_off: f64,
}

type Section = BTreeMap<Gram, Entry>;

/// A model of the sections of an ARPA file, one for each order.
fn assemble(sections: &[Section], origin: &str, vocab: &Vocab) -> Result<NgramLm, ScoreError> {
    let mut unigrams = vec![f64::NEG_INFINITY; vocab.len()];
    let predicted = vocab.iter().map(|(id, _)| id).filter(|id| !is_pad(*id) && *id != Special::Bos.id());
    for token in predicted {
        let entry = sections[0]
            .get(&gram(&[token]))
            .ok_or_else(|| ScoreError::ArpaMissing { origin: origin.to_owned(), token: written(&[token], vocab) })?;
        unigrams[token.index()] = entry.log10;
    }
    let mut lm = NgramLm::of_unigrams(sections.len(), unigrams);
    for (n, pair) in (1..).zip(sections.windows(2)) {
        let (contexts, ngrams) = (&pair[0], &pair[1]);
        let mut listed: BTreeMap<Gram, Vec<(TokenId, f64)>> = BTreeMap::new();
        for (context, _) in contexts.iter().filter(|(_, entry)| entry.back_off != 0.0) {
            listed.entry(*context).or_default();
        }
        for (ngram, entry) in ngrams {
            listed.entry(gram(&ngram[..n])).or_default().push((ngram[n], entry.log10));
        }
        for (context, listed) in listed {
            let back_off = contexts.get(&context).map_or(0.0, |entry| entry.back_off);
            lm.add_context(&context[..n], back_off, &listed);
        }
    }
    Ok(lm)
}

/// The lines of an ARPA file that hold something, without the white space around it.
struct Lines<'a, R> {
    input: R,
    origin: &'a str,
    number: usize,
}

impl<R: BufRead> Lines<'_, R> {
    /// The next line that is not blank; at the end of the text the error says that `expected` was.
    fn next(&mut self, expected: &str) -> Result<String, ScoreError> {
        let mut line = String::new();
        loop {
            self.number += 1;
            line.clear();
            let n_bytes = self.input.read_line(&mut line).map_err(|source| ScoreError::ReadArpa {
                origin: self.origin.to_owned(),
                line: self.number,
                source,
            })?;
            if n_bytes == 0 {
                return Err(self.fault("the end of the text", expected));
            }
            let held = line.trim_matches(SPACES);
            if !held.is_empty() {
                return Ok(held.to_owned());
            }
        }
    }

    /// The declared number of n-grams of each order, and the line after the declarations.
    fn header(&mut self) -> Result<(Vec<usize>, String), ScoreError> {
        let mut declared = Vec::new();
        loop {
            let expected = format!("\"ngram {}=COUNT\" or \"\\1-grams:\"", declared.len() + 1);
            let line = self.next(&expected)?;
            if line.starts_with('\\') {
                return Ok((declared, line));
            }
            let (order, count) = line
                .strip_prefix("ngram")
                .and_then(|rest| rest.split_once('='))
                .and_then(|(n, count)| Some((n.trim().parse::<usize>().ok()?, count.trim().parse().ok()?)))
                .ok_or_else(|| self.fault(&line, &expected))?;
            if order != declared.len() + 1 {
                return Err(self.fault(&line, &expected));
            }
            declared.push(count);
        }
    }

    /// The n-grams of order `n`, and the line after them.
    fn section(&mut self, n: usize, vocab: &Vocab) -> Result<(Section, String), ScoreError> {
        let mut section = Section::new();
        loop {
            let line = self.next("\\end\\")?;
            if line.starts_with('\\') {
                return Ok((section, line));
            }
            let fields: Vec<&str> = line.split(SPACES).filter(|field| !field.is_empty()).collect();
            let expected = || format!("a base-10 logarithm of at most 0, {n} tokens, and perhaps a back-off weight's");
            let number = |field: &str| field.parse().ok().filter(|log10: &f64| log10.is_finite());
            if fields.len() != n + 1 && fields.len() != n + 2 {
                return Err(self.fault(&line, &expected()));
            }
            let log10 = number(fields[0]).filter(|log10| *log10 <= 0.0);
            let back_off = fields.get(n + 1).map_or(Some(0.0), |field| number(field));
            let (Some(log10), Some(back_off)) = (log10, back_off) else {
                return Err(self.fault(&line, &expected()));
            };
            let tokens = fields[1..=n].iter().map(|field| self.token(field, vocab)).collect::<Result<Vec<_>, _>>()?;
            if tokens[1..].contains(&Special::Bos.id()) {
                return Err(self.fault(&line, "<s> only at the beginning of an n-gram"));
            }
            if section.insert(gram(&tokens), Entry { log10, back_off }).is_some() {
                return Err(ScoreError::ArpaRepeated {
                    origin: self.origin.to_owned(),
                    line: self.number,
                    order: n,
                    ngram: excerpt(&fields[1..=n].join(" ")),
                });
            }
        }
    }

    fn token(&self, word: &str, vocab: &Vocab) -> Result<TokenId, ScoreError> {
        read(word, vocab).ok_or_else(|| ScoreError::ArpaToken {
            origin: self.origin.to_owned(),
            line: self.number,
            token: excerpt(word),
        })
    }

    fn expect(&self, found: &str, expected: &str) -> Result<(), ScoreError> {
        if found == expected { Ok(()) } else { Err(self.fault(found, expected)) }
    }

    fn fault(&self, found: &str, expected: &str) -> ScoreError {
        ScoreError::ArpaSyntax {
            origin: self.origin.to_owned(),
            line: self.number,
            found: excerpt(found),
            expected: expected.to_owned(),
        }
    }
}

/// What separates the fields of a line. Other white space may stand within the tokens of other tools' files.
const SPACES: [char; 4] = [' ', '\t', '\r', '\n'];

fn excerpt(text: &str) -> String {
    text.chars().take(EXCERPT).collect()
}

fn is_pad(token: TokenId) -> bool {
    token == Special::Pad.id()
}

/// Tokens as an ARPA file writes them.
fn written(tokens: &[TokenId], vocab: &Vocab) -> String {
    let words: Vec<String> = tokens.iter().map(|&token| word(token, vocab)).collect();
    words.join(" ")
}

fn word(token: TokenId, vocab: &Vocab) -> String {
    let text = vocab.token(token);
    if token == Special::Bos.id() {
        return "<s>".to_owned();
    }
    if token == Special::Eos.id() {
        return "</s>".to_owned();
    }
    if text.is_empty() {
        return "\\u{}".to_owned();
    }
    let looks_special = ["<s>", "</s>", "<UNK>"].contains(&text);
    let mut word = String::with_capacity(text.len());
    for (place, char) in text.char_indices() {
        if char == '\\' {
            word.push_str("\\\\");
        } else if char.is_whitespace() || char.is_control() || (looks_special && place == 0) {
            word.push_str(&format!("\\u{{{:x}}}", u32::from(char)));
        } else {
            word.push(char);
        }
    }
    word
}

/// The token that an ARPA file writes as `word`.
fn read(word: &str, vocab: &Vocab) -> Option<TokenId> {
    match word {
        "<s>" => Some(Special::Bos.id()),
        "</s>" => Some(Special::Eos.id()),
        "<unk>" | "<UNK>" => Some(Special::Unk.id()),
        _ => vocab.id(&unescape(word)?).filter(|token| !vocab.is_special(*token)),
    }
}

/// The text of an escaped token, or `None` when a backslash begins no known escape.
fn unescape(word: &str) -> Option<String> {
    let mut text = String::with_capacity(word.len());
    let mut rest = word;
    while let Some((plain, escape)) = rest.split_once('\\') {
        text.push_str(plain);
        if let Some(after) = escape.strip_prefix('\\') {
            text.push('\\');
            rest = after;
        } else {
            let (digits, after) = escape.strip_prefix("u{")?.split_once('}')?;
            if !digits.is_empty() {
                text.push(char::from_u32(u32::from_str_radix(digits, 16).ok()?)?);
            }
            rest = after;
        }
    }
    text.push_str(rest);
    Some(text)
}
