//! A network of two layers learns to tell a ring from the disc inside it, in FP32 and in FP8 side by side.
//!
//!     cargo run -p fp8-autograd --example side_by_side

use std::sync::Arc;

use fp8_autograd::{
    Graph, Kind, LossScaler, Optimizer, OptimizerRule, ParameterId, Parameters, Recipe, Result, Role, Step,
};
use fp8_core::Stream;
use fp8_kernels::CpuBackend;

const POINTS: usize = 256;
const HIDDEN: usize = 32;
const STEPS: u32 = 200;

/// One network in one precision.
struct Run {
    parameters: Parameters,
    hidden: [ParameterId; 2],
    fc: [ParameterId; 2],
    optimizer: Optimizer,
    scaler: LossScaler,
}

/// What a step reports.
struct Report {
    loss: f32,
    accuracy: f32,
    /// Bytes that wait for the backward pass.
    saved: usize,
}

impl Run {
    fn new(recipe: &str) -> Result<Self> {
        let recipe = Recipe::named(recipe)?;
        let scaler = LossScaler::new(recipe.loss_scaling.clone())?;
        let mut parameters = Parameters::new(Arc::new(CpuBackend::new()?), Arc::new(recipe));
        let mut layer = |name: &str, inputs: usize, outputs: usize| -> Result<[ParameterId; 2]> {
            let limit = 1.0 / (inputs as f32).sqrt();
            let first: Vec<f32> = uniform(name, inputs * outputs).map(|u| limit * u).collect();
            let weight = parameters.add(&format!("{name}.weight"), Kind::Weight, &[outputs, inputs], &first)?;
            Ok([weight, parameters.add(&format!("{name}.bias"), Kind::Bias, &[outputs], &vec![0.0; outputs])?])
        };
        let (hidden, fc) = (layer("hidden", 2, HIDDEN)?, layer("fc", HIDDEN, 2)?);
        let rule = OptimizerRule::Sgd { momentum: 0.9, dampening: 0.0, nesterov: false, weight_decay: 0.0 };
        Ok(Self { parameters, hidden, fc, optimizer: Optimizer::new(rule), scaler })
    }

    fn step(&mut self, number: u32, points: &[f32], classes: &[u32]) -> Result<Report> {
        let step = Step::training(1, number, self.scaler.scale());
        let backend = self.parameters.backend().clone();
        let before = backend.memory().held;
        let mut graph = Graph::new(&self.parameters, step);
        let x = graph.input(&[POINTS, 2], points)?;
        let x = graph.linear(&x, self.hidden[0], Some(self.hidden[1]), Role::Activation)?;
        let x = graph.relu("relu", &x)?;
        let logits = graph.linear(&x, self.fc[0], Some(self.fc[1]), Role::Logits)?;
        let values = logits.tensor().to_f32(&*backend)?;
        let loss = graph.cross_entropy(&logits, classes, 0.0)?;
        let saved = backend.memory().held - before;
        let gradients = graph.backward(&loss)?;
        let report = self.optimizer.step(&mut self.parameters, &gradients, 0.2, &step)?;
        self.scaler.update(report.overflowed);
        let right = values.chunks(2).zip(classes).filter(|(row, class)| u32::from(row[1] > row[0]) == **class).count();
        Ok(Report { loss: loss.value()?, accuracy: right as f32 / POINTS as f32, saved })
    }
}

/// Numbers in -1..1.
fn uniform(name: &str, len: usize) -> impl Iterator<Item = f32> {
    let stream = Stream { seed: 1, step: 0, id: Stream::id(name) };
    (0..len).map(move |i| stream.draw(i as u64, 24) as f32 / (1 << 23) as f32 - 1.0)
}

fn main() -> Result<()> {
    let points: Vec<f32> = uniform("points", 2 * POINTS).collect();
    let classes: Vec<u32> = points.chunks(2).map(|p| u32::from(p[0] * p[0] + p[1] * p[1] > 0.5)).collect();
    let (mut fp32, mut fp8) = (Run::new("fp32")?, Run::new("fp8")?);
    println!("{:>6} {:>12} {:>12} {:>12} {:>12}", "step", "loss fp32", "loss fp8", "right fp32", "right fp8");
    for number in 0..STEPS {
        let [a, b] = [fp32.step(number, &points, &classes)?, fp8.step(number, &points, &classes)?];
        if number == 0 {
            println!("bytes that wait for the backward pass: {} in fp32, {} in fp8", a.saved, b.saved);
        }
        if number % 40 == 0 || number == STEPS - 1 {
            println!("{number:>6} {:>12.4} {:>12.4} {:>12.3} {:>12.3}", a.loss, b.loss, a.accuracy, b.accuracy);
        }
    }
    Ok(())
}
