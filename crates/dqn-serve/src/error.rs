//! What can keep a server from running.

use std::net::SocketAddr;

/// A reason why a server does not start, or has ended before it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Everyone who reaches the machine could use the model.
    #[error(
        "{address} can be reached from other machines, and no token is asked for; \
         set a token, bind to 127.0.0.1, or allow it explicitly"
    )]
    PublicWithoutToken {
        /// The address asked for.
        address: SocketAddr,
    },
    /// A setting has a value that makes no sense.
    #[error("{name} is {found}; it must be {allowed}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// Its value.
        found: String,
        /// What would be right.
        allowed: String,
    },
    /// The chat template is not Jinja.
    #[error("the chat template cannot be read: {message}")]
    ChatTemplate {
        /// What is wrong, with its line.
        message: String,
    },
    /// The address cannot be listened at.
    #[error("cannot listen at {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The reason.
        source: std::io::Error,
    },
    /// The system gave no thread, timer or socket.
    #[error("the server cannot {action}: {source}")]
    System {
        /// What it tried.
        action: &'static str,
        /// The reason.
        source: std::io::Error,
    },
    /// The engine panicked or broke its contract.
    #[error("the engine stopped: {message}")]
    EngineStopped {
        /// The message.
        message: String,
    },
}
