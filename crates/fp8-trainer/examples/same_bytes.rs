//! Twenty steps of ResNet-18 in FP8 on images of 32, on every instruction set and 1, 2 and 3 threads: the same bytes.
//! Minutes: `cargo xtask check --exhaustive` runs it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use fp8_kernels::CpuBackend;
use fp8_kernels::isa::Isa;
use fp8_trainer::{Config, RunOptions, train};

const CONFIG: &str = "
    [data]
    kind = 'generated'
    training = 160
    validation = 16
    [training]
    epochs = 2
    batch = 16
    learning_rate = 0.01
    [loss_scaling]
    kind = 'constant'
    scale = 1000
";

fn main() -> anyhow::Result<()> {
    let none: [&str; 0] = [];
    let config = Config::parse(CONFIG, &none)?;
    let mut digests = Vec::new();
    // AMX sums in another order.
    for isa in Isa::available().into_iter().rev().filter(|isa| isa.name() != "amx") {
        for threads in [1, 2, 3] {
            let options = RunOptions {
                backend: Arc::new(CpuBackend::with(isa, threads)?),
                folder: None,
                resume: false,
                stop: &AtomicBool::new(false),
                observer: &mut |_| {},
            };
            let result = train(&config, options)?;
            let (steps, skipped, digest) = (result.steps, result.skipped, result.weights_digest);
            println!(
                "{isa:>7}, {threads} threads: {steps} steps, {skipped} skipped, {:.0} s, sha256 {digest}",
                result.seconds
            );
            anyhow::ensure!(skipped == 0, "a skipped step shows nothing");
            digests.push(digest);
        }
    }
    anyhow::ensure!(digests.iter().all(|digest| *digest == digests[0]), "the bytes differ");
    Ok(())
}
