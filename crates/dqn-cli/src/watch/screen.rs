//! The loop: what the files say, onto the screen, until a key ends it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use dqn_report::live::Follower;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::draw::draw;
use super::view::{CurveView, View};

/// How often the files are looked at.
const READ_EVERY: Duration = Duration::from_millis(500);

/// What its user has chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Controls {
    /// The first curve shown, by its name in the log: its place changes as others appear. The first of all where it is not
    /// there.
    pub(super) chosen: Option<String>,
    /// Whether the files are left alone.
    pub(crate) is_paused: bool,
}

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    GoOn,
    Quit,
}

impl Controls {
    /// The place of the chosen curve.
    pub(crate) fn chosen(&self, curves: &[CurveView<'_>]) -> usize {
        let chosen = |key: &String| curves.iter().position(|curve| curve.key == key);
        self.chosen.as_ref().and_then(chosen).unwrap_or(0)
    }

    fn on(&mut self, key: KeyEvent, curves: &[CurveView<'_>]) -> Next {
        let n_curves = curves.len();
        let mut choose = |n_forward: usize| {
            if n_curves > 0 {
                let next = (self.chosen(curves) + n_forward) % n_curves;
                self.chosen = Some(curves[next].key.to_owned());
            }
        };
        match key.code {
            _ if key.kind == KeyEventKind::Release => {}
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return Next::Quit,
            KeyCode::Char('q') | KeyCode::Esc => return Next::Quit,
            KeyCode::Tab | KeyCode::Right | KeyCode::Down => choose(1),
            KeyCode::BackTab | KeyCode::Left | KeyCode::Up => choose(n_curves.saturating_sub(1)),
            KeyCode::Char('p') => self.is_paused = !self.is_paused,
            _ => {}
        }
        Next::GoOn
    }
}

/// Shows the run until its user has seen enough, or `stop` is set; whether it was.
///
/// The terminal is as before afterwards, after a fault and a panic too.
pub(crate) fn show(follower: Follower, stop: &AtomicBool) -> anyhow::Result<bool> {
    // This sets a hook, too, by which a panic gives the terminal back before it tells what it is.
    let terminal = ratatui::try_init().context("cannot take over the terminal")?;
    let result = shown(terminal, follower, stop);
    let restored = ratatui::try_restore().context("cannot give the terminal back");
    let is_stopped = result?;
    restored.map(|()| is_stopped)
}

fn shown(mut terminal: DefaultTerminal, mut follower: Follower, stop: &AtomicBool) -> anyhow::Result<bool> {
    let mut controls = Controls::default();
    let mut read_at = Instant::now();
    let mut now = SystemTime::now();
    while !stop.load(Ordering::SeqCst) {
        if !controls.is_paused {
            now = SystemTime::now();
        }
        let view = View::new(follower.run(), now);
        terminal.draw(|frame| draw(frame, &view, &controls)).context("cannot draw on the terminal")?;
        let is_key_there = event::poll(READ_EVERY.saturating_sub(read_at.elapsed()));
        // A new size needs nothing but to be drawn again.
        if is_key_there.context("cannot wait for a key")?
            && let Event::Key(key) = event::read().context("cannot read a key")?
            && controls.on(key, &view.curves) == Next::Quit
        {
            return Ok(false);
        }
        if read_at.elapsed() >= READ_EVERY {
            if !controls.is_paused {
                follower.refresh()?;
            }
            read_at = Instant::now();
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use dqn_report::curve::Point;

    use super::*;

    fn curves<'a>(keys: &'a [&str]) -> Vec<CurveView<'a>> {
        const POINTS: [Point; 1] = [Point { x: 0.0, y: 0.0 }];
        let curve = |key: &&'a str| CurveView { key, title: String::new(), points: &POINTS, newest: String::new() };
        keys.iter().map(curve).collect()
    }

    #[test]
    fn keys_do_what_the_help_line_says() {
        let mut controls = Controls::default();
        let now = curves(&["a", "b", "c"]);
        for (code, expected) in [
            (KeyCode::Tab, 1),
            (KeyCode::Right, 2),
            (KeyCode::Down, 0),
            (KeyCode::Left, 2),
            (KeyCode::BackTab, 1),
            (KeyCode::Char('x'), 1),
        ] {
            assert_eq!(controls.on(code.into(), &now), Next::GoOn);
            assert_eq!(controls.chosen(&now), expected, "{code:?}");
        }
        // Another curve appears before the chosen one, which stays chosen; later it is gone.
        assert_eq!(controls.chosen(&curves(&["a", "new", "b"])), 2);
        assert_eq!(controls.chosen(&curves(&["new"])), 0);
        assert_eq!(controls.on(KeyCode::Left.into(), &[]), Next::GoOn);
        controls.on(KeyCode::Char('p').into(), &now);
        assert!(controls.is_paused);
        controls.on(KeyCode::Char('p').into(), &now);
        assert!(!controls.is_paused);
        let key = |code, modifiers| KeyEvent::new(code, modifiers);
        for (key, expected) in [
            (key(KeyCode::Char('q'), KeyModifiers::NONE), Next::Quit),
            (key(KeyCode::Esc, KeyModifiers::NONE), Next::Quit),
            (key(KeyCode::Char('c'), KeyModifiers::CONTROL), Next::Quit),
            (key(KeyCode::Char('c'), KeyModifiers::NONE), Next::GoOn),
            // Some terminals tell when a key is let go, as that of the command that started this.
            (KeyEvent { kind: KeyEventKind::Release, ..KeyCode::Char('q').into() }, Next::GoOn),
        ] {
            assert_eq!(controls.on(key, &now), expected, "{key:?}");
        }
    }
}
