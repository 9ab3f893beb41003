//! Where the memory of a training step of ResNet-18 goes, by role and recipe, as a table in Markdown.
//!
//!     cargo run --release -p fp8-models --example memory [BATCH]

use std::error::Error;
use std::sync::Arc;

use fp8_autograd::{Graph, Optimizer, OptimizerRule, Parameters, Recipe, Step};
use fp8_kernels::{Backend, CpuBackend};
use fp8_models::{Architecture, ResNet, ResNetConfig, Stem};

const SIZE: usize = 32;
const RECIPES: [&str; 4] = ["fp32", "bf16", "fp8", "base = 'fp8'\nname = 'fp8, none exempt'\n[exempt]\nlayers = []"];

/// Name and bytes of each row.
type Rows = Vec<(&'static str, usize)>;

/// One training step, and what it held.
fn step(recipe: Recipe, batch: usize) -> Result<Rows, Box<dyn Error>> {
    let backend: Arc<dyn Backend> = Arc::new(CpuBackend::new()?);
    let mut parameters = Parameters::new(backend.clone(), Arc::new(recipe));
    let network = ResNet::new(&ResNetConfig::new(Architecture::ResNet18, Stem::Cifar, 10), &mut parameters, 1)?;
    let held = || backend.memory().held;
    let masters: usize = parameters.iter().map(|(_, parameter)| parameter.master().bytes()).sum();
    let own_copy = |parameter: &fp8_autograd::Parameter| {
        let working = parameter.working().buffer;
        if std::ptr::eq(&*working, parameter.master()) { 0 } else { working.bytes() }
    };
    let working: usize = parameters.iter().map(|(_, parameter)| own_copy(parameter)).sum();
    let model = held();

    backend.reset_peak();
    let step = Step::training(1, 0, 1024.0);
    let images: Vec<f32> = (0..batch * SIZE * SIZE * 3).map(|i| (i as f32 * 0.7).sin()).collect();
    let targets: Vec<u32> = (0..batch).map(|row| row as u32 % 10).collect();
    let mut graph = Graph::new(&parameters, step);
    let x = graph.input(&[batch, SIZE, SIZE, 3], &images)?;
    let logits = network.forward(&mut graph, &x)?;
    let loss = graph.cross_entropy(&logits, &targets, 0.0)?;
    drop((x, logits));
    let saved = held() - model;
    let forward = backend.memory().peak - model - saved;
    let gradients = graph.backward(&loss)?;
    drop(loss);
    let left = held() - model;
    let peak = backend.memory().peak;
    let rule = OptimizerRule::Sgd { momentum: 0.9, dampening: 0.0, nesterov: false, weight_decay: 0.0 };
    Optimizer::new(rule).step(&mut parameters, &gradients, 0.1, &step)?;
    drop(gradients);
    let moments = held() - model;
    Ok(vec![
        ("masters", masters),
        ("working copies", working),
        ("moments (SGD: one)", moments),
        ("running statistics", model - masters - working),
        ("saved for the backward pass", saved),
        ("beyond that in the forward pass, at most", forward),
        ("gradients and batch statistics", left),
        ("peak of forward and backward pass, parameters and moments included", peak + moments),
    ])
}

fn main() -> Result<(), Box<dyn Error>> {
    let batch = std::env::args().nth(1).map_or(Ok(4), |batch| batch.parse())?;
    let recipe = |name: &&str| if name.contains('=') { Recipe::parse(name) } else { Recipe::named(name) };
    let recipes = RECIPES.iter().map(recipe).collect::<Result<Vec<_>, _>>()?;
    println!("bytes, batch {batch}, {SIZE}x{SIZE}; in brackets: share of fp32's\n");
    println!("| what | {} |", recipes.iter().map(|recipe| &*recipe.name).collect::<Vec<_>>().join(" | "));
    println!("|---|{}", "---:|".repeat(recipes.len()));
    let columns = recipes.into_iter().map(|recipe| step(recipe, batch)).collect::<Result<Vec<Rows>, _>>()?;
    for (row, (name, whole)) in columns[0].iter().enumerate() {
        let share = |bytes: usize| match whole {
            0 => bytes.to_string(),
            whole => format!("{bytes} ({:.3})", bytes as f64 / *whole as f64),
        };
        let cells = columns.iter().map(|column| share(column[row].1));
        println!("| {name} | {} |", cells.collect::<Vec<_>>().join(" | "));
    }
    Ok(())
}
