//! Training steps of a ResNet on a batch that stays the same.

use std::sync::Arc;

use anyhow::{Result, ensure};
use fp8_autograd::{Graph, Optimizer, OptimizerRule, Parameters, Recipe, Step};
use fp8_kernels::Backend;
use fp8_models::{Architecture, ResNet, ResNetConfig, Stem};

use super::values;

const LOSS_SCALE: f32 = 1024.0;
const LEARNING_RATE: f32 = 0.01;

/// A network and its batch.
#[derive(Clone, Copy, Debug)]
pub struct Problem {
    pub architecture: Architecture,
    pub stem: Stem,
    pub batch: usize,
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
    network: ResNet,
    optimizer: Optimizer,
    shape: [usize; 4],
    images: Vec<f32>,
    targets: Vec<u32>,
    steps: u32,
}

impl Problem {
    /// Side of the images, and classes.
    fn shape(self) -> (usize, u32) {
        match self.stem {
            Stem::Cifar => (32, 10),
            Stem::ImageNet => (224, 1000),
        }
    }
}

impl Training {
    pub fn new(backend: Arc<dyn Backend>, recipe: Recipe, problem: Problem) -> Result<Self> {
        let mut parameters = Parameters::new(backend, Arc::new(recipe));
        let (size, classes) = problem.shape();
        let config = ResNetConfig::new(problem.architecture, problem.stem, classes as usize);
        let network = ResNet::new(&config, &mut parameters, 1)?;
        let rule = OptimizerRule::Sgd { momentum: 0.9, dampening: 0.0, nesterov: false, weight_decay: 1e-4 };
        Ok(Self {
            parameters,
            network,
            optimizer: Optimizer::new(rule),
            shape: [problem.batch, size, size, 3],
            images: values(problem.batch * size * size * 3),
            targets: (0..problem.batch as u32).map(|row| row % classes).collect(),
            steps: 0,
        })
    }

    /// One step: forward, loss, backward, update.
    ///
    /// # Errors
    /// When an overflow would have skipped the update: a step that is not whole is not worth measuring.
    pub fn step(&mut self, observe: &mut dyn FnMut(Phase)) -> Result<()> {
        let step = Step::training(1, self.steps, LOSS_SCALE);
        self.steps += 1;
        let mut graph = Graph::new(&self.parameters, step);
        let x = graph.input(&self.shape, &self.images)?;
        let logits = self.network.forward(&mut graph, &x)?;
        let loss = graph.cross_entropy(&logits, &self.targets, 0.0)?;
        drop((x, logits));
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
