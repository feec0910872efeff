//! What is answered where.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::extract::{Extension, Path, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, middleware};
use futures_util::StreamExt;
use serde_json::{Map, Value, json};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use tower_http::cors::CorsLayer;

use crate::answer::{self, Finished, Head, Style, Usage};
use crate::chat::Template;
use crate::config::ServerConfig;
use crate::engine::{Codec, ModelCard, Sampling, TextKind};
use crate::guard::{self, RequestId};
use crate::metrics::Metrics;
use crate::page;
use crate::refusal::{Refusal, json_response};
use crate::request::{self, Order, Prompt};
use crate::scheduler::{Event, Finish, Scheduler, Task};
use crate::stream;

/// A body that is too large is read on, and thrown away, up to so many times the limit: a client that still sends
/// would otherwise see its connection break and not the reason.
const READ_ON: usize = 16;

/// What all routes share.
pub(crate) type App = Arc<Parts>;

/// What answers need.
pub(crate) struct Parts {
    pub(crate) config: ServerConfig,
    pub(crate) card: ModelCard,
    pub(crate) codec: Arc<dyn Codec>,
    pub(crate) template: Option<Template>,
    pub(crate) scheduler: Scheduler,
    pub(crate) metrics: Metrics,
    /// Prompts that become tokens at a time; more would only take the processor from the engine.
    pub(crate) encoders: Semaphore,
}

/// All routes, with what is done before and after each.
pub(crate) fn router(app: App) -> Router {
    let mut router = Router::new()
        .route("/", get(|| async { page::response() }))
        .route("/healthz", get(health))
        .route("/metrics", get(metrics))
        .route("/v1/models", get(models))
        .route("/v1/models/{*id}", get(model))
        .route("/v1/completions", post(completions))
        .route("/v1/chat/completions", post(chat))
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(Arc::clone(&app), guard::admit));
    let origins: Vec<HeaderValue> =
        app.config.cors_origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect();
    if !origins.is_empty() {
        let headers = [header::AUTHORIZATION, header::CONTENT_TYPE];
        let cors = CorsLayer::new().allow_origin(origins).allow_methods([Method::GET, Method::POST]);
        router = router.layer(cors.allow_headers(headers));
    }
    router.layer(middleware::from_fn_with_state(Arc::clone(&app), guard::observe)).with_state(app)
}

async fn health(State(app): State<App>) -> Response {
    match app.scheduler.is_open() {
        true => json_response(StatusCode::OK, &json!({"status": "ok"})),
        false => json_response(StatusCode::SERVICE_UNAVAILABLE, &json!({"status": "not taking requests"})),
    }
}

async fn metrics(State(app): State<App>) -> Response {
    match app.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, Metrics::FORMAT)], text).into_response(),
        Err(error) => {
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, None, format!("no metrics: {error}")).into_response()
        }
    }
}

async fn models(State(app): State<App>) -> Response {
    let model = answer::model(&app.card, app.config.limits.max_tokens);
    json_response(StatusCode::OK, &json!({"object": "list", "data": [model]}))
}

async fn model(State(app): State<App>, Path(id): Path<String>) -> Response {
    match id == app.card.id {
        true => json_response(StatusCode::OK, &answer::model(&app.card, app.config.limits.max_tokens)),
        false => request::no_such_model(&id, &app.card).into_response(),
    }
}

async fn nothing_here(request: Request) -> Response {
    let path: String = request.uri().path().chars().take(100).collect();
    let message = format!("there is nothing at {path}; see /v1/models, /v1/completions, /v1/chat/completions");
    Refusal::new(StatusCode::NOT_FOUND, Some("unknown_url"), message).into_response()
}

async fn wrong_method(request: Request) -> Response {
    let message = format!("{} does not answer {}", request.uri().path(), request.method());
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, Some("method_not_allowed"), message).into_response()
}

async fn completions(State(app): State<App>, Extension(id): Extension<RequestId>, request: Request) -> Response {
    write(app, id, Style::Completion, request).await.unwrap_or_else(Refusal::into_response)
}

async fn chat(State(app): State<App>, Extension(id): Extension<RequestId>, request: Request) -> Response {
    write(app, id, Style::Chat, request).await.unwrap_or_else(Refusal::into_response)
}

/// The events of a request on its way, and what belongs to all of them.
pub(crate) struct Written {
    pub(crate) app: App,
    pub(crate) head: Head,
    pub(crate) request_id: RequestId,
    pub(crate) events: mpsc::Receiver<Event>,
    pub(crate) deadline: Instant,
    pub(crate) n_texts: usize,
    /// The prompt of each text, where answers begin with it.
    pub(crate) echoes: Option<Vec<String>>,
    pub(crate) usage: Usage,
}

impl Written {
    /// The next event; what goes wrong is one as well.
    pub(crate) async fn next(&mut self) -> Event {
        let event = tokio::time::timeout_at(self.deadline, self.events.recv()).await;
        match event {
            // What waits for a reader who takes it slowly is given up in time as well, so that it is not kept for long.
            _ if Instant::now() >= self.deadline => {
                self.app.metrics.out_of_time.inc();
                Event::Failed(Refusal::out_of_time(self.app.config.limits.request_time.as_secs_f64()))
            }
            Ok(Some(event)) => {
                if let Event::Ended { n_tokens, .. } = &event {
                    self.usage.n_completion += n_tokens;
                }
                event
            }
            Ok(None) | Err(_) => Event::Failed(Refusal::engine_stopped()),
        }
    }

    /// Writes to the log that all texts are done.
    pub(crate) fn log(&self) {
        tracing::info!(
            request_id = self.request_id.0,
            n_texts = self.n_texts,
            prompt_tokens = self.usage.n_prompt,
            completion_tokens = self.usage.n_completion,
            "written"
        );
    }

    pub(crate) fn log_text(&self, index: usize, text: &str) {
        if self.app.config.are_texts_logged {
            tracing::debug!(request_id = self.request_id.0, index, text, "text");
        }
    }
}

async fn write(app: App, request_id: RequestId, style: Style, request: Request) -> Result<Response, Refusal> {
    let limits = &app.config.limits;
    let deadline = Instant::now() + limits.request_time;
    let object = object(&app, request).await?;
    let order = match style {
        Style::Completion => request::completion(object, &app.card, limits),
        Style::Chat => request::chat(object, &app.card, limits),
    }?;
    let n_texts = order.prompts.len() * order.n;
    app.scheduler.has_room(n_texts)?;
    let prompts = encode(&app, order.prompts.clone()).await?;
    let tasks = tasks(&app, &order, &prompts)?;
    if app.config.are_texts_logged {
        tracing::debug!(request_id = request_id.0, prompts = ?order.prompts, "prompts");
    }
    let head = Head {
        style,
        id: format!("{}{}", if style == Style::Chat { "chatcmpl-" } else { "cmpl-" }, request_id.0),
        created: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
        model: app.card.id.clone(),
        has_log_probabilities: order.has_log_probabilities,
        is_usage_included: order.stream.is_some_and(|stream| stream.is_usage_included),
    };
    let usage = Usage { n_prompt: prompts.iter().map(|prompt| prompt.len()).sum(), n_completion: 0 };
    let echoes = order.is_echoed.then(|| echoes(&app, &order));
    let events = app.scheduler.submit(tasks, &order.stops.into())?;
    let written = Written { app, head, request_id, events, deadline, n_texts, echoes, usage };
    match order.stream {
        Some(_) => stream::response(written).await,
        None => whole(written).await,
    }
}

/// The body of a request as a JSON object.
async fn object(app: &App, request: Request) -> Result<Map<String, Value>, Refusal> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json")) {
        let message = format!("the content type is {kind:?}; it must be application/json");
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Some("unsupported_media_type"), message));
    }
    let time = app.config.limits.read_time;
    let bytes = tokio::time::timeout(time, bytes(request, app.config.limits.body_bytes)).await.map_err(|_| {
        let message = format!("the body did not come within {} s", time.as_secs_f64());
        Refusal::new(StatusCode::REQUEST_TIMEOUT, Some("body_timeout"), message)
    })??;
    let not_json = |message: String| Refusal::new(StatusCode::BAD_REQUEST, Some("invalid_json"), message);
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(not_json("the body must be a JSON object".to_owned())),
        Err(error) => Err(not_json(format!("the body is not JSON: {error}"))),
    }
}

async fn bytes(request: Request, most: usize) -> Result<Vec<u8>, Refusal> {
    let too_large = || {
        let message = format!("the body has more than {most} bytes, which is the most that a request may have");
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, Some("body_too_large"), message)
    };
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let read_on = most.saturating_mul(READ_ON);
    if length.is_some_and(|length: usize| length > read_on) {
        return Err(too_large());
    }
    let mut chunks = request.into_body().into_data_stream();
    let (mut bytes, mut n_bytes) = (Vec::new(), 0_usize);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| {
            Refusal::new(StatusCode::BAD_REQUEST, Some("body_broken"), format!("the body ended early: {error}"))
        })?;
        n_bytes = n_bytes.saturating_add(chunk.len());
        if n_bytes > read_on {
            break;
        }
        if n_bytes <= most {
            bytes.extend_from_slice(&chunk);
        }
    }
    if n_bytes > most { Err(too_large()) } else { Ok(bytes) }
}

/// The tokens of prompts, made beside the threads that serve connections.
async fn encode(app: &App, prompts: Vec<Prompt>) -> Result<Vec<Arc<[u32]>>, Refusal> {
    let _turn = app.encoders.acquire().await.map_err(|_| Refusal::shutting_down())?;
    let shared = Arc::clone(app);
    let work = move || prompts.into_iter().map(|prompt| tokens(&shared, prompt)).collect();
    // The work fails only by a panic of the codec.
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(Refusal::engine_stopped()))
}

fn tokens(app: &Parts, prompt: Prompt) -> Result<Arc<[u32]>, Refusal> {
    let encoded = |text: &str, kind| app.codec.encode(text, kind).map_err(|error| Refusal::from_engine(&error));
    let (name, tokens) = match (prompt, &app.template) {
        (Prompt::Text(text), _) => ("prompt", encoded(&text, TextKind::Plain)?),
        (Prompt::Tokens(tokens), _) => ("prompt", tokens),
        (Prompt::Chat(messages), Some(template)) => {
            ("messages", encoded(&template.render(&messages)?, TextKind::Templated)?)
        }
        (Prompt::Chat(_), None) => return Err(Refusal::field("messages", "the model has no chat template")),
    };
    if tokens.is_empty() {
        return Err(Refusal::field(name, "the prompt has no tokens; give at least one"));
    }
    if let Some(most) = app.config.limits.prompt_tokens.filter(|most| tokens.len() > *most) {
        let message = format!("the prompt has {} tokens; this server takes at most {most}", tokens.len());
        return Err(Refusal::field(name, message).with_code("prompt_too_long"));
    }
    Ok(tokens.into())
}

/// What is to be written, each text with a seed of its own.
fn tasks(app: &Parts, order: &Order, prompts: &[Arc<[u32]>]) -> Result<Vec<Task>, Refusal> {
    let mut tasks = Vec::new();
    for prompt in prompts {
        let room = app.card.context_length.saturating_sub(prompt.len());
        let n_asked = order.sampling.max_tokens;
        if room == 0 || (order.is_length_asked && n_asked > room) {
            let message = format!(
                "the prompt has {} tokens and {n_asked} more are asked for; the context of the model has {}",
                prompt.len(),
                app.card.context_length
            );
            let code = "context_length_exceeded";
            return Err(Refusal::field("max_tokens", message).with_code(code));
        }
        for _ in 0..order.n {
            let choice = tasks.len();
            let sampling = Sampling {
                max_tokens: n_asked.min(room),
                seed: order.sampling.seed.wrapping_add(choice as u64),
                ..order.sampling
            };
            tasks.push(Task { choice, prompt: Arc::clone(prompt), sampling });
        }
    }
    Ok(tasks)
}

/// The prompt of each text as text.
fn echoes(app: &Parts, order: &Order) -> Vec<String> {
    let texts = order.prompts.iter().map(|prompt| match prompt {
        Prompt::Text(text) => text.clone(),
        Prompt::Tokens(tokens) => app.codec.decode(tokens),
        // Conversations are never echoed.
        Prompt::Chat(_) => String::new(),
    });
    texts.flat_map(|text| std::iter::repeat_n(text, order.n)).collect()
}

/// Waits for all texts and answers at once. Where the client goes away this is dropped, and the events with it, by which
/// the engine knows.
async fn whole(mut written: Written) -> Result<Response, Refusal> {
    let empty = Finished { text: String::new(), tokens: Vec::new(), finish: Finish::Length };
    let mut texts = vec![empty; written.n_texts];
    if let Some(echoes) = &written.echoes {
        texts.iter_mut().zip(echoes).for_each(|(text, echo)| text.text.push_str(echo));
    }
    let mut n_left = written.n_texts;
    while n_left > 0 {
        match written.next().await {
            Event::Wrote { choice, piece } => {
                texts[choice].text.push_str(&piece.text);
                if written.head.has_log_probabilities {
                    texts[choice].tokens.extend(piece.tokens);
                }
            }
            Event::Ended { choice, finish, .. } => {
                texts[choice].finish = finish;
                written.log_text(choice, &texts[choice].text);
                n_left -= 1;
            }
            Event::Failed(refusal) => return Err(refusal),
        }
    }
    written.log();
    Ok(json_response(StatusCode::OK, &written.head.whole(&texts, written.usage)))
}

/// How often a stream that has nothing to say shows that it lives.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A response of server-sent events must reach the client at once, through proxies too.
pub(crate) fn unbuffered(response: impl IntoResponse) -> Response<Body> {
    let mut response = response.into_response();
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}
