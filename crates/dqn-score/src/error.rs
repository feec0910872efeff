//! What can go wrong with scores.

use dqn_text::TokenId;

/// A fault in what is to be scored, or in a language model and its file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScoreError {
    /// An n-gram order that is not supported.
    #[error("the n-gram order is {found}; it must be {minimum} to {maximum}")]
    Order {
        /// The order asked for.
        found: usize,
        /// The smallest order.
        minimum: usize,
        /// The largest order.
        maximum: usize,
    },
    /// A language model cannot be trained on no text.
    #[error("there are no sequences to train the language model on; at least one is needed")]
    NoSequences,
    /// A token that may not stand inside a training sequence.
    #[error(
        "token {position} of training sequence {sequence} is id {}; it must be below {vocab_size} and none of <pad>, <bos>, <eos>",
        token.0
    )]
    TrainingToken {
        /// The id found.
        token: TokenId,
        /// Which sequence, from 0.
        sequence: usize,
        /// Where in the sequence, from 0.
        position: usize,
        /// Number of tokens in the vocabulary.
        vocab_size: usize,
    },
    /// A model is written with another vocabulary than its own.
    #[error("the vocabulary has {found} tokens; the language model was made for {expected}")]
    VocabSize {
        /// Size of the vocabulary given.
        found: usize,
        /// Size of the model's vocabulary.
        expected: usize,
    },
    /// An ARPA file could not be read further.
    #[error("{origin}:{line}: cannot read the line")]
    ReadArpa {
        /// Where the text comes from.
        origin: String,
        /// The line, from 1.
        line: usize,
        /// Why.
        source: std::io::Error,
    },
    /// An ARPA file could not be written.
    #[error("cannot write the ARPA text")]
    WriteArpa {
        /// Why.
        #[from]
        source: std::io::Error,
    },
    /// A line of an ARPA file is not what must stand there.
    #[error("{origin}:{line}: found {found:?}; expected {expected}")]
    ArpaSyntax {
        /// Where the text comes from.
        origin: String,
        /// The line, from 1.
        line: usize,
        /// The start of what stands there.
        found: String,
        /// What must stand there.
        expected: String,
    },
    /// An ARPA file names a token that the vocabulary does not have.
    #[error(
        "{origin}:{line}: the token {token:?} is not in the vocabulary, is written with an unknown escape, or cannot be predicted"
    )]
    ArpaToken {
        /// Where the text comes from.
        origin: String,
        /// The line, from 1.
        line: usize,
        /// The token as it is written.
        token: String,
    },
    /// An ARPA file lists an n-gram twice.
    #[error("{origin}:{line}: the {order}-gram {ngram:?} is listed a second time")]
    ArpaRepeated {
        /// Where the text comes from.
        origin: String,
        /// The line of the second listing, from 1.
        line: usize,
        /// The order of the n-gram.
        order: usize,
        /// The n-gram as it is written.
        ngram: String,
    },
    /// An ARPA file does not hold as many n-grams as its header says.
    #[error("{origin}:{line}: the section of {order}-grams ends after {found}; the header declares {declared}")]
    ArpaCount {
        /// Where the text comes from.
        origin: String,
        /// The line at which the section ends, from 1.
        line: usize,
        /// The order of the section.
        order: usize,
        /// Number of n-grams found.
        found: usize,
        /// Number of n-grams declared.
        declared: usize,
    },
    /// An ARPA file gives no probability to a token of the vocabulary.
    #[error("{origin}: the 1-grams do not list the token {token:?} of the vocabulary")]
    ArpaMissing {
        /// Where the text comes from.
        origin: String,
        /// The token, as an ARPA file writes it.
        token: String,
    },
    /// The probabilities of an ARPA file are no distribution.
    #[error(
        "{origin}: the probabilities of all tokens after {context:?} sum to {sum}; they must sum to 1 within {tolerance}"
    )]
    ArpaSum {
        /// Where the text comes from.
        origin: String,
        /// The context, as an ARPA file writes it.
        context: String,
        /// What the probabilities sum to.
        sum: f64,
        /// How far from 1 the sum may be.
        tolerance: f64,
    },
    /// A corpus without hypotheses has no score.
    #[error("there are no hypotheses to score; at least one is needed")]
    NoHypotheses,
    /// The hypotheses and references are not in step.
    #[error("there are {hypotheses} hypotheses but references for {references}; each hypothesis needs its own")]
    CorpusLength {
        /// Number of hypotheses.
        hypotheses: usize,
        /// Number of hypotheses that have references.
        references: usize,
    },
    /// A hypothesis has nothing to be compared with.
    #[error("hypothesis {hypothesis} has no reference; at least one is needed")]
    NoReferences {
        /// Which hypothesis, from 0.
        hypothesis: usize,
    },
    /// Systems that are compared must have answered the same segments.
    #[error("the baseline has {baseline} segments and the system {system}; both need the same ones")]
    SystemLength {
        /// Number of segments of the baseline.
        baseline: usize,
        /// Number of segments of the system.
        system: usize,
    },
    /// A significance test without resamples says nothing.
    #[error("there are no resamples of the segments; at least one is needed")]
    NoResamples,
    /// A resample that does not have as many entries as there are segments.
    #[error("resample {resample} has {found} entries; there are {n_segments} segments")]
    ResampleLength {
        /// Which resample, from 0.
        resample: usize,
        /// Number of its entries.
        found: usize,
        /// Number of segments.
        n_segments: usize,
    },
    /// A resample names a segment that there is not.
    #[error("resample {resample} names segment {found}; there are {n_segments} segments, from 0")]
    ResampleSegment {
        /// Which resample, from 0.
        resample: usize,
        /// The segment named.
        found: usize,
        /// Number of segments.
        n_segments: usize,
    },
    /// A name that is none of the BLEU tokenizers'.
    #[error("{found:?} is no BLEU tokenizer; allowed are {allowed}")]
    UnknownTokenizer {
        /// The name found.
        found: String,
        /// The names there are.
        allowed: String,
    },
    /// A name that is none of ROUGE's kinds.
    #[error("{found:?} is no kind of ROUGE; allowed are {allowed}")]
    UnknownRouge {
        /// The name found.
        found: String,
        /// The names there are.
        allowed: String,
    },
}
