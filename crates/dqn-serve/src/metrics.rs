//! What is counted, in the text format of Prometheus.

use prometheus::core::Collector;
use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};

/// Counters of a server. Cloning shares them.
#[derive(Clone)]
pub(crate) struct Metrics {
    registry: Registry,
    /// Answers by route and status.
    pub(crate) requests: IntCounterVec,
    /// Seconds from the head of a request to the head of its answer, by route.
    pub(crate) request_seconds: HistogramVec,
    pub(crate) connections: IntGauge,
    pub(crate) waiting: IntGauge,
    pub(crate) running: IntGauge,
    pub(crate) prompt_tokens: IntCounter,
    pub(crate) generated_tokens: IntCounter,
    pub(crate) first_token_seconds: Histogram,
    pub(crate) token_seconds: Histogram,
    pub(crate) batch_texts: Histogram,
    pub(crate) cancelled: IntCounter,
    pub(crate) out_of_time: IntCounter,
}

const SECONDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];
const TEXTS: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];

impl Metrics {
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counter = |name, help| registered(&registry, IntCounter::new(name, help)?);
        let gauge = |name, help| registered(&registry, IntGauge::new(name, help)?);
        let histogram = |name, help, buckets: &[f64]| {
            registered(&registry, Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))?)
        };
        let requests = Opts::new("dqn_requests_total", "Requests answered, by route and status.");
        let request_seconds = HistogramOpts::new(
            "dqn_request_seconds",
            "Seconds from the head of a request to the head of its answer, which for a stream comes first.",
        );
        Ok(Self {
            requests: registered(&registry, IntCounterVec::new(requests, &["route", "status"])?)?,
            request_seconds: registered(
                &registry,
                HistogramVec::new(request_seconds.buckets(SECONDS.to_vec()), &["route"])?,
            )?,
            connections: gauge("dqn_connections", "Open connections.")?,
            waiting: gauge("dqn_waiting_texts", "Texts that wait for a slot.")?,
            running: gauge("dqn_running_texts", "Texts that are being written.")?,
            prompt_tokens: counter("dqn_prompt_tokens_total", "Tokens of prompts read by the model.")?,
            generated_tokens: counter("dqn_generated_tokens_total", "Tokens written by the model.")?,
            first_token_seconds: histogram(
                "dqn_first_token_seconds",
                "Seconds from a request's way into the queue to the first token of a text.",
                &SECONDS,
            )?,
            token_seconds: histogram("dqn_token_seconds", "Seconds between two tokens of a text.", &SECONDS)?,
            batch_texts: histogram("dqn_batch_texts", "Texts that a step wrote a token of.", &TEXTS)?,
            cancelled: counter("dqn_cancelled_texts_total", "Texts whose client went away or whose time was over.")?,
            out_of_time: counter("dqn_out_of_time_requests_total", "Requests that took longer than they may.")?,
            registry,
        })
    }

    /// The media type of [`Metrics::text`].
    pub(crate) const FORMAT: &'static str = prometheus::TEXT_FORMAT;

    /// All of them as text.
    pub(crate) fn text(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

fn registered<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> Result<C, prometheus::Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}
