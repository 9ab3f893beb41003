//! Training steps of a network on a batch that stays the same.

use std::sync::Arc;

use anyhow::{Result, ensure};
use fp8_autograd::{Graph, Loss, Optimizer, OptimizerRule, Parameters, Recipe, Step};
use fp8_kernels::Backend;
use serde_json::Value;

use super::work::{Contender, Work};
use super::{Ours, Prepare, shapes};

const LOSS_SCALE: f32 = 1024.0;
const LEARNING_RATE: f32 = 0.001;

/// From a batch to its loss.
pub type Forward = Box<dyn Fn(&mut Graph<'_>) -> Result<Loss> + Send>;

/// A network and its batch.
#[derive(Clone, Copy)]
pub struct Problem {
    /// As in tables.
    pub name: &'static str,
    /// Unit of speed.
    pub unit: &'static str,
    /// What a step trains on, in that unit times seconds.
    pub amount: usize,
    /// Adds the network's parameters.
    pub build: fn(&mut Parameters) -> Result<Forward>,
    /// The peer's work, but for its mode.
    pub peer: fn() -> Value,
}

/// The training steps of a row, ours by its recipes and the peer's by its modes.
pub fn work(row: &'static shapes::Training) -> Prepare {
    Box::new(move |ours: &Ours| {
        let (problem, amount) = (row.problem, row.problem.amount as f64);
        let mut contenders = Vec::new();
        for &(recipe, against) in row.ours {
            let backend = ours.backend()?;
            let mut training = Training::new(backend.clone(), Recipe::named(recipe)?, problem)?;
            let contender = Contender::ours(recipe, amount, &backend, move || training.step(&mut |_| ()))?;
            contenders.push(contender.against(against).telling_peak());
        }
        let peers = row.peers.iter().map(|mode| Contender::mode(mode, amount, (problem.peer)()).telling_peak());
        contenders.extend(peers);
        Ok(Work { name: problem.name.into(), unit: problem.unit, contenders })
    })
}

/// What has just been done in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The loss is known; what the backward pass needs is held.
    Forward,
    /// The gradients are held.
    Backward,
    /// The parameters are updated, the gradients gone.
    Update,
}

/// A network in training: SGD with momentum.
pub struct Training {
    pub parameters: Parameters,
    forward: Forward,
    optimizer: Optimizer,
    steps: u32,
}

impl Training {
    pub fn new(backend: Arc<dyn Backend>, recipe: Recipe, problem: Problem) -> Result<Self> {
        let mut parameters = Parameters::new(backend, Arc::new(recipe));
        let forward = (problem.build)(&mut parameters)?;
        let rule = OptimizerRule::Sgd { momentum: 0.9, dampening: 0.0, nesterov: false, weight_decay: 1e-4 };
        Ok(Self { parameters, forward, optimizer: Optimizer::new(rule), steps: 0 })
    }

    /// One step: forward, loss, backward, update.
    ///
    /// # Errors
    /// When an overflow would have skipped the update: a step that is not whole is not worth measuring.
    pub fn step(&mut self, observe: &mut dyn FnMut(Phase)) -> Result<()> {
        let step = Step::training(1, self.steps, LOSS_SCALE);
        self.steps += 1;
        let mut graph = Graph::new(&self.parameters, step);
        let loss = (self.forward)(&mut graph)?;
        observe(Phase::Forward);
        let gradients = graph.backward(&loss)?;
        drop(loss);
        observe(Phase::Backward);
        let report = self.optimizer.step(&mut self.parameters, &gradients, LEARNING_RATE, &step)?;
        ensure!(report.overflowed.is_empty(), "gradients overflowed: {}", report.overflowed.join(", "));
        drop(gradients);
        observe(Phase::Update);
        Ok(())
    }
}
