//! An engine that anyone can foretell: it writes its prompt again and again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dqn_serve::{
    Alternative, ChatTemplate, Codec, Defaults, Engine, EngineError, ModelCard, Sampling, Slot, TextKind, Written,
};

/// Tokens 0 to 255 are bytes, so that every character but ASCII has several tokens.
const BOS: u32 = 256;
const END: u32 = 257;
/// Where this byte stands in a prompt, the text that repeats it ends.
const END_MARK: u8 = b'~';

/// What an engine has done.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// How many texts each step wrote a token of.
    pub(crate) batches: Vec<usize>,
    /// The prompts in the order in which they were read.
    pub(crate) admitted: Vec<String>,
    /// Texts that have a slot.
    pub(crate) n_live: usize,
    /// The settings of the last text.
    pub(crate) last: Option<Sampling>,
}

/// An engine that writes its prompt again and again, one byte a step.
///
/// - `~` in a prompt ends the text there;
/// - with a temperature above 0 letters are written large or small, as the seed has it;
/// - with a beta of at least 1 all letters are large;
/// - `!refuse` in a prompt is refused, `!fail` makes a step fail, `!panic` makes it panic.
pub(crate) struct Fake {
    /// What it says of itself.
    pub(crate) card: ModelCard,
    /// How long a step takes.
    pub(crate) step_time: Duration,
    /// What it has done.
    pub(crate) log: Arc<Mutex<Log>>,
    live: BTreeMap<Slot, Live>,
}

struct Live {
    script: Vec<u8>,
    n_written: usize,
    sampling: Sampling,
}

/// Bytes as tokens.
pub(crate) struct Bytes;

impl Fake {
    /// An engine with values, a chat template and 8 slots, whose steps take no time.
    pub(crate) fn new() -> Self {
        let card = ModelCard {
            id: "fake".to_owned(),
            created: 1_700_000_000,
            context_length: 512,
            vocabulary_size: 258,
            n_slots: 8,
            has_values: true,
            max_alternatives: 2,
            has_count_penalties: false,
            chat: Some(ChatTemplate {
                source: "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}\
                         {% if add_generation_prompt %}assistant: {% endif %}"
                    .to_owned(),
                bos_token: String::new(),
                eos_token: String::new(),
            }),
            defaults: Defaults { temperature: 0.0, ..Defaults::default() },
        };
        Self { card, step_time: Duration::ZERO, log: Arc::default(), live: BTreeMap::new() }
    }

    fn note(&self, what: impl FnOnce(&mut Log)) {
        what(&mut self.log.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Codec for Bytes {
    fn encode(&self, text: &str, kind: TextKind) -> Result<Vec<u32>, EngineError> {
        let begin = (kind == TextKind::Plain).then_some(BOS);
        Ok(begin.into_iter().chain(text.bytes().map(u32::from)).collect())
    }

    fn decode(&self, tokens: &[u32]) -> String {
        let bytes: Vec<u8> = tokens.iter().filter_map(|token| u8::try_from(*token).ok()).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Engine for Fake {
    fn card(&self) -> ModelCard {
        self.card.clone()
    }

    fn codec(&self) -> Arc<dyn Codec> {
        Arc::new(Bytes)
    }

    fn admit(&mut self, prompt: &[u32], sampling: &Sampling) -> Result<Slot, EngineError> {
        let text = Bytes.decode(prompt);
        if text.contains("!refuse") {
            return Err(EngineError::Refused { message: "the prompt asks to be refused".to_owned() });
        }
        assert!(self.live.len() < self.card.n_slots, "more texts than slots");
        assert!(prompt.len() + sampling.max_tokens <= self.card.context_length, "no room in the context");
        // Of a conversation the last thing that the user said.
        let script = match text.rsplit_once("user: ") {
            Some((_, said)) => said.split('\n').next().unwrap_or_default(),
            None => &text,
        };
        let script = if script.is_empty() { b" ".to_vec() } else { script.as_bytes().to_vec() };
        let slot = (0..).map(Slot).find(|slot| !self.live.contains_key(slot)).unwrap_or(Slot(0));
        self.live.insert(slot, Live { script, n_written: 0, sampling: *sampling });
        let n_live = self.live.len();
        self.note(|log| {
            log.admitted.push(text);
            log.n_live = n_live;
            log.last = Some(*sampling);
        });
        Ok(slot)
    }

    fn step(&mut self) -> Result<Vec<Written>, EngineError> {
        std::thread::sleep(self.step_time);
        let n_live = self.live.len();
        self.note(|log| log.batches.push(n_live));
        let has = |word: &[u8]| self.live.values().any(|live| live.script.windows(word.len()).any(|part| part == word));
        if has(b"!fail") {
            return Err(EngineError::Failed { message: "a secret of the machine".to_owned() });
        }
        assert!(!has(b"!panic"), "the prompt asks for a panic");
        Ok(self.live.iter_mut().map(|(slot, live)| live.next(*slot)).collect())
    }

    fn release(&mut self, slot: Slot) {
        assert!(self.live.remove(&slot).is_some(), "a slot is released that no text has");
        let n_live = self.live.len();
        self.note(|log| log.n_live = n_live);
    }
}

impl Live {
    fn next(&mut self, slot: Slot) -> Written {
        let mut byte = self.script[self.n_written % self.script.len()];
        self.n_written += 1;
        if self.sampling.temperature > 0.0 && byte.is_ascii_alphabetic() {
            byte ^= coin(self.sampling.seed, self.n_written) << 5;
        }
        if self.sampling.beta >= 1.0 {
            byte = byte.to_ascii_uppercase();
        }
        let is_end = byte == END_MARK;
        let token = if is_end { END } else { u32::from(byte) };
        let other = byte.wrapping_add(1);
        let alternatives = [(token, byte), (u32::from(other), other)].map(|(token, byte)| Alternative {
            token,
            piece: if token == END { Vec::new() } else { vec![byte] },
            log_probability: log_probability(token),
            advantage: Some(advantage(token)),
        });
        Written {
            slot,
            token,
            piece: if is_end { Vec::new() } else { vec![byte] },
            log_probability: log_probability(token),
            advantage: Some(advantage(token)),
            alternatives: alternatives.into_iter().take(self.sampling.n_alternatives).collect(),
            is_end,
        }
    }
}

/// In quarters, which JSON holds as they are.
fn log_probability(token: u32) -> f32 {
    -0.25 * (1 + token % 4) as f32
}

/// From -2 to 2 in halves.
fn advantage(token: u32) -> f32 {
    0.5 * (token * 7 % 9) as f32 - 2.0
}

/// 0 or 1, by a seed and a place: the last step of SplitMix64.
fn coin(seed: u64, place: usize) -> u8 {
    let mut state = seed.wrapping_add(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(place as u64 + 1));
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((state >> 31) & 1) as u8
}
