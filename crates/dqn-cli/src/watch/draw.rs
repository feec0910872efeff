//! Where everything stands on the screen, whatever its size.

use dqn_report::curve::{Column, thinned};
use dqn_report::live::RunState;
use dqn_report::number;
use ratatui::Frame;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Block, Chart, Dataset, GraphType, Paragraph, Wrap};

use super::screen::Controls;
use super::view::{CurveView, Row, View};

/// From this width on the newest values stand beside the curves, ...
const WIDE: u16 = 70;
/// ... and take so much of it.
const SIDE_WIDTH: u16 = 30;
/// From this height on there is room for samples, ...
const TALL: u16 = 18;
/// ... for the second line of figures, ...
const MEDIUM: u16 = 8;
/// ... and for a curve rather than lines of values.
const CHART_HEIGHT: u16 = 5;
/// Room for a curve where several are shown.
const CURVE_WIDTH: u16 = 40;
const CURVE_HEIGHT: u16 = 10;
/// Most curves beside and below each other.
const MOST_CURVES: u16 = 3;
/// Least and greatest height of the samples, their frame included.
const SAMPLES_HEIGHT: (u16, u16) = (5, 14);
/// Width of the bar of progress, where there is room, and the least that says something.
const BAR_WIDTH: usize = 24;
const LEAST_BAR_WIDTH: usize = 6;

const DIM: Style = Style::new().add_modifier(Modifier::DIM);
const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);

/// Draws all of it.
pub(crate) fn draw(frame: &mut Frame<'_>, view: &View<'_>, controls: &Controls) {
    let area = frame.area();
    let n_head = if area.height >= MEDIUM { 3 } else { area.height.min(2) };
    let n_help = u16::from(area.height > 3);
    let [head, body, help] =
        Layout::vertical([Constraint::Length(n_head), Constraint::Min(0), Constraint::Length(n_help)]).areas(area);
    draw_head(frame, head, view, controls);
    draw_body(frame, body, view, controls);
    if n_help > 0 {
        frame.render_widget(Paragraph::new(help_line()).style(DIM), help);
    }
}

/// What `view` looks like on a screen of this size, as lines of text.
pub(crate) fn text(view: &View<'_>, controls: &Controls, width: u16, height: u16) -> String {
    let Ok(mut terminal) = Terminal::new(TestBackend::new(width, height));
    let Ok(_) = terminal.draw(|frame| draw(frame, view, controls));
    lines(terminal.backend().buffer())
}

/// The lines of a screen without the blanks at their ends.
fn lines(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width);
    let rows = buffer.content.chunks(width.max(1)).map(|cells| {
        let (mut line, mut n_covered) = (String::new(), 0);
        for cell in cells {
            // The cell after a wide letter is under its other half.
            if n_covered == 0 {
                line += cell.symbol();
                n_covered = Span::raw(cell.symbol()).width().max(1);
            }
            n_covered -= 1;
        }
        line.trim_end().to_owned()
    });
    rows.collect::<Vec<_>>().join("\n")
}

fn help_line() -> Line<'static> {
    let keys = [("q", "quit"), ("Tab →", "next curve"), ("←", "previous"), ("p", "pause")];
    let key = |(key, what): (&'static str, &'static str)| [Span::styled(key, BOLD), Span::raw(format!(" {what}  "))];
    Line::from_iter(keys.into_iter().flat_map(key))
}

fn draw_head(frame: &mut Frame<'_>, area: Rect, view: &View<'_>, controls: &Controls) {
    let colour = match view.state {
        RunState::Running => Color::Green,
        RunState::Finished => Color::Cyan,
        RunState::Stopped => Color::Yellow,
    };
    let mut state = vec![Span::styled(view.state_text.as_str(), Style::new().fg(colour))];
    if controls.is_paused {
        state.push(Span::styled(" (paused)", Style::new().fg(Color::Yellow)));
    }
    // Where there is no room for both, the state says more than the name.
    let state = Line::from(state);
    let rows = [0, 1, 2].map(|index| Rect { y: area.y + index, height: 1, ..area }.intersection(area));
    let right = state.width().min(usize::from(area.width)) as u16;
    let [title_area, _, state_area] =
        Layout::horizontal([Constraint::Min(0), Constraint::Length(1), Constraint::Length(right)]).areas(rows[0]);
    frame.render_widget(Line::styled(view.title.as_str(), BOLD), title_area);
    frame.render_widget(state, state_area);

    let [n_passed, n_time] = [&view.passed, &view.time].map(|text| Span::raw(text).width());
    // Where one line does not hold both, the time goes to the next, before figures that say less.
    let is_one_line = n_passed + n_time + 2 <= usize::from(area.width);
    let (first, second) = match (view.time.is_empty(), is_one_line) {
        (true, _) => (view.passed.clone(), view.counts.clone()),
        (false, true) => (format!("{}, {}", view.passed, view.time), view.counts.clone()),
        (false, false) => (view.passed.clone(), format!("{}, {}", view.time, view.counts)),
    };
    let mut progress = Vec::new();
    let room = usize::from(area.width).saturating_sub(Span::raw(&first).width() + 1).min(BAR_WIDTH);
    if let Some(fraction) = view.fraction.filter(|_| room >= LEAST_BAR_WIDTH) {
        let full = (fraction * room as f64).floor() as usize;
        progress.push(Span::styled("█".repeat(full), Style::new().fg(colour)));
        progress.push(Span::styled("░".repeat(room - full), DIM));
        progress.push(Span::raw(" "));
    }
    progress.push(Span::raw(first));
    frame.render_widget(Line::from(progress), rows[1]);
    frame.render_widget(Line::styled(second, DIM), rows[2]);
}

fn draw_body(frame: &mut Frame<'_>, area: Rect, view: &View<'_>, controls: &Controls) {
    if area.height < CHART_HEIGHT {
        frame.render_widget(values(&view.scores, area.width), area);
        return;
    }
    let (least, greatest) = SAMPLES_HEIGHT;
    let has_samples = area.height + 4 >= TALL && !view.samples.is_empty();
    let n_samples = if has_samples { (area.height / 4).clamp(least, greatest) } else { 0 };
    let [upper, samples] = Layout::vertical([Constraint::Min(0), Constraint::Length(n_samples)]).areas(area);
    let (is_wide, is_tall) = (area.width >= WIDE, upper.height >= 2 * CURVE_HEIGHT);
    let [curves, side] = match (is_wide, is_tall) {
        (true, _) => Layout::horizontal([Constraint::Min(0), Constraint::Length(SIDE_WIDTH)]).areas(upper),
        (false, true) => Layout::vertical([Constraint::Fill(1), Constraint::Fill(1)]).areas(upper),
        (false, false) => [upper, Rect::ZERO],
    };
    draw_curves(frame, curves, view, controls);
    draw_values(frame, side, view);
    if has_samples {
        draw_samples(frame, samples, view);
    }
}

/// As many curves as there is room for, from the chosen one on.
fn draw_curves(frame: &mut Frame<'_>, area: Rect, view: &View<'_>, controls: &Controls) {
    if view.curves.is_empty() {
        frame.render_widget(Paragraph::new(view.passed.as_str()).block(Block::bordered()), area);
        return;
    }
    let n_across = (area.width / CURVE_WIDTH).clamp(1, MOST_CURVES);
    let n_down = (area.height / CURVE_HEIGHT).clamp(1, MOST_CURVES);
    let first = controls.chosen(&view.curves);
    let mut shown = (first..view.curves.len()).chain(0..first);
    for row in Layout::vertical(vec![Constraint::Fill(1); usize::from(n_down)]).split(area).iter() {
        for cell in Layout::horizontal(vec![Constraint::Fill(1); usize::from(n_across)]).split(*row).iter() {
            if let Some(index) = shown.next() {
                draw_curve(frame, *cell, &view.curves[index], (index, view.curves.len()));
            }
        }
    }
}

fn draw_curve(frame: &mut Frame<'_>, area: Rect, curve: &CurveView<'_>, (index, n_curves): (usize, usize)) {
    // A letter of the terminal is two dots of a curve wide.
    let columns = thinned(curve.points, 2 * usize::from(area.width).max(1));
    let line: Vec<(f64, f64)> = columns.iter().map(|&Column { x, middle, .. }| (x, middle)).collect();
    let [first, last] = ends(line.iter().map(|point| point.0));
    let [low, high] = ends(line.iter().map(|point| point.1));
    let title = format!(" {}: {} ", curve.title, curve.newest);
    let place = Line::styled(format!(" {} of {n_curves} ", index + 1), DIM).right_aligned();
    let mut block = Block::bordered().title(Span::styled(title.clone(), BOLD));
    if Span::raw(title).width() + place.width() + 2 <= usize::from(area.width) {
        block = block.title(place);
    }
    // The mean is written where three labels do not share lines.
    let values = if area.height >= CURVE_HEIGHT { vec![low, f64::midpoint(low, high), high] } else { vec![low, high] };
    // A single braille dot is hard to find.
    let marker = if line.len() > 1 { Marker::Braille } else { Marker::Dot };
    let dataset = Dataset::default().marker(marker).graph_type(GraphType::Line).data(&line);
    let chart = Chart::new(vec![dataset.style(Style::new().fg(Color::Cyan))])
        .block(block)
        .x_axis(Axis::default().style(DIM).bounds([first, last]).labels([first, last].map(number)))
        .y_axis(Axis::default().style(DIM).bounds([low, high]).labels(values.into_iter().map(number)));
    frame.render_widget(chart, area);
}

/// The range of values, wide enough to be drawn.
fn ends(values: impl Iterator<Item = f64> + Clone) -> [f64; 2] {
    let low = values.clone().fold(f64::INFINITY, f64::min);
    let high = values.fold(f64::NEG_INFINITY, f64::max);
    let margin = if low < high { 0.0 } else { (low.abs() / 10.0).max(0.5) };
    [low - margin, high + margin]
}

fn draw_values(frame: &mut Frame<'_>, area: Rect, view: &View<'_>) {
    if area.is_empty() {
        return;
    }
    let wanted = |rows: &[Row]| if rows.is_empty() { 0 } else { rows.len() as u16 + 2 };
    // The terms get what they want, but no more than the half.
    let n_terms = wanted(&view.terms).min(area.height / 2);
    let [scores, terms] = Layout::vertical([Constraint::Min(0), Constraint::Length(n_terms)]).areas(area);
    for (title, rows, area) in [(" Newest ", &view.scores, scores), (" Reward terms ", &view.terms, terms)] {
        if !area.is_empty() {
            let block = Block::bordered().title(Span::styled(title, BOLD));
            let inner = block.inner(area);
            frame.render_widget(block, area);
            frame.render_widget(values(rows, inner.width), inner);
        }
    }
}

/// Names on the left, values on the right.
fn values<'a>(rows: &'a [Row], width: u16) -> Paragraph<'a> {
    let line = |row: &'a Row| {
        let taken = Span::raw(&row.value).width() + 1;
        let name = fitted(&row.name, usize::from(width).saturating_sub(taken));
        let blanks = usize::from(width).saturating_sub(Span::raw(&name).width() + taken - 1);
        Line::from(vec![Span::raw(name), Span::raw(" ".repeat(blanks)), Span::raw(row.value.as_str())])
    };
    Paragraph::new(rows.iter().map(line).collect::<Vec<_>>())
}

/// As much of the end of a name as fits: names in the log begin alike.
fn fitted(name: &str, width: usize) -> String {
    if Span::raw(name).width() <= width {
        return name.to_owned();
    }
    let mut letters: Vec<char> = Vec::new();
    let mut n_taken = 1;
    for letter in name.chars().rev() {
        n_taken += Span::raw(letter.to_string()).width();
        if n_taken > width {
            break;
        }
        letters.push(letter);
    }
    let dots = if width > 0 { "…" } else { "" };
    dots.chars().chain(letters.into_iter().rev()).collect()
}

fn draw_samples(frame: &mut Frame<'_>, area: Rect, view: &View<'_>) {
    let block = Block::bordered().title(Span::styled(format!(" {} ", view.samples_title), BOLD));
    let line = |row: &Row| Line::from(vec![Span::styled(format!("{:>8}  ", row.name), DIM), row.value.clone().into()]);
    let lines: Vec<Line<'_>> = view.samples.iter().map(line).collect();
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }).block(block), area);
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::{env, fs};

    use dqn_report::live::{LiveRun, Measured};

    use super::super::view::tests::{at, live};
    use super::*;

    /// Compares a frame with the file that `WRITE_FRAMES=1 cargo nextest run --workspace -E 'test(watch)'` writes.
    fn check(name: &str, run: &LiveRun, controls: &Controls, width: u16, height: u16) {
        let found = text(&View::new(run, at(75)), controls, width, height) + "\n";
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/watch/frames").join(format!("{name}.txt"));
        if env::var_os("WRITE_FRAMES").is_some() {
            fs::write(&path, &found).unwrap();
        }
        let expected = fs::read_to_string(&path).unwrap();
        assert_eq!(found, expected, "{name} shows\n{found}");
        for line in found.lines() {
            assert!(Span::raw(line).width() <= usize::from(width), "{line:?} is wider than {width}");
        }
    }

    #[test]
    fn frames_are_as_they_were_looked_at() {
        let run = live(12);
        let controls = Controls::default();
        check("80x24", &run, &controls, 80, 24);
        check("40x10", &run, &controls, 40, 10);
        check("130x40", &run, &controls, 130, 40);
        check("40x30", &run, &controls, 40, 30);
        let paused = Controls { is_paused: true, ..Controls::default() };
        check("paused-60x12", &run, &paused, 60, 12);
        let nothing = LiveRun { measured: Measured::default(), samples: Vec::new(), measured_at: None, ..run };
        check("nothing-80x24", &nothing, &controls, 80, 24);
    }

    #[test]
    fn every_size_can_be_drawn() {
        let runs = [live(12), live(1), LiveRun { samples: Vec::new(), ..live(0) }];
        for run in &runs {
            let view = View::new(run, at(75));
            for width in (1..=90).step_by(3).chain([250]) {
                for height in (1..=30).chain([100]) {
                    let frame = text(&view, &Controls::default(), width, height);
                    assert_eq!(frame.split('\n').count(), usize::from(height));
                }
            }
        }
    }

    #[test]
    fn wide_letters_take_two_cells() {
        let view = View::new(&live(12), at(75)).samples;
        let run = live(12);
        let frame = text(&View::new(&run, at(75)), &Controls::default(), 80, 24);
        let line = frame.lines().find(|line| line.contains("春风")).unwrap();
        assert!(line.contains(&view[0].value), "{line}");
        // The frame around the samples closes where it closes on every line.
        assert!(line.ends_with('│') && Span::raw(line).width() == 80, "{line}");
    }

    #[test]
    fn the_ends_of_long_names_are_shown() {
        for (name, width, expected) in [
            ("learn/loss", 10, "learn/loss"),
            ("learn/loss", 6, "…/loss"),
            ("reward/春风", 4, "…风"),
            ("reward/春风", 5, "…春风"),
            ("learn/loss", 1, "…"),
            ("learn/loss", 0, ""),
        ] {
            assert_eq!(fitted(name, width), expected, "{name} in {width}");
        }
    }

    #[test]
    fn a_level_curve_has_room_above_and_below() {
        for (values, expected) in
            [(&[1.0, 3.0][..], [1.0, 3.0]), (&[0.0], [-0.5, 0.5]), (&[-20.0, -20.0], [-22.0, -18.0])]
        {
            assert_eq!(ends(values.iter().copied()), expected);
        }
    }
}
