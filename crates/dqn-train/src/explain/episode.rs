//! From a text to an episode of the task.

use dqn_core::{Policy, Progress, QNetwork};
use dqn_env::{CopyString, EnvironmentConfig};
use dqn_mdp::{ActionId, Environment, MdpError, Prompt, Seed, SourceId, Start, TokenId, Trajectory};
use dqn_model::TextQNetwork;
use dqn_text::split::Split;
use dqn_text::tokenizer::TextTokenizer;
use dqn_text::{Segmenter, Special, Tokenizer};

use super::{shown, values};
use crate::TrainError;
use crate::experiment::Experiment;
use crate::generate::encode_prompt;
use crate::play::{NetworkPlayer, play};

/// How an episode begins, where it is not the first validation start.
#[derive(Clone, Copy)]
pub(super) struct Begin<'a> {
    pub(super) prompt: Option<&'a str>,
    pub(super) source: Option<SourceId>,
}

impl Begin<'_> {
    /// The first state; none where that is left to the task.
    fn start(self, experiment: &Experiment) -> Result<Option<Prompt>, TrainError> {
        match (self.prompt, self.source) {
            // Where there are sources, it says that there are no prompts.
            (Some(prompt), _) => Ok(Some(encode_prompt(experiment, prompt)?.into())),
            (None, source) => Ok(source.map(Prompt::from)),
        }
    }
}

/// The episode of the most preferred actions.
pub(super) fn preferred(
    experiment: &Experiment,
    network: &TextQNetwork,
    progress: Progress,
    begin: Begin<'_>,
) -> Result<Trajectory, TrainError> {
    let mut task = experiment.task(Split::Validation)?.distinct(1, Seed(experiment.config.evaluation.seed));
    if let Some(start) = begin.start(experiment)? {
        task = task.with_prompt(start)?;
    }
    let learned = experiment.learned_policies(progress).swap_remove(0);
    let policy = match values::temperature(learned.policy) {
        Some(temperature) => Policy::BoltzmannMode { temperature },
        None => Policy::Greedy,
    };
    let network = network.clone().decoding(learned.decoding);
    let (prior, mut rng) = (experiment.acting_prior(policy), Seed(0).stream("explain"));
    let mut player = NetworkPlayer::new(&network, policy, prior, &experiment.encoder, &mut rng);
    let mut episodes = play(&mut task.environments(1)?, &[Start::Indexed(0)], &mut player)?;
    Ok(episodes.swap_remove(0))
}

/// The episode that `text` is.
///
/// # Errors
/// When it holds unknown tokens, or what the task does not do.
pub(super) fn of_text(experiment: &Experiment, text: &str, begin: Begin<'_>) -> Result<Trajectory, TrainError> {
    match &experiment.config.environment {
        EnvironmentConfig::Generation { .. } | EnvironmentConfig::Responses { .. } => {
            continued(experiment, text, begin.prompt)
        }
        environment if environment.has_sources() => {
            let task = experiment.task(Split::Validation)?.distinct(1, Seed(experiment.config.evaluation.seed));
            let first = task.prompts.iter().flat_map(|prompts| prompts.prompts.first()).next().cloned();
            let start = begin.start(experiment)?.or(first);
            written_from(experiment, start.unwrap_or_default(), encode(experiment, text)?)
        }
        _ => {
            // Says what is wrong with a prompt here.
            begin.prompt.map(|prompt| encode_prompt(experiment, prompt)).transpose()?;
            replayed(experiment, text)
        }
    }
}

fn no_episode(why: String) -> TrainError {
    TrainError::NotAnEpisode { why }
}

/// A prompt and what follows it.
fn continued(experiment: &Experiment, text: &str, prompt: Option<&str>) -> Result<Trajectory, TrainError> {
    let (prompt, written) = divided(experiment, text, prompt)?;
    written_from(experiment, prompt.into(), written)
}

/// What is `written` from a start.
fn written_from(experiment: &Experiment, prompt: Prompt, written: Vec<TokenId>) -> Result<Trajectory, TrainError> {
    let n_tokens = prompt.tokens.len() + written.len();
    let task = experiment.task(Split::Test)?.with_prompt(prompt)?;
    match task.max_tokens() {
        Some(max_tokens) if n_tokens > max_tokens => {
            return Err(no_episode(format!(
                "it has {n_tokens} tokens; with its prompt a text has at most {max_tokens}"
            )));
        }
        _ => {}
    }
    let segmenter = Segmenter::new(&experiment.actions);
    let ended = [written.as_slice(), &[Special::Eos.id()]].concat();
    let fits = task.max_tokens().is_none_or(|max_tokens| n_tokens < max_tokens);
    let divided = fits.then(|| segmenter.segment(&ended)).flatten().or_else(|| segmenter.segment(&written));
    let actions = divided.ok_or_else(|| {
        no_episode(format!("no actions of the task write {:?} after the prompt", shown(experiment, &written)))
    })?;
    let mut environment = task.generation()?;
    let mut episode = Trajectory::begin(environment.reset(Start::Indexed(0))?, environment.allowed());
    for (index, &action) in actions.iter().enumerate() {
        match environment.step(action) {
            Ok(step) => episode.push(action, &step, environment.allowed()),
            // A text that is too short for its end is taken as unfinished.
            Err(MdpError::Forbidden { .. }) if index + 1 == actions.len() && is_end(experiment, action) => {}
            Err(MdpError::Forbidden { .. }) => {
                let (before, action) = (shown(experiment, &episode.tokens[1..]), experiment.actions.tokens(action));
                return Err(no_episode(format!("after {before:?} the task forbids {:?}", shown(experiment, action))));
            }
            Err(error) => return Err(error.into()),
        }
    }
    if let Some(candidates) = &experiment.candidates {
        // Unlike in episodes to learn from, what was written may be no candidate: that is worth telling.
        let narrowed =
            episode.allowed.iter().enumerate().map(|(state, allowed)| candidates.of(episode.state(state), allowed));
        episode.allowed = narrowed.collect();
    }
    Ok(episode)
}

fn is_end(experiment: &Experiment, action: ActionId) -> bool {
    experiment.actions.tokens(action) == [Special::Eos.id()]
}

/// The tokens of the prompt and those after it.
fn divided(
    experiment: &Experiment,
    text: &str,
    prompt: Option<&str>,
) -> Result<(Vec<TokenId>, Vec<TokenId>), TrainError> {
    let in_two = |n_bytes: usize| {
        let (prompt, rest) = text.split_at(n_bytes);
        Ok((encode(experiment, prompt)?, encode(experiment, rest)?))
    };
    if let Some(prompt) = prompt {
        encode_prompt(experiment, prompt)?;
        if !text.starts_with(prompt) {
            return Err(no_episode(format!("it does not begin with the prompt {prompt:?}")));
        }
        return in_two(prompt.len());
    }
    match experiment.config.environment {
        EnvironmentConfig::Generation { n_prompt_lines: Some(n_lines), .. } => {
            let n_bytes = text.split_inclusive('\n').take(n_lines).map(str::len).sum();
            in_two(n_bytes)
        }
        EnvironmentConfig::Generation { n_prompt_tokens, .. } => {
            let mut tokens = encode(experiment, text)?;
            if tokens.len() < n_prompt_tokens {
                let n_tokens = tokens.len();
                return Err(no_episode(format!("it has {n_tokens} tokens; its prompt alone has {n_prompt_tokens}")));
            }
            let written = tokens.split_off(n_prompt_tokens);
            Ok((tokens, written))
        }
        _ => Err(no_episode("prompts are of any length here: tell with --prompt how it begins".to_owned())),
    }
}

/// The tokens of `text`, none of them unknown.
fn encode(experiment: &Experiment, text: &str) -> Result<Vec<TokenId>, TrainError> {
    let quoted = |units: Vec<String>| TrainError::UnknownInText {
        unknown: units.iter().map(|unit| format!("{unit:?}")).collect(),
    };
    let Some(tokenizer) = experiment.tokenizer() else {
        let ids: Vec<Option<TokenId>> =
            text.split_whitespace().map(|name| experiment.vocab().id(name).filter(|id| !is_special(*id))).collect();
        let unknown = text.split_whitespace().zip(&ids).filter(|(_, id)| id.is_none());
        let unknown: Vec<String> = unknown.map(|(name, _)| name.to_owned()).collect();
        return if unknown.is_empty() { Ok(ids.into_iter().flatten().collect()) } else { Err(quoted(unknown)) };
    };
    // A shell takes the line break from the end of what a command printed.
    let text = match tokenizer {
        TextTokenizer::Line(_) if !text.is_empty() && !text.ends_with('\n') => format!("{text}\n"),
        _ => text.to_owned(),
    };
    let unknown = tokenizer.unknown(&text);
    if unknown.is_empty() { Ok(tokenizer.encode(&text)?) } else { Err(quoted(unknown)) }
}

fn is_special(token: TokenId) -> bool {
    Special::ALL.map(Special::id).contains(&token)
}

/// The episode whose whole text, answers included, is `text`: the task itself is played by what stands there, from the
/// start that leads the furthest.
fn replayed(experiment: &Experiment, text: &str) -> Result<Trajectory, TrainError> {
    let tokens = [vec![Special::Bos.id()], encode(experiment, text)?].concat();
    let mut furthest: Option<Departure> = None;
    for environment in &mut environments(experiment, &tokens[1..])? {
        for start in 0..environment.n_starts() {
            match replay(experiment, environment.as_mut(), Start::Indexed(start), &tokens)? {
                Ok(episode) => return Ok(episode),
                Err(departure) => {
                    if furthest.as_ref().is_none_or(|furthest| departure.n_tokens > furthest.n_tokens) {
                        furthest = Some(departure);
                    }
                }
            }
        }
    }
    Err(no_episode(furthest.map_or_else(|| "it begins as none of the task does".to_owned(), |departure| departure.why)))
}

/// The environments whose starts the text may have.
fn environments(experiment: &Experiment, tokens: &[TokenId]) -> Result<Vec<Box<dyn Environment>>, TrainError> {
    match experiment.config.environment {
        EnvironmentConfig::NextToken { .. } => {
            // A part may hold no text.
            let tasks = [Split::Validation, Split::Train, Split::Test].map(|split| experiment.task(split));
            Ok(tasks.iter().flatten().filter_map(|task| task.environments(1).ok()).flatten().collect())
        }
        EnvironmentConfig::Copy { length, n_symbols } => {
            let string = &tokens[..length.min(tokens.len())];
            let task = CopyString::new(length, n_symbols, Seed(0))?.with_string(string);
            let task =
                task.ok_or_else(|| no_episode(format!("it does not begin with a string of {length} symbols")))?;
            Ok(vec![Box::new(task)])
        }
        _ => Ok(experiment.task(Split::Validation)?.environments(1)?),
    }
}

/// Where a text leaves the task.
struct Departure {
    n_tokens: usize,
    why: String,
}

/// The episode of `tokens` from `start`, or where it leaves the task.
fn replay(
    experiment: &Experiment,
    environment: &mut dyn Environment,
    start: Start,
    tokens: &[TokenId],
) -> Result<Result<Trajectory, Departure>, TrainError> {
    let state = environment.reset(start)?;
    if !tokens.starts_with(&state.tokens) {
        let n_tokens = state.tokens.iter().zip(tokens).take_while(|(one, other)| one == other).count();
        let why = format!("it does not begin with {:?} as the task does", shown(experiment, &state.tokens[1..]));
        return Ok(Err(Departure { n_tokens, why }));
    }
    let mut episode = Trajectory::begin(state, environment.allowed());
    while episode.tokens.len() < tokens.len() {
        let n_tokens = episode.tokens.len();
        let (before, rest) = (shown(experiment, &tokens[1..n_tokens]), &tokens[n_tokens..]);
        let departure = |n_more: usize, why: String| Ok(Err(Departure { n_tokens: n_tokens + n_more, why }));
        if episode.outcome.is_end() {
            return departure(
                0,
                format!("after {before:?} the episode is over; {:?} follows", shown(experiment, rest)),
            );
        }
        // Where one action begins another, the longer one is meant.
        let fitting = experiment.actions.iter().filter(|(_, written)| rest.starts_with(written));
        let Some((action, written)) = fitting.max_by_key(|(_, written)| written.len()) else {
            return departure(0, format!("after {before:?} no action writes {:?}", shown(experiment, rest)));
        };
        let step = match environment.step(action) {
            Err(MdpError::Forbidden { .. }) => {
                return departure(0, format!("after {before:?} the task forbids {:?}", shown(experiment, written)));
            }
            step => step?,
        };
        let n_same = step.observed.iter().zip(rest).take_while(|(one, other)| one == other).count();
        // The answer to the last action may be left out.
        if n_same < step.observed.len() && n_same < rest.len() {
            let answer = &step.observed[written.len().min(step.observed.len())..];
            let why = format!(
                "after {before:?} and {:?} the task goes on with {:?}",
                shown(experiment, written),
                shown(experiment, answer)
            );
            return departure(n_same, why);
        }
        episode.push(action, &step, environment.allowed());
    }
    Ok(Ok(episode))
}
