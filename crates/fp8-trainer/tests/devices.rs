//! Training steps of each network on the CPU and on a card: with sums in the CPU's order the same bytes, with those of tensor cores near them. Where
//! there is no card, the tests say so and end.

#[path = "common/place.rs"]
mod place;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use fp8_kernels::Backend;
use fp8_trainer::single::{StepFiles, step};
use fp8_trainer::{Config, Device, RunOptions, train};
use place::{Place, i64s};
use safetensors::{Dtype, SafeTensors};

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
        for recipe in ["fp8", "fp8-rne", "fp8-hybrid", "fp8-lean", "bf16", "fp32"] {
            let config = Config::parse(text, &[network, &format!("recipe={recipe}")]).unwrap();
            let cpu = Device::Cpu.open(None).unwrap();
            assert_eq!(digest(&config, gpu.clone()), digest(&config, cpu), "{network}, {recipe}");
        }
    }
}

/// Files of a step.
const WEIGHTS: &str = "run/weights.safetensors";
const CHANGED: &str = "changed.safetensors";
const BATCH: &str = "batch.safetensors";

/// What a step wrote: values by name.
type Outcome = BTreeMap<String, Vec<f32>>;

/// Relative L2 differences of what two steps found.
struct Differences {
    loss: f64,
    logits: f64,
    /// Of all gradients as one vector.
    gradients: f64,
}

/// The most by which a step on the card may differ from the CPU's, in units of what a step on the CPU differs from itself when its weights change by a
/// part in 2^20. Sums of FP32 in another order differ by less than that, those of tensor cores by more; either carries some values across zero in a ReLU or across
/// a threshold of rounding, and what then becomes of the gradients is the network's doing: of ResNet-50's, a few percent in FP32, all of them in FP8.
const MOST: f64 = 8.0;

fn difference(a: &[f32], b: &[f32]) -> [f64; 2] {
    let squares = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>();
    let apart = squares(&mut a.iter().zip(b).map(|(&a, &b)| f64::from(a) - f64::from(b)));
    [apart, squares(&mut b.iter().map(|&b| f64::from(b)))]
}

impl Differences {
    fn of(found: &Outcome, expected: &Outcome) -> Self {
        assert!(found.keys().eq(expected.keys()));
        let of = |is_it: &dyn Fn(&str) -> bool| {
            let names = expected.keys().filter(|name| is_it(name));
            let sums = names.map(|name| difference(&found[name], &expected[name]));
            let [apart, whole] = sums.fold([0.0; 2], |[a, b], [c, d]| [a + c, b + d]);
            (apart / whole).sqrt()
        };
        Self {
            loss: of(&|name| name == "loss"),
            logits: of(&|name| name == "logits"),
            gradients: of(&|name| name.starts_with("grad.")),
        }
    }
}

fn outcome(config: &Config, backend: Arc<dyn Backend>, folder: &Path, weights: &str) -> Outcome {
    let [weights, batch, output] = [weights, BATCH, "out"].map(|name| folder.join(name));
    let files = StepFiles { weights: &weights, batch: &batch, output: &output };
    assert_eq!(step(config, backend, &files, 0).unwrap().overflowed, [""; 0]);
    let bytes = std::fs::read(&output).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let values = |data: &[u8]| data.as_chunks().0.iter().map(|&code| f32::from_le_bytes(code)).collect();
    file.iter().map(|(name, tensor)| (name.to_string(), values(tensor.data()))).collect()
}

fn noise(len: usize) -> Vec<u8> {
    (0..len).flat_map(|i| (i as f32 * 12.9898).sin().to_le_bytes()).collect()
}

/// Sentences of `words` words, padded: of each row one less than of the row before, EOS after it.
fn sentences(first: Option<i64>, rows: usize, columns: usize, words: usize) -> Vec<i64> {
    let word = |row: usize, column: usize| match column {
        0 if first.is_some() => first.unwrap_or_default(),
        _ if column + row + 1 < columns => 4 + ((row * 7919 + column * 104_729) % (words - 4)) as i64,
        _ if column + row + 1 == columns => 2,
        _ => 0,
    };
    (0..rows).flat_map(|row| (0..columns).map(move |column| word(row, column))).collect()
}

/// The weights of a short run, the same changed by a part in 2^20 up or down, and a batch.
fn prepare(config: &Config, backend: Arc<dyn Backend>) -> Place {
    let place = Place::new("unused.toml", "");
    let (folder, stop) = (Some(place.path().join("run")), &AtomicBool::new(false));
    train(config, RunOptions { backend, folder, resume: false, stop, observer: &mut |_| {} }).unwrap();
    let bytes = place.read(WEIGHTS);
    let weights = SafeTensors::deserialize(&bytes).unwrap();
    let changed = |(at, code): (usize, &[u8; 4])| {
        let value = f32::from_le_bytes(*code);
        (if at * 7919 % 5 < 2 { value + value / 1_048_576.0 } else { value - value / 1_048_576.0 }).to_le_bytes()
    };
    let tensors = weights.tensors();
    let tensors = tensors.iter().map(|(name, tensor)| {
        let data = match tensor.dtype() {
            Dtype::F32 => tensor.data().as_chunks().0.iter().enumerate().flat_map(changed).collect(),
            _ => tensor.data().to_vec(),
        };
        (&**name, tensor.dtype(), tensor.shape(), data)
    });
    place.tensors(CHANGED, &tensors.collect::<Vec<_>>());
    match weights.tensor("embedder.weight") {
        Ok(words) => {
            let sentences = |first, columns| i64s(&sentences(first, 8, columns, words.shape()[0]));
            let source = ("source", Dtype::I64, &[8, 24][..], sentences(None, 24));
            place.tensors(BATCH, &[source, ("target", Dtype::I64, &[8, 25], sentences(Some(1), 25))]);
        }
        Err(_) => {
            let classes: Vec<i64> = (0..16).map(|row| row % 10).collect();
            let input = ("input", Dtype::F32, &[16, 3, 64, 64][..], noise(16 * 3 * 4096));
            place.tensors(BATCH, &[input, ("target", Dtype::I64, &[16], i64s(&classes))]);
        }
    }
    place
}

#[test]
fn a_step_on_tensor_cores_is_near_the_cpus() {
    let open = |name: &str| name.parse::<Device>().unwrap().open(None);
    let gpu = match open("cuda,ordered") {
        Ok(gpu) => gpu,
        Err(reason) => return eprintln!("nothing was tested: {reason}"),
    };
    let networks = [
        ("ResNet-50", IMAGES, "model={architecture = 'resnet50'}"),
        ("GNMT, small", SENTENCES, "model={architecture = 'gnmt', hidden = 256}"),
        ("Transformer, small", SENTENCES, "model={architecture = 'transformer'}"),
    ];
    let mut far = Vec::new();
    println!("| network | recipe | | loss | logits | gradients |\n|---|---|---|---:|---:|---:|");
    for (name, text, network) in networks {
        let config = |more: [&str; 2]| Config::parse(text, &[&[network][..], &more].concat()).unwrap();
        let place = prepare(&config(["recipe=fp32", "seed=0"]), gpu.clone());
        for recipe in ["fp32", "bf16", "fp8"] {
            let config = config([&format!("recipe={recipe}"), "seed=1"]);
            let outcome = |device, weights| outcome(&config, open(device).unwrap(), place.path(), weights);
            let expected = outcome("cpu", WEIGHTS);
            let of = |what: &str, found: &Outcome| {
                let differences = Differences::of(found, &expected);
                let Differences { loss, logits, gradients } = differences;
                println!("| {name} | {recipe} | {what} | {loss:.1e} | {logits:.1e} | {gradients:.1e} |");
                differences
            };
            let own = of("weights changed", &outcome("cpu", CHANGED));
            for device in ["cuda,exact", "cuda,promoted", "cuda,fast"] {
                let found = of(device, &outcome(device, WEIGHTS));
                let is_near = found.logits <= MOST * own.logits && found.gradients <= MOST * own.gradients;
                if !is_near && device != "cuda,fast" {
                    far.push(format!("{name}, {recipe}, {device}"));
                }
            }
        }
    }
    assert!(far.is_empty(), "farther than {MOST} times what a part in 2^20 of the weights makes: {}", far.join("; "));
}
