//! `serve`: a language model behind HTTP, in the manner of OpenAI.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use anyhow::Context;
use dqn_serve::{ChatTemplate, Defaults, Limits, Server, ServerConfig, Token};
use dqn_train::language_model::{LanguageModel, LanguageModelFiles, chat_template};
use dqn_train::run::checkpoint::Which;
use dqn_train::steered::Values;

use crate::args::{RunChoice, Serve};
use crate::backend::Backend;
use crate::console::Console;
use crate::failure::BadRequest;
use crate::saved_run::{self, SavedRun};
use crate::serve::{Settings, Speaker, TextEngine};

/// The environment variable that may hold the token.
const TOKEN: &str = "DQN_TOKEN";

pub(crate) fn run(args: &Serve, console: Console) -> anyhow::Result<()> {
    let config = config(args)?;
    let server = match saved_run::is_run(&args.folder)? {
        true => {
            let checkpoint = args.checkpoint.unwrap_or(Which::Last);
            let choice = RunChoice { run: args.folder.clone(), checkpoint, backend: args.backend.clone() };
            let SavedRun { experiment, device, network, .. } = SavedRun::open(&choice)?;
            let (model, values) = Values::of(&experiment, network, &device)?;
            let folder = experiment.config.network.torso.pretrained().map_or(&args.folder, |torso| &torso.folder);
            let beta = values.as_ref().map(|_| experiment.config.decoding.unwrap_or_default().beta);
            let settings = settings(args, &model, folder, beta)?;
            bind(config, Speaker { model: Arc::new(model), values }, settings)?
        }
        false => {
            saved_run::refuse_checkpoint(args.checkpoint)?;
            let files = LanguageModelFiles::open(&args.folder)?;
            let device = Backend::choose(args.backend.backend.as_deref())?.device()?;
            let model = Arc::new(files.load(&device)?);
            let settings = settings(args, &model, &args.folder, None)?;
            bind(config, Speaker { model, values: None }, settings)?
        }
    };
    let handle = server.shutdown_handle();
    ctrlc::set_handler(move || handle.shut_down()).context("cannot listen to Ctrl-C")?;
    let address = server.local_addr();
    console
        .note(&format!("http://{address} has a page to write at, http://{address}/v1 is for clients; Ctrl-C ends it"));
    Ok(server.run_blocking()?)
}

fn bind(config: ServerConfig, speaker: Speaker, settings: Settings) -> anyhow::Result<Server> {
    Server::bind(config, TextEngine::new(speaker, settings)).map_err(refusal)
}

/// Settings that the server refuses are mistakes of the request.
fn refusal(error: dqn_serve::ServeError) -> anyhow::Error {
    use dqn_serve::ServeError::{Bind, ChatTemplate, PublicWithoutToken, Setting};
    match error {
        PublicWithoutToken { .. } | Setting { .. } | ChatTemplate { .. } | Bind { .. } => {
            BadRequest(error.to_string()).into()
        }
        other => other.into(),
    }
}

fn config(args: &Serve) -> anyhow::Result<ServerConfig> {
    Ok(ServerConfig {
        bind: args.bind,
        token: token(args.token_file.as_deref())?,
        is_public_allowed: args.allow_public,
        allowed_hosts: args.allow_host.clone(),
        cors_origins: args.cors.clone(),
        are_texts_logged: args.log_texts,
        limits: Limits {
            body_bytes: args.max_body,
            prompt_tokens: args.max_prompt_tokens,
            max_tokens: args.max_tokens,
            texts_per_request: args.texts_per_request,
            running_texts: args.slots,
            waiting_texts: args.queue,
            request_time: args.request_time,
            shutdown_time: args.shutdown_time,
            ..Limits::default()
        },
    })
}

fn token(file: Option<&Path>) -> anyhow::Result<Option<Token>> {
    let (origin, text) = match (file, std::env::var(TOKEN)) {
        (Some(file), _) => {
            let text = fs::read_to_string(file);
            (file.display().to_string(), text.map_err(|error| BadRequest(format!("{}: {error}", file.display())))?)
        }
        (None, Ok(text)) => (TOKEN.to_owned(), text),
        (None, Err(_)) => return Ok(None),
    };
    let token = Token::new(text.trim_end()).map_err(|error| BadRequest(format!("{origin}: {error}")))?;
    Ok(Some(token))
}

/// `folder` is that of the model; `beta` that of the run, where it has values.
fn settings(args: &Serve, model: &LanguageModel, folder: &Path, beta: Option<f64>) -> anyhow::Result<Settings> {
    if beta.is_none() && args.beta.is_some_and(|beta| beta > 0.0) {
        return Err(BadRequest("--beta weighs values beside a model, and there are none here".to_owned()).into());
    }
    let source = match &args.chat_template {
        Some(file) => {
            let text = fs::read_to_string(file);
            Some(text.map_err(|error| BadRequest(format!("--chat-template {}: {error}", file.display())))?)
        }
        None => chat_template(folder)?,
    };
    let text_of = |token| model.tokenizer.token(token).unwrap_or_default();
    let chat = source.map(|source| ChatTemplate {
        source,
        bos_token: model.bos.map(text_of).unwrap_or_default(),
        eos_token: model.eos.first().copied().map(text_of).unwrap_or_default(),
    });
    let made = fs::metadata(folder.join("config.json")).and_then(|file| file.modified()).ok();
    let named = args.folder.canonicalize().unwrap_or_else(|_| args.folder.clone());
    let name = named.file_name().map_or_else(|| "model".to_owned(), |name| name.to_string_lossy().into_owned());
    let made = made.and_then(|made| made.duration_since(UNIX_EPOCH).ok());
    let usual = Defaults::default();
    Ok(Settings {
        id: args.name.clone().unwrap_or(name),
        created: made.map_or(0, |made| made.as_secs()),
        n_slots: args.slots,
        chat,
        defaults: Defaults {
            temperature: args.temperature.unwrap_or(usual.temperature),
            top_p: args.top_p.unwrap_or(usual.top_p),
            top_k: args.top_k.or(usual.top_k),
            repetition_penalty: args.repetition_penalty.unwrap_or(usual.repetition_penalty),
            beta: args.beta.or(beta).unwrap_or(usual.beta),
        },
    })
}
