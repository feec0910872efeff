//! Connections: accepted, served, and brought to an end.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::task::JoinSet;

use crate::chat::Template;
use crate::config::ServerConfig;
use crate::engine::{Codec, Engine, ModelCard};
use crate::error::ServeError;
use crate::metrics::Metrics;
use crate::patience::Patient;
use crate::routes::{self, Parts};
use crate::scheduler::{Phase, Room, Scheduler};

/// Largest head of a request, in bytes.
const HEAD_BYTES: usize = 64 << 10;
/// Prompts that become tokens at a time.
const N_ENCODERS: usize = 2;
/// Threads that serve connections under [`Server::run_blocking`]. They only wait and copy; the engine does the work.
const N_THREADS: usize = 2;
/// How long answers that say why they were given up may take to be sent.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long to wait where the system has no more sockets.
const OUT_OF_SOCKETS: Duration = Duration::from_millis(50);

/// A server that listens, and answers once it runs.
pub struct Server {
    listener: StdListener,
    address: SocketAddr,
    config: ServerConfig,
    engine: Box<dyn Engine>,
    card: ModelCard,
    codec: Arc<dyn Codec>,
    template: Option<Template>,
    metrics: Metrics,
    phase: watch::Sender<Phase>,
}

/// Ends a server from elsewhere, such as the handler of a signal.
#[derive(Clone, Debug)]
pub struct ShutdownHandle {
    phase: watch::Sender<Phase>,
}

impl ShutdownHandle {
    /// Ends the server: the first time once its requests are finished, the second time at once.
    pub fn shut_down(&self) {
        self.phase.send_modify(|phase| {
            *phase = if *phase == Phase::Open { Phase::Draining } else { Phase::Aborting };
        });
    }
}

impl Server {
    /// Listens at an address, without answering yet.
    ///
    /// # Errors
    /// Settings that make no sense or are not safe, a chat template that is not Jinja, an address that is taken.
    pub fn bind(config: ServerConfig, engine: impl Engine + 'static) -> Result<Self, ServeError> {
        let card = engine.card();
        config.check(&card)?;
        let template = card.chat.as_ref().map(Template::new).transpose()?;
        let metrics =
            Metrics::new().map_err(|error| ServeError::System { action: "count", source: io::Error::other(error) })?;
        let listen = || {
            let listener = StdListener::bind(config.bind)?;
            listener.set_nonblocking(true)?;
            Ok((listener.local_addr()?, listener))
        };
        let (address, listener) = listen().map_err(|source| ServeError::Bind { address: config.bind, source })?;
        let (codec, phase) = (engine.codec(), watch::Sender::new(Phase::Open));
        Ok(Self { listener, address, config, engine: Box::new(engine), card, codec, template, metrics, phase })
    }

    /// Where it listens, with the port that was free where 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// What ends it.
    pub fn shutdown_handle(&self) -> ShutdownHandle {
        ShutdownHandle { phase: self.phase.clone() }
    }

    /// Answers until [`ShutdownHandle::shut_down`], on threads of its own.
    ///
    /// # Errors
    /// See [`Server::run`].
    pub fn run_blocking(self) -> Result<(), ServeError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(N_THREADS)
            .max_blocking_threads(N_ENCODERS)
            .thread_name("serve")
            .enable_all()
            .build()
            .map_err(|source| ServeError::System { action: "start its threads", source })?;
        runtime.block_on(self.run(std::future::pending()))
    }

    /// Answers until a future is ready or [`ShutdownHandle::shut_down`] is called. Then no more connections are taken,
    /// running requests have [`crate::Limits::shutdown_time`] to finish, and what is left is told that it was given up.
    ///
    /// # Errors
    /// The engine panicked or broke its contract, or the system gave no thread.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
        let Self { listener, config, engine, card, codec, template, metrics, phase, .. } = self;
        let listener =
            TcpListener::from_std(listener).map_err(|source| ServeError::System { action: "listen", source })?;
        let limits = config.limits.clone();
        let room = Room {
            running: limits.running_texts.min(card.n_slots),
            waiting: limits.waiting_texts,
            prompt_tokens_per_step: limits.prompt_tokens_per_step,
        };
        let (scheduler, engine_end) = Scheduler::start(engine, room, metrics.clone())
            .map_err(|source| ServeError::System { action: "start the engine's thread", source })?;
        let encoders = Semaphore::new(N_ENCODERS);
        let parts =
            Parts { config, card, codec, template, scheduler: scheduler.clone(), metrics: metrics.clone(), encoders };
        let gate = Gate {
            listener,
            permits: Arc::new(Semaphore::new(limits.connections)),
            doorman: Doorman {
                router: routes::router(Arc::new(parts)),
                read_time: limits.read_time,
                write_time: limits.write_time,
                phase: phase.subscribe(),
                metrics,
            },
        };
        let mut engine_end = EngineEnd { receiver: engine_end, result: None };
        let mut connections = JoinSet::new();
        tokio::select! {
            () = shutdown => {}
            () = reached(phase.subscribe(), Phase::Draining) => {}
            () = engine_end.wait() => {}
            () = gate.serve(&mut connections) => {}
        }
        // Who finds the door closed may rely on it that nothing new is begun.
        scheduler.set_phase(Phase::Draining);
        phase.send_modify(|phase| *phase = (*phase).max(Phase::Draining));
        drop(gate);
        tracing::info!(n_connections = connections.len(), "shutting down");
        tokio::select! {
            () = all_over(&mut connections) => {}
            () = tokio::time::sleep(limits.shutdown_time) => {}
            () = reached(phase.subscribe(), Phase::Aborting) => {}
        }
        scheduler.set_phase(Phase::Aborting);
        if tokio::time::timeout(LAST_WORDS, all_over(&mut connections)).await.is_err() {
            connections.shutdown().await;
        }
        engine_end.wait().await;
        match engine_end.result {
            Some(Err(message)) => Err(ServeError::EngineStopped { message }),
            _ => Ok(()),
        }
    }
}

/// How the engine's thread ended, once it has.
struct EngineEnd {
    receiver: oneshot::Receiver<Result<(), String>>,
    result: Option<Result<(), String>>,
}

impl EngineEnd {
    async fn wait(&mut self) {
        if self.result.is_none() {
            let lost = Err("its thread is gone".to_owned());
            self.result = Some((&mut self.receiver).await.unwrap_or(lost));
        }
    }
}

async fn reached(mut phase: watch::Receiver<Phase>, least: Phase) {
    // It cannot be told any more where who would tell is gone, which is an end as well.
    drop(phase.wait_for(|phase| *phase >= least).await);
}

async fn all_over(connections: &mut JoinSet<()>) {
    while connections.join_next().await.is_some() {}
}

/// Where connections come in.
struct Gate {
    listener: TcpListener,
    permits: Arc<Semaphore>,
    doorman: Doorman,
}

impl Gate {
    /// Serves connections for ever.
    async fn serve(&self, connections: &mut JoinSet<()>) {
        loop {
            let (stream, permit) = self.accept().await;
            connections.spawn(self.doorman.clone().serve(stream, permit));
            while connections.try_join_next().is_some() {}
        }
    }

    /// The next connection, once there are not too many.
    async fn accept(&self) -> (TcpStream, Option<OwnedSemaphorePermit>) {
        // The semaphore is never closed; without a permit the connection would only not be counted.
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok();
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => return (stream, permit),
                Err(error) => {
                    tracing::warn!(%error, "no connection could be accepted");
                    tokio::time::sleep(OUT_OF_SOCKETS).await;
                }
            }
        }
    }
}

/// What serves one connection.
#[derive(Clone)]
struct Doorman {
    router: Router,
    read_time: Duration,
    write_time: Duration,
    phase: watch::Receiver<Phase>,
    metrics: Metrics,
}

impl Doorman {
    async fn serve(self, stream: TcpStream, _permit: Option<OwnedSemaphorePermit>) {
        let Self { router, read_time, write_time, phase, metrics } = self;
        // Without it the pieces of a stream would wait for one another; it is slower and right where this fails.
        let _ = stream.set_nodelay(true);
        metrics.connections.inc();
        let io = TokioIo::new(Patient::new(stream, write_time));
        // A client that closes its side is taken to be gone, so that nothing is written for nobody.
        let mut connection = pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(read_time)
                .max_buf_size(HEAD_BYTES)
                .half_close(false)
                .serve_connection(io, TowerToHyperService::new(router))
        );
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = reached(phase, Phase::Draining) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = result {
            tracing::debug!(%error, "a connection broke");
        }
        metrics.connections.dec();
    }
}
