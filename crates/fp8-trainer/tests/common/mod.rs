//! What the tests of this crate share.

#[path = "../../../fp8-autograd/tests/common/reference.rs"]
mod reference;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fp8_kernels::Backend;
use fp8_trainer::{Config, Event, Result, RunOptions, RunResult, train};

/// The backend.
pub fn backend() -> Arc<dyn Backend> {
    Arc::new(reference::Reference::default())
}

/// A narrow ResNet-18 on few small images: two epochs of four steps.
pub const TINY: &str = "
    [model]
    width = 4
    [data]
    kind = 'generated'
    size = 8
    training = 32
    validation = 12
    [training]
    epochs = 2
    batch = 8
    validation_batch = 5
    learning_rate = 0.05
    [log]
    every_steps = 1
    [loader]
    workers = 1
";

/// [`TINY`] with some fields set.
pub fn tiny(overrides: &[&str]) -> Config {
    Config::parse(TINY, overrides).unwrap()
}

/// Runs until the end or until so many steps are done.
pub fn run(config: &Config, folder: Option<PathBuf>, resume: bool, stop_after: Option<u64>) -> Result<RunResult> {
    let stop = AtomicBool::new(false);
    let observer = &mut |event: &Event<'_>| {
        if let Event::Step(record) = event
            && stop_after == Some(record.step + 1)
        {
            stop.store(true, Ordering::Relaxed);
        }
    };
    train(config, RunOptions { backend: backend(), folder, resume, stop: &stop, observer })
}
