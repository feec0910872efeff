//! Answers that are sent piece by piece, as server-sent events.

use std::collections::VecDeque;
use std::convert::Infallible;

use axum::response::Response;
use axum::response::sse::{Event as SentEvent, KeepAlive, Sse};

use crate::refusal::Refusal;
use crate::routes::{KEEP_ALIVE, Written, unbuffered};
use crate::scheduler::Event;

/// An answer on its way.
struct Stream {
    written: Written,
    /// What is sent next.
    ready: VecDeque<SentEvent>,
    texts: Vec<Progress>,
    n_left: usize,
}

/// How far a text is.
#[derive(Clone, Default)]
struct Progress {
    /// Characters that were sent, counted where tokens are reported with their places.
    n_characters: usize,
    is_begun: bool,
    /// What was sent, kept where it is logged.
    text: String,
}

/// The answer of a request as a stream. It begins with the first event, so that what fails before has a status of its own.
pub(crate) async fn response(mut written: Written) -> Result<Response, Refusal> {
    let first = match written.next().await {
        Event::Failed(refusal) => return Err(refusal),
        event => event,
    };
    let (texts, n_left) = (vec![Progress::default(); written.n_texts], written.n_texts);
    let mut stream = Stream { written, ready: VecDeque::new(), texts, n_left };
    stream.take(first);
    let events = futures_util::stream::unfold(stream, |mut stream| async move {
        stream.next().await.map(|event| (Ok::<_, Infallible>(event), stream))
    });
    Ok(unbuffered(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))))
}

impl Stream {
    async fn next(&mut self) -> Option<SentEvent> {
        while self.ready.is_empty() && self.n_left > 0 {
            let event = self.written.next().await;
            self.take(event);
        }
        self.ready.pop_front()
    }

    /// Makes of an event what is sent.
    fn take(&mut self, event: Event) {
        match event {
            // An end adds no text; without a report of its token there is nothing to send.
            Event::Wrote { piece, .. } if piece.text.is_empty() && !self.written.head.has_log_probabilities => {}
            Event::Wrote { choice, piece } => {
                self.begin(choice);
                let offset = self.texts[choice].n_characters;
                self.texts[choice].n_characters += piece.text.chars().count();
                if self.written.app.config.are_texts_logged {
                    self.texts[choice].text.push_str(&piece.text);
                }
                self.send(self.written.head.piece(choice, &piece, offset).to_string());
            }
            Event::Ended { choice, finish, .. } => {
                self.begin(choice);
                self.send(self.written.head.closing(choice, finish).to_string());
                self.written.log_text(choice, &self.texts[choice].text);
                self.n_left -= 1;
                if self.n_left == 0 {
                    if let Some(part) = self.written.head.usage(self.written.usage) {
                        self.send(part.to_string());
                    }
                    self.written.log();
                    self.send("[DONE]".to_owned());
                }
            }
            Event::Failed(refusal) => {
                self.send(refusal.body().to_string());
                self.send("[DONE]".to_owned());
                self.n_left = 0;
            }
        }
    }

    fn begin(&mut self, choice: usize) {
        if !std::mem::replace(&mut self.texts[choice].is_begun, true) {
            let echo = self.written.echoes.as_ref().map(|echoes| echoes[choice].as_str());
            self.texts[choice].n_characters += echo.map_or(0, |echo| echo.chars().count());
            if let Some(part) = self.written.head.opening(choice, echo) {
                self.send(part.to_string());
            }
        }
    }

    fn send(&mut self, data: String) {
        self.ready.push_back(SentEvent::default().data(data));
    }
}
