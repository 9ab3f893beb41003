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
        for recipe in ["fp8", "fp8-rne", "fp8-hybrid", "bf16", "fp32"] {
            let config = Config::parse(text, &[network, &format!("recipe={recipe}")]).unwrap();
            let cpu = Device::Cpu.open(None).unwrap();
            assert_eq!(digest(&config, gpu.clone()), digest(&config, cpu), "{network}, {recipe}");
        }
    }
}

/// What a step wrote: values by name.
type Outcome = BTreeMap<String, Vec<f32>>;

/// Relative L2 differences of what two steps found.
struct Differences {
    loss: f64,
    logits: f64,
    /// Of all gradients as one vector.
    gradients: f64,
}

/// The largest differences from the CPU that a step on the card may have; a bound for each recipe. Sums of FP32 differ by their order. Those of
/// FP8 differ by what tensor cores keep, and where that carries a value across a threshold of rounding, by a whole code; what rounds by other
/// random bits, a step of the same network under another seed, is the measure of that.
struct Bounds {
    recipe: &'static str,
    loss: f64,
    logits: f64,
    gradients: f64,
}

const BOUNDS: [Bounds; 3] = [
    Bounds { recipe: "fp32", loss: 1e-5, logits: 1e-4, gradients: 1e-3 },
    Bounds { recipe: "bf16", loss: 1e-2, logits: 5e-2, gradients: 0.2 },
    Bounds { recipe: "fp8", loss: 1e-2, logits: 0.1, gradients: 0.5 },
];

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

fn outcome(config: &Config, backend: Arc<dyn Backend>, folder: &Path) -> Outcome {
    let [weights, batch, output] =
        ["run/weights.safetensors", "batch.safetensors", "out"].map(|name| folder.join(name));
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

#[test]
fn a_step_on_tensor_cores_is_near_the_cpus() {
    let open = |name: &str| name.parse::<Device>().unwrap().open(None);
    let gpu = match open("cuda,ordered") {
        Ok(gpu) => gpu,
        Err(reason) => return eprintln!("nothing was tested: {reason}"),
    };
    let cpu = open("cpu").unwrap();
    let networks = [
        ("ResNet-50", IMAGES, "model={architecture = 'resnet50'}"),
        ("GNMT, small", SENTENCES, "model={architecture = 'gnmt', hidden = 256}"),
        ("Transformer, small", SENTENCES, "model={architecture = 'transformer'}"),
    ];
    let mut is_near = true;
    println!("| network | recipe | device | loss | logits | gradients |\n|---|---|---|---:|---:|---:|");
    for (name, text, network) in networks {
        let config = |more: &[&str]| Config::parse(text, &[&[network], more].concat()).unwrap();
        let place = Place::new("unused.toml", "");
        let options = RunOptions {
            backend: gpu.clone(),
            folder: Some(place.path().join("run")),
            resume: false,
            stop: &AtomicBool::new(false),
            observer: &mut |_| {},
        };
        train(&config(&["recipe=fp32"]), options).unwrap();
        let weights = std::fs::read(place.path().join("run/weights.safetensors")).unwrap();
        let weights = SafeTensors::deserialize(&weights).unwrap();
        let words = weights.tensor("embedder.weight").map_or(0, |tensor| tensor.shape()[0]);
        match words {
            0 => place.tensors(
                "batch.safetensors",
                &[
                    ("input", Dtype::F32, &[16, 3, 64, 64], noise(16 * 3 * 4096)),
                    ("target", Dtype::I64, &[16], i64s(&std::array::from_fn::<_, 16, _>(|row| row as i64 % 10))),
                ],
            ),
            words => place.tensors(
                "batch.safetensors",
                &[
                    ("source", Dtype::I64, &[8, 24], i64s(&sentences(None, 8, 24, words))),
                    ("target", Dtype::I64, &[8, 25], i64s(&sentences(Some(1), 8, 25, words))),
                ],
            ),
        }
        for bounds in BOUNDS {
            let config = |seed: &str| config(&[&format!("recipe={}", bounds.recipe), seed]);
            let expected = outcome(&config("seed=1"), cpu.clone(), place.path());
            let of = |device: &str, found: &Outcome| {
                let differences = Differences::of(found, &expected);
                let Differences { loss, logits, gradients } = differences;
                println!("| {name} | {} | {device} | {loss:.1e} | {logits:.1e} | {gradients:.1e} |", bounds.recipe);
                differences
            };
            for device in ["cuda,exact", "cuda,promoted", "cuda,fast"] {
                let found = of(device, &outcome(&config("seed=1"), open(device).unwrap(), place.path()));
                if device != "cuda,fast" {
                    is_near &= found.loss < bounds.loss;
                    is_near &= found.logits < bounds.logits;
                    is_near &= found.gradients < bounds.gradients;
                }
            }
            of("cpu, another seed", &outcome(&config("seed=2"), cpu.clone(), place.path()));
        }
    }
    assert!(is_near, "a difference is larger than its bound");
}
