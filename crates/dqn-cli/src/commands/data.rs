//! `data`: logs of episodes to learn from.

use burn::tensor::Device;
use dqn_env::log::{LogReader, LogStats, LogWriter, OnFault, Spread, log_schema};
use dqn_mdp::Seed;
use dqn_train::experiment::Experiment;
use dqn_train::logs::{SampleRequest, play_scripted, sample_texts};

use crate::args::{Data, DataCheck, DataGenerate, DataSample, DataStats, ExperimentFile};
use crate::backend::Backend;
use crate::console::Console;
use crate::experiment_file;
use crate::failure::BadRequest;
use crate::saved_run::SavedRun;

pub(crate) fn run(command: &Data, console: Console) -> anyhow::Result<()> {
    match command {
        Data::Generate(args) => generate(args, console),
        Data::Sample(args) => sample(args, console),
        Data::Check(args) => check(args, console),
        Data::Stats(args) => stats(args, console),
        Data::Schema => console.json(&log_schema()),
    }
}

fn experiment(file: &ExperimentFile) -> anyhow::Result<Experiment> {
    let device: Device = Backend::preferred().device()?;
    Ok(Experiment::build(experiment_file::load(file)?, None, &device)?)
}

fn generate(args: &DataGenerate, console: Console) -> anyhow::Result<()> {
    let experiment = experiment(&args.experiment)?;
    let Some(mut game) = experiment.game() else {
        let name = &experiment.config.name;
        let why = "only games have scripted players; name an experiment whose environment is a game with --config";
        return Err(BadRequest(format!("{name} is no game: {why}")).into());
    };
    if args.output.exists() {
        return Err(BadRequest(format!("{} exists already; name another file", args.output.display())).into());
    }
    let mut writer = LogWriter::create(&args.output)?;
    let mut returns = 0.0;
    play_scripted(&mut *game, args.player, args.episodes, Seed(args.seed), |episode, _| {
        returns += episode.episode_return();
        Ok(writer.write(&episode)?)
    })?;
    writer.finish()?;
    let mean = returns / args.episodes as f64;
    console.result(&format!("{}: {} episodes, mean return {mean:.3}", args.output.display(), args.episodes))
}

fn sample(args: &DataSample, console: Console) -> anyhow::Result<()> {
    if args.output.exists() {
        return Err(BadRequest(format!("{} exists already; name another file", args.output.display())).into());
    }
    let SavedRun { experiment, network, progress, .. } = SavedRun::open(&args.run)?;
    let request = SampleRequest {
        n_texts: args.n_texts,
        n_starts: args.n_starts,
        temperature: args.temperature,
        seed: args.seed,
        as_token_ids: args.token_ids,
    };
    let mut writer = None;
    let mut total = 0.0;
    let n_left_out = sample_texts(&experiment, &network, progress, &request, |episode| {
        total += episode.episode_return();
        // The file is made when there is something to write, so that a refusal leaves none.
        let writer = match &mut writer {
            Some(writer) => writer,
            None => writer.insert(LogWriter::create(&args.output)?),
        };
        Ok(writer.write(&episode)?)
    })?;
    let Some(writer) = writer else {
        let why =
            format!("none of {n_left_out} texts ended within the limit of the task, so that there is nothing to log");
        return Err(BadRequest(why).into());
    };
    let n_episodes = writer.n_episodes();
    writer.finish()?;
    let mean = total / n_episodes as f64;
    let left_out = match n_left_out {
        0 => String::new(),
        n_left_out => format!("; {n_left_out} were cut at the limit of the task and left out"),
    };
    console.result(&format!("{}: {n_episodes} texts, mean reward {mean:.3}{left_out}", args.output.display()))
}

fn check(args: &DataCheck, console: Console) -> anyhow::Result<()> {
    let on_fault = if args.skip { OnFault::Skip } else { OnFault::Stop };
    let mut reader = LogReader::open(&args.log, on_fault)?;
    let is_task_named = args.experiment.config.is_some();
    if is_task_named {
        let experiment = experiment(&args.experiment)?;
        if experiment.tokenizer().is_none() {
            return Err(BadRequest(format!("{} has no text to hold a log against", experiment.config.name)).into());
        }
        let translator = experiment.log_translator()?;
        while reader.next_trajectory(&translator)?.is_some() {}
    } else {
        for episode in &mut reader {
            episode?;
        }
    }
    for fault in reader.faults() {
        console.note(&fault.to_string());
    }
    let fits = if is_task_named { ", all of the task" } else { "" };
    let skipped = match reader.n_skipped() {
        0 => String::new(),
        n_skipped => format!("; {n_skipped} lines skipped"),
    };
    console.result(&format!("{}: {} episodes{fits}{skipped}", args.log.display(), reader.n_episodes()))
}

fn stats(args: &DataStats, console: Console) -> anyhow::Result<()> {
    let on_fault = if args.skip { OnFault::Skip } else { OnFault::Stop };
    let mut reader = LogReader::open(&args.log, on_fault)?;
    let stats = LogStats::read(&mut reader, None)?;
    if args.json {
        return console.json(&stats);
    }
    let spread = |name: &str, spread: &Spread| {
        let Spread { mean, min, p5, p25, p50, p75, p95, max } = spread;
        format!("{name:22} {mean:>9.3} {min:>9.3} {p5:>9.3} {p25:>9.3} {p50:>9.3} {p75:>9.3} {p95:>9.3} {max:>9.3}")
    };
    let mut lines = vec![
        format!("{}: {} episodes, {} actions", args.log.display(), stats.n_episodes, stats.n_actions),
        format!(
            "{} first texts, {} actions, {:.1} % of the episodes ended by the rules",
            stats.n_distinct_starts,
            stats.n_distinct_actions,
            100.0 * stats.terminated_fraction
        ),
        String::new(),
        format!(
            "{:22} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "", "mean", "least", "5 %", "25 %", "50 %", "75 %", "95 %", "most"
        ),
        spread("return", &stats.returns),
        spread("actions an episode", &stats.lengths_actions),
    ];
    lines.extend(stats.lengths_characters.as_ref().map(|lengths| spread("characters an episode", lengths)));
    if stats.n_skipped > 0 {
        lines.push(format!("\n{} lines held no episode and were skipped", stats.n_skipped));
    }
    console.result(&lines.join("\n"))
}
