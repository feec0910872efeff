//! A server over an engine that writes its prompt again and again, to try clients and the page against.
//!
//!     cargo run -p dqn-serve --example fake -- [ADDRESS [MILLISECONDS PER STEP [TOKEN]]]
#![allow(clippy::print_stdout, reason = "an example is a command line of its own")]

use std::error::Error;
use std::time::Duration;

use dqn_serve::{Limits, Server, ServerConfig, Token};

#[path = "../tests/http/fake.rs"]
mod fake;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut config = ServerConfig {
        limits: Limits { read_time: Duration::from_secs(5), ..Limits::default() },
        ..ServerConfig::default()
    };
    if let Some(address) = arguments.next() {
        config.bind = address.parse()?;
    }
    let mut engine = fake::Fake::new();
    engine.card.context_length = 4096;
    engine.card.n_slots = 32;
    engine.step_time = Duration::from_millis(arguments.next().map_or(Ok(5), |time| time.parse())?);
    config.token = arguments.next().map(Token::new).transpose()?;
    let server = Server::bind(config, engine)?;
    println!("http://{}", server.local_addr());
    server.run_blocking()?;
    Ok(())
}
