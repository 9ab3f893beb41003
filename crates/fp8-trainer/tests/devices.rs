//! Some training steps of each network on the CPU and on a card: the same bytes. Where there is no card, the test says so and ends.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use fp8_kernels::Backend;
use fp8_trainer::{Config, Device, RunOptions, train};

const IMAGES: &str = "
    [model]
    architecture = 'resnet50'
    width = 16
    [data]
    kind = 'generated'
    size = 32
    training = 48
    validation = 16
    [training]
    epochs = 1
    batch = 16
    learning_rate = 0.01
    [loss_scaling]
    kind = 'constant'
    scale = 1000
";

const SENTENCES: &str = "
    task = 'translation'
    [data]
    kind = 'generated'
    training = 200
    validation = 8
    [loader]
    vocabulary = 400
    longest = 64
    [training]
    epochs = 1
    batch = 512
    learning_rate = 4e-3
    label_smoothing = 0.1
    clip_norm = 5.0
    [optimizer]
    kind = 'adamw'
    [loss_scaling]
    kind = 'back-off'
    initial = 1024
    growth_interval = 200
";

/// Digest of the weights after a run that skipped no step.
fn digest(config: &Config, backend: Arc<dyn Backend>) -> String {
    let options =
        RunOptions { backend, folder: None, resume: false, stop: &AtomicBool::new(false), observer: &mut |_| {} };
    let result = train(config, options).unwrap();
    assert!(result.steps > result.skipped, "skipped steps show nothing");
    result.weights_digest
}

#[test]
fn every_network_on_every_device() {
    let gpu = match "cuda,ordered".parse::<Device>().unwrap().open(None) {
        Ok(gpu) => gpu,
        Err(reason) => return eprintln!("nothing was tested: {reason}"),
    };
    let networks = [
        (IMAGES, "seed=1"),
        (SENTENCES, "model={architecture = 'gnmt', hidden = 32}"),
        (SENTENCES, "model={architecture = 'transformer', width = 32, heads = 2, feed_forward = 64}"),
    ];
    for (text, network) in networks {
        for recipe in ["fp8", "fp8-rne", "fp8-hybrid", "bf16", "fp32"] {
            let config = Config::parse(text, &[network, &format!("recipe={recipe}")]).unwrap();
            let cpu = Device::Cpu.open(None).unwrap();
            assert_eq!(digest(&config, gpu.clone()), digest(&config, cpu), "{network}, {recipe}");
        }
    }
}
