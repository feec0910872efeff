//! The engine on a thread of its own: requests join between its steps, and leave when they are done.
//!
//! Requests wait in a line. Whenever a slot is free, the first of them gives one of its texts and goes to the end of the
//! line with those it has left, so that a request for many texts does not keep others from theirs.

use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use crate::assemble::{Assembler, Piece, Progress};
use crate::engine::{Engine, EngineError, Sampling, Slot, Written};
use crate::metrics::Metrics;
use crate::refusal::Refusal;

/// A text that is to be written.
pub(crate) struct Task {
    /// Its place among the texts of the request.
    pub(crate) choice: usize,
    pub(crate) prompt: Arc<[u32]>,
    pub(crate) sampling: Sampling,
}

/// Why a text ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finish {
    /// The model ended it, or a stop string came.
    Stop,
    /// It has as many tokens as it may.
    Length,
}

/// What happens to a text of a request.
#[derive(Debug)]
pub(crate) enum Event {
    Wrote { choice: usize, piece: Piece },
    Ended { choice: usize, finish: Finish, n_tokens: usize },
    Failed(Refusal),
}

/// How far the server is with ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Requests are taken.
    Open,
    /// No more requests are taken; those that were are finished.
    Draining,
    /// What is running is given up.
    Aborting,
}

/// How many texts may be where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    pub(crate) running: usize,
    pub(crate) waiting: usize,
    pub(crate) prompt_tokens_per_step: usize,
}

/// The line before the engine. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Scheduler {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    room: Room,
    /// Texts that wait or are written.
    n_texts: Arc<AtomicUsize>,
    metrics: Metrics,
}

struct State {
    phase: Phase,
    is_dead: bool,
    /// The texts of each request that have no slot yet.
    line: VecDeque<VecDeque<Text>>,
    /// How long a text takes from slot to end, in seconds, over the last ones.
    text_seconds: f64,
}

/// A text from its way into the line to its end.
struct Text {
    task: Task,
    assembler: Assembler,
    events: mpsc::Sender<Event>,
    asked: Instant,
    last_token: Instant,
    began: Instant,
    n_tokens: usize,
    _place: Place,
}

/// Counts a text for as long as it exists.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Weight of the newest text in the mean of their times.
const NEWEST: f64 = 0.1;

impl Scheduler {
    /// Starts the engine's thread. It ends after [`Scheduler::set_phase`] has told it to, or when the engine panics, and
    /// then sends how.
    pub(crate) fn start(
        engine: Box<dyn Engine>,
        room: Room,
        metrics: Metrics,
    ) -> std::io::Result<(Self, oneshot::Receiver<Result<(), String>>)> {
        let state = State { phase: Phase::Open, is_dead: false, line: VecDeque::new(), text_seconds: 1.0 };
        let n_texts = Arc::new(AtomicUsize::new(0));
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new(), room, n_texts, metrics });
        let (ended, end) = oneshot::channel();
        let of_thread = Arc::clone(&shared);
        std::thread::Builder::new().name("engine".to_owned()).spawn(move || {
            let mut crew = Crew { engine, running: HashMap::new(), shared: Arc::clone(&of_thread) };
            let result = std::panic::catch_unwind(AssertUnwindSafe(|| crew.work())).unwrap_or_else(|panic| {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                Err(text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked").to_owned())
            });
            // Whoever still waits sees the end of its events.
            let line = {
                let mut state = of_thread.lock();
                state.is_dead = true;
                std::mem::take(&mut state.line)
            };
            drop((line, crew));
            // Nobody listens where the server was dropped.
            let _ = ended.send(result);
        })?;
        Ok((Self { shared }, end))
    }

    /// Puts the texts of a request into the line.
    ///
    /// No reader can stall the engine: the channel has room for all that the texts may become, which
    /// [`Sampling::max_tokens`] bounds.
    pub(crate) fn submit(&self, tasks: Vec<Task>, stops: &Arc<[String]>) -> Result<mpsc::Receiver<Event>, Refusal> {
        let n_events = tasks.iter().map(|task| task.sampling.max_tokens + 2).sum();
        let (events, receiver) = mpsc::channel(n_events);
        let mut state = self.shared.lock();
        self.may_enter(&state, tasks.len())?;
        let now = Instant::now();
        let texts = tasks.into_iter().map(|task| Text {
            task,
            assembler: Assembler::new(Arc::clone(stops)),
            events: events.clone(),
            asked: now,
            last_token: now,
            began: now,
            n_tokens: 0,
            _place: self.shared.place(),
        });
        state.line.push_back(texts.collect());
        drop(state);
        self.shared.changed.notify_one();
        Ok(receiver)
    }

    /// Whether a request for so many texts would be taken now.
    pub(crate) fn has_room(&self, n_texts: usize) -> Result<(), Refusal> {
        self.may_enter(&self.shared.lock(), n_texts)
    }

    fn may_enter(&self, state: &State, n_texts: usize) -> Result<(), Refusal> {
        if state.phase > Phase::Open {
            return Err(Refusal::shutting_down());
        }
        if state.is_dead {
            return Err(Refusal::engine_stopped());
        }
        let Room { running, waiting, .. } = self.shared.room;
        let n_before = self.shared.n_texts.load(Ordering::Acquire);
        if n_before + n_texts > running.saturating_add(waiting) {
            let message = format!("{n_before} texts are running or waiting, and at most {} may be", running + waiting);
            let code = Some("queue_full");
            let rounds = n_before as f64 / running as f64;
            let seconds = (rounds * state.text_seconds).ceil().clamp(1.0, 60.0) as u64;
            let refusal = Refusal::new(axum::http::StatusCode::TOO_MANY_REQUESTS, code, message);
            return Err(Refusal { retry_after: Some(seconds), ..refusal });
        }
        Ok(())
    }

    /// Goes on to a later phase; an earlier one changes nothing.
    pub(crate) fn set_phase(&self, phase: Phase) {
        let mut state = self.shared.lock();
        state.phase = state.phase.max(phase);
        drop(state);
        self.shared.changed.notify_one();
    }

    /// Whether requests are taken.
    pub(crate) fn is_open(&self) -> bool {
        let state = self.shared.lock();
        state.phase == Phase::Open && !state.is_dead
    }
}

impl Shared {
    /// The state. It is whole after a panic too: nothing that can panic is done while it is locked.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(&self) -> Place {
        self.n_texts.fetch_add(1, Ordering::AcqRel);
        Place(Arc::clone(&self.n_texts))
    }

    /// The texts that join before the next step; nothing where the work is over. Waits while there is nothing to do.
    fn joining(&self, n_running: usize) -> Option<Vec<Text>> {
        let mut state = self.lock();
        loop {
            let State { line, .. } = &mut *state;
            let n_before: usize = line.iter().map(VecDeque::len).sum();
            line.iter_mut().for_each(|texts| texts.retain(|text| !text.events.is_closed()));
            line.retain(|texts| !texts.is_empty());
            let n_waiting: usize = line.iter().map(VecDeque::len).sum();
            self.metrics.cancelled.inc_by((n_before - n_waiting) as u64);
            if state.phase == Phase::Aborting || (state.phase == Phase::Draining && n_waiting + n_running == 0) {
                return None;
            }
            if n_waiting + n_running > 0 {
                let joining = first_of_line(&mut state.line, self.room.running - n_running, &self.room);
                self.metrics.waiting.set((n_waiting - joining.len()) as i64);
                return Some(joining);
            }
            self.metrics.waiting.set(0);
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn note_time(&self, time: Duration) {
        let mut state = self.lock();
        state.text_seconds += NEWEST * (time.as_secs_f64() - state.text_seconds);
    }
}

/// Takes texts for free slots, one of each request in turn, until their prompts are as long as a step may read.
fn first_of_line(line: &mut VecDeque<VecDeque<Text>>, n_free: usize, room: &Room) -> Vec<Text> {
    let mut joining = Vec::new();
    let mut n_tokens = 0;
    while joining.len() < n_free && n_tokens < room.prompt_tokens_per_step {
        let Some(mut texts) = line.pop_front() else { break };
        if let Some(text) = texts.pop_front() {
            n_tokens += text.task.prompt.len();
            joining.push(text);
        }
        if !texts.is_empty() {
            line.push_back(texts);
        }
    }
    joining
}

/// The engine and the texts that it writes.
struct Crew {
    engine: Box<dyn Engine>,
    running: HashMap<Slot, Text>,
    shared: Arc<Shared>,
}

impl Crew {
    fn work(&mut self) -> Result<(), String> {
        while let Some(joining) = self.shared.joining(self.running.len()) {
            for text in joining {
                self.admit(text)?;
            }
            self.release_abandoned();
            if !self.running.is_empty() {
                self.step()?;
            }
            self.shared.metrics.running.set(self.running.len() as i64);
        }
        let waiting = std::mem::take(&mut self.shared.lock().line);
        for text in waiting.into_iter().flatten() {
            text.send(Event::Failed(Refusal::shutting_down()));
        }
        self.lose_all(&Refusal::shutting_down());
        Ok(())
    }

    fn admit(&mut self, mut text: Text) -> Result<(), String> {
        text.began = Instant::now();
        match self.engine.admit(&text.task.prompt, &text.task.sampling) {
            Ok(slot) => {
                self.shared.metrics.prompt_tokens.inc_by(text.task.prompt.len() as u64);
                match self.running.insert(slot, text) {
                    Some(_) => Err(format!("it gave slot {} twice", slot.0)),
                    None => Ok(()),
                }
            }
            Err(error) => {
                text.send(Event::Failed(Refusal::from_engine(&error)));
                Ok(())
            }
        }
    }

    /// Frees the slots of texts that nobody waits for.
    fn release_abandoned(&mut self) {
        let abandoned: Vec<Slot> =
            self.running.iter().filter(|(_, text)| text.events.is_closed()).map(|(slot, _)| *slot).collect();
        for slot in abandoned {
            self.shared.metrics.cancelled.inc();
            self.release(slot);
        }
    }

    fn release(&mut self, slot: Slot) {
        self.engine.release(slot);
        self.running.remove(&slot);
    }

    fn step(&mut self) -> Result<(), String> {
        let written = match self.engine.step() {
            Ok(written) => written,
            Err(error) => {
                let (EngineError::Refused { message } | EngineError::Failed { message }) = error;
                self.lose_all(&Refusal::from_engine(&EngineError::Failed { message }));
                return Ok(());
            }
        };
        if written.len() != self.running.len() {
            return Err(format!("a step wrote {} tokens of {} texts", written.len(), self.running.len()));
        }
        self.shared.metrics.batch_texts.observe(written.len() as f64);
        self.shared.metrics.generated_tokens.inc_by(written.len() as u64);
        for token in written {
            let slot = token.slot;
            let Some(text) = self.running.get_mut(&slot) else {
                return Err(format!("a step wrote a token for slot {}, where no text is", slot.0));
            };
            if text.take(token, &self.shared.metrics) {
                self.shared.note_time(text.began.elapsed());
                self.release(slot);
            }
        }
        Ok(())
    }

    fn lose_all(&mut self, reason: &Refusal) {
        for (slot, text) in std::mem::take(&mut self.running) {
            self.engine.release(slot);
            text.send(Event::Failed(reason.clone()));
        }
    }
}

impl Text {
    /// Adds a token and tells what came of it; true where the text is at its end.
    fn take(&mut self, token: Written, metrics: &Metrics) -> bool {
        let (choice, is_end) = (self.task.choice, token.is_end);
        let since = if self.n_tokens == 0 { &metrics.first_token_seconds } else { &metrics.token_seconds };
        since.observe(self.last_token.elapsed().as_secs_f64());
        self.last_token = Instant::now();
        self.n_tokens += 1;
        let (piece, finish) = match self.assembler.push(token) {
            Progress::Stopped(piece) => (piece, Some(Finish::Stop)),
            Progress::GoesOn(piece) if is_end => (piece, Some(Finish::Stop)),
            Progress::GoesOn(piece) if self.n_tokens >= self.task.sampling.max_tokens => (piece, Some(Finish::Length)),
            Progress::GoesOn(piece) => (piece, None),
        };
        self.send_piece(choice, piece);
        let Some(finish) = finish else { return false };
        let rest = self.assembler.finish();
        self.send_piece(choice, rest);
        self.send(Event::Ended { choice, finish, n_tokens: self.n_tokens });
        tracing::debug!(
            choice,
            n_tokens = self.n_tokens,
            waited_ms = (self.began - self.asked).as_millis() as u64,
            ?finish,
            "a text is written"
        );
        true
    }

    fn send_piece(&self, choice: usize, piece: Piece) {
        if !piece.tokens.is_empty() {
            self.send(Event::Wrote { choice, piece });
        }
    }

    /// Sends an event. There is always room; where nobody listens any more, the text is released before the next step.
    fn send(&self, event: Event) {
        let _ = self.events.try_send(event);
    }
}
