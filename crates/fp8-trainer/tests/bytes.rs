//! The same bytes from any number of threads and any instruction set, after some training steps of ResNet-18 in FP8.

mod common;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use common::TINY;
use fp8_kernels::CpuBackend;
use fp8_kernels::isa::Isa;
use fp8_trainer::{Config, RunOptions, train};

/// SHA-256 of the weights after the configuration's epochs of four steps.
fn digest(config: &Config, isa: Isa, threads: usize) -> String {
    let options = RunOptions {
        backend: Arc::new(CpuBackend::with(isa, threads).unwrap()),
        folder: None,
        resume: false,
        stop: &AtomicBool::new(false),
        observer: &mut |_| {},
    };
    let result = train(config, options).unwrap();
    assert_eq!((result.steps, result.skipped), (4 * u64::from(config.training.epochs), 0), "{isa}, {threads} threads");
    result.weights_digest
}

fn config(epochs: &str, width: &str) -> Config {
    let size = ["data.training=16", "training.batch=4", "data.validation=4", epochs, width];
    let numbers = ["training.learning_rate=0.01", "loss_scaling={kind = 'constant', scale = 256}"];
    Config::parse(TINY, &[&size[..], &numbers].concat()).unwrap()
}

/// Every instruction set but AMX, which sums in another order. A narrow network, so that it takes seconds; at full width and
/// on images of 32 the example `same_bytes` shows it.
#[test]
fn every_instruction_set_and_number_of_threads() {
    let config = config("training.epochs=5", "model.width=16");
    let expected = digest(&config, Isa::available()[0], 1);
    for isa in Isa::available().into_iter().filter(|isa| isa.name() != "amx") {
        for threads in [1, 2, 3] {
            assert_eq!(digest(&config, isa, threads), expected, "{isa}, {threads} threads");
        }
    }
}

/// Sums as long as they get; a few steps, as the scalar path takes seconds for each.
#[test]
fn full_width() {
    let config = config("training.epochs=1", "model.width=64");
    let fastest = fp8_kernels::isa::select().unwrap();
    assert_eq!(digest(&config, Isa::available()[0], 1), digest(&config, fastest, 3));
}
