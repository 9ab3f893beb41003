//! Optimisers: one fused pass over each parameter, skipped whole on overflow.

use fp8_kernels::UpdateRule;
use serde::{Deserialize, Serialize};

use crate::{Error, Gradients, Kind, Parameters, Result, Step};

/// Which rule, and its constants. The learning rate comes with each step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum OptimizerRule {
    /// As torch.optim.SGD.
    Sgd {
        /// Momentum; 0.9 unless given.
        #[serde(default = "momentum")]
        momentum: f32,
        /// Dampening; 0 unless given.
        #[serde(default)]
        dampening: f32,
        /// Nesterov momentum; off unless given.
        #[serde(default)]
        nesterov: bool,
        /// L2 penalty; 0 unless given.
        #[serde(default)]
        weight_decay: f32,
    },
    /// As torch.optim.AdamW.
    AdamW {
        /// Decay of the first moment; 0.9 unless given.
        #[serde(default = "momentum")]
        beta1: f32,
        /// Decay of the second moment; 0.999 unless given.
        #[serde(default = "beta2")]
        beta2: f32,
        /// Added to the root of the second moment; 1e-8 unless given.
        #[serde(default = "epsilon")]
        epsilon: f32,
        /// Decoupled weight decay; 0 unless given.
        #[serde(default)]
        weight_decay: f32,
    },
}

const fn momentum() -> f32 {
    0.9
}

const fn beta2() -> f32 {
    0.999
}

const fn epsilon() -> f32 {
    1e-8
}

/// A rule and how many updates it has made. Its moments live with the parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Optimizer {
    /// The rule.
    pub rule: OptimizerRule,
    /// Whether weight decay leaves biases and normalisation alone.
    pub decay_weights_only: bool,
    /// Gradients are shortened to this L2 norm of all together.
    pub clip_norm: Option<f32>,
    updates: u32,
}

/// What a step did.
#[derive(Clone, Debug, PartialEq)]
pub struct StepReport {
    /// Names of the gradients with Inf or NaN: when there are any, nothing was changed.
    pub overflowed: Vec<String>,
    /// L2 norm of all gradients together, un-scaled, before clipping; not finite in a skipped step.
    pub gradient_norm: f32,
}

impl Optimizer {
    /// Before its first update; decays everything, clips nothing.
    pub fn new(rule: OptimizerRule) -> Self {
        Self { rule, decay_weights_only: false, clip_norm: None, updates: 0 }
    }

    /// Updates made; skipped steps are none.
    pub fn updates(&self) -> u32 {
        self.updates
    }

    /// Un-scales the gradients, updates every parameter and blends batch statistics into the running ones. If a gradient
    /// is not finite nothing of this happens.
    ///
    /// # Errors
    /// [`Error::Parameter`] when a graph still uses the parameters.
    pub fn step(
        &mut self,
        parameters: &mut Parameters,
        gradients: &Gradients,
        learning_rate: f32,
        step: &Step,
    ) -> Result<StepReport> {
        if !learning_rate.is_finite() {
            return Err(Error::NonFinite { what: "learning rate", index: 0, value: learning_rate });
        }
        let overflowed = gradients.overflowed(parameters)?;
        if !overflowed.is_empty() {
            return Ok(StepReport { overflowed, gradient_norm: f32::INFINITY });
        }
        let gradient_norm = gradients.norm(parameters)?;
        let clip = self.clip_norm.map_or(1.0, |limit| (limit / gradient_norm).min(1.0));
        let ids: Vec<_> = parameters.iter().map(|(id, parameter)| (id, parameter.kind)).collect();
        for (id, kind) in ids {
            if let Some(gradient) = gradients.get(id) {
                let rule = self.update_rule(learning_rate, kind);
                parameters.update(id, &rule, gradient, gradients.unscale(gradient) * clip, step)?;
            }
        }
        for statistics in gradients.statistics() {
            parameters.blend(statistics)?;
        }
        self.updates += 1;
        Ok(StepReport { overflowed, gradient_norm })
    }

    fn update_rule(&self, lr: f32, kind: Kind) -> UpdateRule {
        let decays = kind == Kind::Weight || !self.decay_weights_only;
        let decay = |weight_decay: f32| if decays { weight_decay } else { 0.0 };
        match self.rule {
            OptimizerRule::Sgd { momentum, dampening, nesterov, weight_decay } => {
                let (weight_decay, first) = (decay(weight_decay), self.updates == 0);
                UpdateRule::Sgd { lr, momentum, dampening, nesterov, weight_decay, first }
            }
            OptimizerRule::AdamW { beta1, beta2, epsilon, weight_decay } => {
                let (weight_decay, step) = (decay(weight_decay), self.updates + 1);
                UpdateRule::AdamW { lr, beta1, beta2, epsilon, weight_decay, step }
            }
        }
    }
}
