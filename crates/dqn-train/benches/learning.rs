//! Transitions learned a second and tokens acted a second, the sequence batch and the incremental step beside the naive
//! way; and what one more token costs after a text of some length.
//!
//! Learning: one update of double DQN (Huber loss, Adam, gradient clipping) on 64 windows of 32 steps. The naive way is
//! one transition a window with its whole prefix as context, so that the network reads the same text again for every
//! step. Acting: 32 texts that grow to 32 tokens. The naive way reads the whole prefix anew for every action. Position:
//! one token of 32 texts after 1 to 512 tokens, on flex.
//!
//! Run with `cargo xtask bench`, a part of it with `cargo xtask bench learn/gru/1000/flex`; criterion prints elements a
//! second, which are transitions or tokens.

mod shapes;

use burn::tensor::Device;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

use crate::shapes::{Acting, Learning, POSITIONS, Reading, VOCABULARIES, Way};

#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[expect(deprecated, reason = "burn-ndarray is one of the backends this project promises")]
fn devices() -> [(&'static str, Device); 2] {
    [("flex", Device::flex()), ("ndarray", Device::ndarray())]
}

// What a benchmark works on is made when it first runs, so that a filter leaves out the work as well.

fn learning(criterion: &mut Criterion) {
    for vocabulary in VOCABULARIES {
        for (backend, device) in devices() {
            for (name, torso) in shapes::torsos() {
                let mut group = criterion.benchmark_group(format!("learn/{name}/{vocabulary}/{backend}"));
                group.sample_size(10);
                for (way_name, way) in [("sequence", Way::Sequence), ("naive", Way::Naive)] {
                    let mut learning = None;
                    group.throughput(Throughput::Elements(way.n_transitions() as u64));
                    group.bench_function(BenchmarkId::from_parameter(way_name), |bencher| {
                        let learning = learning.get_or_insert_with(|| Learning::new(&torso, vocabulary, way, &device));
                        bencher.iter(|| learning.update());
                    });
                }
                group.finish();
            }
        }
    }
}

fn acting(criterion: &mut Criterion) {
    for vocabulary in VOCABULARIES {
        for (backend, device) in devices() {
            for (name, torso) in shapes::torsos() {
                let mut acting = None;
                let mut group = criterion.benchmark_group(format!("act/{name}/{vocabulary}/{backend}"));
                group.sample_size(10);
                group.throughput(Throughput::Elements(Acting::N_TRANSITIONS as u64));
                for (way, act) in [("incremental", Acting::incremental as fn(&Acting)), ("naive", Acting::anew)] {
                    group.bench_function(way, |bencher| {
                        let acting = acting.get_or_insert_with(|| Acting::new(&torso, vocabulary, &device));
                        bencher.iter(|| act(acting));
                    });
                }
                group.finish();
            }
        }
    }
}

fn position(criterion: &mut Criterion) {
    for (name, torso) in shapes::torsos() {
        let mut group = criterion.benchmark_group(format!("position/{name}"));
        group.sample_size(10);
        group.throughput(Throughput::Elements(Reading::N_TEXTS as u64));
        for position in POSITIONS {
            let mut reading = None;
            group.bench_function(BenchmarkId::from_parameter(position), |bencher| {
                let reading = reading.get_or_insert_with(|| Reading::new(&torso, position, &Device::flex()));
                bencher.iter(|| reading.step());
            });
        }
        group.finish();
    }
}

criterion_group!(benches, learning, acting, position);
criterion_main!(benches);
