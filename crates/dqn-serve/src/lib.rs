//! A server over anything that writes text token by token.
//!
//! This crate knows no network and no model. Who implements [`Engine`] is served in the manner of OpenAI: the way of a
//! request is read in the order of the modules. `server` accepts connections, `guard` turns away who may not ask,
//! `request` reads what is asked for, `chat` makes a text of a conversation, `scheduler` runs the engine on a thread of
//! its own and lets requests join and leave between its steps, `assemble` makes text of the bytes that tokens stand for
//! and finds stop strings in it, and `answer` has the shapes of what is sent back.
//!
//! docs/serve.md is for who uses the server.

mod answer;
mod assemble;
mod chat;
mod config;
mod engine;
mod error;
mod fields;
mod guard;
mod metrics;
mod page;
mod patience;
mod refusal;
mod request;
mod routes;
mod scheduler;
mod server;
mod stream;

pub use config::{Limits, ServerConfig, Token};
pub use engine::{
    Alternative, ChatTemplate, Codec, Defaults, Engine, EngineError, ModelCard, Sampling, Slot, TextKind, Written,
};
pub use error::ServeError;
pub use server::{Server, ShutdownHandle};
