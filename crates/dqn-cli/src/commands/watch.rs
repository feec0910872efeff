//! `watch`: a run in the terminal while it goes on.

use std::io::{self, IsTerminal};
use std::time::SystemTime;

use dqn_report::live::Follower;

use crate::args::Watch;
use crate::console::Console;
use crate::failure::{BadRequest, Ending};
use crate::watch::screen::{self, Controls};
use crate::watch::view::View;
use crate::{interrupt, saved_run};

/// Size of a frame that is printed where there is no terminal to fill.
const WIDTH: u16 = 80;
const HEIGHT: u16 = 24;

pub(crate) fn run(args: &Watch, console: Console) -> anyhow::Result<Ending> {
    let follower = Follower::open(&saved_run::place(&args.run)?)?;
    let is_terminal = io::stdout().is_terminal();
    if args.once {
        let size = is_terminal.then(ratatui::crossterm::terminal::size).and_then(Result::ok);
        let (width, height) = size.unwrap_or((WIDTH, HEIGHT));
        let view = View::new(follower.run(), SystemTime::now());
        console.result(crate::watch::draw::text(&view, &Controls::default(), width, height).trim_end())?;
        return Ok(Ending::Done);
    }
    if !is_terminal {
        let why = "watch draws on a terminal, and standard output is none; print one frame with --once";
        return Err(BadRequest(why.to_owned()).into());
    }
    let is_stopped = screen::show(follower, interrupt::flag()?)?;
    Ok(if is_stopped { Ending::Interrupted } else { Ending::Done })
}
