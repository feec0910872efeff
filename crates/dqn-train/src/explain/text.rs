//! An explanation as text for a terminal.

use std::fmt::Write;

use super::{ActionView, Baseline, Explanation, Method, PriorKind, Replacement, StepView, TokenView};

/// Whether the terminal shows colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colours {
    /// Shades behind the tokens, in the 256 colours of xterm.
    Ansi,
    /// Plain text.
    None,
}

/// Most tokens that a step is said to depend on.
const N_DECIDING: usize = 3;

/// Greens and reds of the xterm palette, from pale to strong.
const SHADES: [[u8; 4]; 2] = [[22, 28, 34, 40], [52, 88, 124, 160]];

/// The text with its tokens shaded by advantage, and a block for each step.
pub fn text(explanation: &Explanation, colours: Colours) -> String {
    let mut out = format!("{}\n\n", facts(explanation).join("; "));
    if let Some(about) = &explanation.about {
        out += &format!("about: {}\n\n", readable(&about.text));
    }
    let largest = explanation.largest_advantage();
    for token in &explanation.tokens[1..] {
        let shade = token.step.map(|step| explanation.steps[step].taken.advantage / largest);
        out += &shaded(&readable(&token.text), shade, colours);
        out += &explanation.separator;
    }
    out += "\n";
    for (index, step) in explanation.steps.iter().enumerate() {
        out += "\n";
        write_step(&mut out, explanation, index, step);
    }
    out.trim_end().to_owned()
}

/// What holds for all steps, in words.
pub(super) fn facts(explanation: &Explanation) -> Vec<String> {
    let temperature = explanation.temperature.map(|temperature| format!(" at temperature {temperature:.4}"));
    let over = match explanation.advantage_over {
        Baseline::MaxQ => "advantages are over the highest value",
        Baseline::StateValue => "advantages are over the value of the state",
    };
    let method = match explanation.method {
        Method::Occlusion(Replacement::Vocabulary) => "saliency by occlusion with other tokens",
        Method::Occlusion(Replacement::Unknown) => "saliency by occlusion with <unk>",
        Method::Gradient => "saliency by gradient",
        Method::Attention => "saliency by attention",
    };
    let prior = explanation.prior.map(|prior| match prior {
        PriorKind::Prior => "prior: that of the experiment",
        PriorKind::DataPolicy => "prior: the learned policy of the data",
    });
    let mut facts = vec![
        format!("{}{}", explanation.policy, temperature.unwrap_or_default()),
        format!("after {} updates", explanation.updates),
        over.to_owned(),
        method.to_owned(),
    ];
    facts.extend(prior.map(str::to_owned));
    if explanation.reward_scale != 1.0 {
        facts.push(format!("values of rewards times {}", explanation.reward_scale));
    }
    facts
}

fn write_step(out: &mut String, explanation: &Explanation, index: usize, step: &StepView) {
    let value = step.state_value.map(|value| format!(", state value {value:.3}")).unwrap_or_default();
    let margin = step.margin.map(|margin| format!(", margin {margin:.3}")).unwrap_or_default();
    let allowed = step.n_allowed;
    let taken = &step.taken;
    let rank = match taken.rank {
        Some(rank) => format!("rank {rank} of {allowed}"),
        None => "masked".to_owned(),
    };
    // Writing to a string does not fail.
    let _ = writeln!(out, "step {index}: {} ({rank}), max Q {:.3}{value}{margin}", readable(&taken.text), step.max_q);
    let deciding: Vec<String> = step
        .most_salient(N_DECIDING)
        .into_iter()
        .map(|(place, saliency)| format!("{} at {place} ({saliency:+.3})", readable(&explanation.tokens[place].text)))
        .collect();
    match deciding.is_empty() {
        true if step.margin.is_none() => *out += "  no other action is allowed\n",
        true => {}
        false => {
            let _ = writeln!(out, "  depends on {}", deciding.join(", "));
        }
    }
    if let (Some(about), Some(saliency)) = (&explanation.about, &step.source_saliency) {
        let deciding: Vec<String> = most_salient(saliency, 0, N_DECIDING)
            .into_iter()
            .map(|(place, saliency)| format!("{} at {place} ({saliency:+.3})", readable(&about.tokens[place])))
            .collect();
        let _ = writeln!(out, "  and in the source on {}", deciding.join(", "));
    }
    let is_shown = step.top.iter().any(|view| view.action == taken.action);
    let others = step.masked.iter().filter(|view| view.action != taken.action);
    let rows: Vec<&ActionView> = step.top.iter().chain((!is_shown).then_some(taken)).chain(others).collect();
    let width = rows.iter().map(|view| readable(&view.text).chars().count()).max().unwrap_or(0);
    for view in rows {
        let mark = if view.action == taken.action { '>' } else { ' ' };
        let rank = view.rank.map_or_else(|| "masked".to_owned(), |rank| format!("{rank:>6}"));
        let text = readable(&view.text);
        let fill = " ".repeat(width - text.chars().count());
        let prior = view.prior_probability.map(|prior| format!("  prior {prior:.3}")).unwrap_or_default();
        let _ = writeln!(
            out,
            "{mark} {rank}  {text}{fill}  Q {:>8.3}  A {:>+8.3}  p {:.3}{prior}",
            view.q, view.advantage, view.probability
        );
    }
}

/// `text` before a shade of green for advantages above 0 and of red for those below; `share` is from -1 to 1.
fn shaded(text: &str, share: Option<f32>, colours: Colours) -> String {
    let (Colours::Ansi, Some(share)) = (colours, share.filter(|share| share.abs() > 0.01)) else {
        return text.to_owned();
    };
    let strength = ((share.abs() * 4.0) as usize).min(3);
    let colour = SHADES[usize::from(share < 0.0)][strength];
    format!("\u{1b}[97;48;5;{colour}m{text}\u{1b}[0m")
}

/// Line breaks and tabs as signs, so that a token stays in its line.
pub(super) fn readable(text: &str) -> String {
    text.replace('\n', "⏎").replace('\t', "⇥")
}

impl Explanation {
    /// The largest absolute advantage of an action taken, above 0.
    pub(super) fn largest_advantage(&self) -> f32 {
        let advantages = self.steps.iter().map(|step| step.taken.advantage.abs());
        advantages.fold(f32::MIN_POSITIVE, f32::max)
    }

    /// The text of the tokens from one place on.
    pub(super) fn tokens_from(&self, place: usize) -> impl Iterator<Item = (usize, &TokenView)> {
        self.tokens.iter().enumerate().skip(place)
    }
}

impl StepView {
    /// The `n` tokens of largest absolute saliency, that one first; `<bos>` and those without any left out.
    pub(super) fn most_salient(&self, n: usize) -> Vec<(usize, f32)> {
        most_salient(self.saliency.as_deref().unwrap_or_default(), 1, n)
    }
}

/// The `n` places from `first` on of largest absolute saliency, that one first; those without any left out.
fn most_salient(saliency: &[f32], first: usize, n: usize) -> Vec<(usize, f32)> {
    let mut places: Vec<(usize, f32)> =
        saliency.iter().copied().enumerate().skip(first).filter(|(_, saliency)| *saliency != 0.0).collect();
    places.sort_by(|one, other| other.1.abs().total_cmp(&one.1.abs()).then(one.0.cmp(&other.0)));
    places.truncate(n);
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shades_grow_with_the_advantage() {
        let shade = |share| shaded("a", Some(share), Colours::Ansi);
        assert_eq!(shade(0.1), "\u{1b}[97;48;5;22ma\u{1b}[0m");
        assert_eq!(shade(-1.0), "\u{1b}[97;48;5;160ma\u{1b}[0m");
        assert_eq!(shade(0.0), "a");
        assert_eq!((shaded("a", None, Colours::Ansi), shaded("a", Some(1.0), Colours::None)), ("a".into(), "a".into()));
    }
}
