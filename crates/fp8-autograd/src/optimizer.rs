//! Optimisers: one fused pass over all parameters, skipped whole on overflow. A device is waited for once, for the norm of the gradients.

use fp8_kernels::UpdateRule;
use serde::{Deserialize, Serialize};

use crate::parameters::Change;
use crate::{Error, Gradients, Kind, Parameter, Parameters, Result, Step};

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

impl OptimizerRule {
    /// What is wrong with the numbers, if anything.
    pub fn check(&self) -> std::result::Result<(), String> {
        let within = |what: &str, value: f32, end: f32| match (0.0..end).contains(&value) {
            true => Ok(()),
            false if end == 1.0 => Err(format!("{what} must be at least 0 and below 1, not {value}")),
            false => Err(format!("{what} must be a finite number from 0 on, not {value}")),
        };
        match *self {
            Self::Sgd { momentum, dampening, nesterov, weight_decay } => {
                within("momentum", momentum, 1.0)?;
                within("dampening", dampening, 1.0)?;
                within("weight_decay", weight_decay, f32::INFINITY)?;
                match nesterov && (momentum == 0.0 || dampening != 0.0) {
                    true => Err("nesterov wants momentum and no dampening".into()),
                    false => Ok(()),
                }
            }
            Self::AdamW { beta1, beta2, epsilon, weight_decay } => {
                within("beta1", beta1, 1.0)?;
                within("beta2", beta2, 1.0)?;
                within("epsilon", epsilon, f32::INFINITY)?;
                if epsilon == 0.0 {
                    return Err("epsilon must not be 0: where gradients have been zero it would be divided by".into());
                }
                within("weight_decay", weight_decay, f32::INFINITY)
            }
        }
    }
}

/// A rule and its surroundings. What it remembers, moments and numbers of updates, lives with the parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Optimizer {
    /// The rule.
    pub rule: OptimizerRule,
    /// Whether weight decay leaves biases and normalisation alone.
    pub decay_weights_only: bool,
    /// Gradients are shortened to this L2 norm of all together.
    pub clip_norm: Option<f32>,
}

/// What a step did.
#[derive(Clone, Debug, PartialEq)]
pub struct StepReport {
    /// Names of the gradients with Inf or NaN: when there are any, nothing was changed. They stand in the order in which the
    /// parameters were added; errors flow from the last layer to the first, so it is at the last one named, or after it,
    /// that numbers became too large.
    pub overflowed: Vec<String>,
    /// L2 norm of all gradients together, un-scaled, before clipping; not finite in a skipped step.
    pub gradient_norm: f32,
}

impl Optimizer {
    /// Decays everything, clips nothing.
    pub const fn new(rule: OptimizerRule) -> Self {
        Self { rule, decay_weights_only: false, clip_norm: None }
    }

    /// Un-scales the gradients, updates every parameter that has one and blends batch statistics into the running ones. If
    /// a gradient is not finite nothing of this happens.
    ///
    /// # Errors
    /// [`Error::Parameter`] when a graph still uses the parameters.
    pub fn step(
        &self,
        parameters: &mut Parameters,
        gradients: &Gradients,
        learning_rate: f32,
        step: &Step,
    ) -> Result<StepReport> {
        if !learning_rate.is_finite() {
            return Err(Error::NonFinite { what: "learning rate", index: 0, value: learning_rate });
        }
        let report = gradients.report(parameters)?;
        if !report.overflowed.is_empty() {
            return Ok(report);
        }
        let clip = self.clip_norm.map_or(1.0, |limit| clipping(limit, report.gradient_norm));
        parameters.update(step, |id, parameter| {
            let (gradient, rule) = (gradients.get(id)?, self.update_rule(learning_rate, parameter));
            Some(Change { rule, gradient, unscale: gradients.unscale(gradient) * clip })
        })?;
        gradients.statistics().iter().try_for_each(|statistics| parameters.blend(statistics))?;
        Ok(report)
    }

    fn update_rule(&self, lr: f32, parameter: &Parameter) -> UpdateRule {
        let decays = parameter.kind == Kind::Weight || !self.decay_weights_only;
        let decay = |weight_decay: f32| if decays { weight_decay } else { 0.0 };
        match self.rule {
            OptimizerRule::Sgd { momentum, dampening, nesterov, weight_decay } => {
                let (weight_decay, first) = (decay(weight_decay), parameter.updates() == 0);
                UpdateRule::Sgd { lr, momentum, dampening, nesterov, weight_decay, first }
            }
            OptimizerRule::AdamW { beta1, beta2, epsilon, weight_decay } => {
                let (weight_decay, step) = (decay(weight_decay), parameter.updates() + 1);
                UpdateRule::AdamW { lr, beta1, beta2, epsilon, weight_decay, step }
            }
        }
    }
}

/// What gradients of this norm are multiplied by, as in torch.nn.utils.clip_grad_norm_.
fn clipping(limit: f32, norm: f32) -> f32 {
    (limit / (norm + 1e-6)).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Factors that PyTorch 2 applies to gradients of (3, 4) times a scale.
    #[test]
    fn clipping_is_that_of_pytorch() {
        for (scale, limit, factor) in [(1.0, 10.0, 1.0), (1.0, 1.0, 0.199_999_96), (1e-6, 1e-6, 0.166_666_67)] {
            let found = clipping(limit, 5.0 * scale);
            assert!((found - factor).abs() < 1e-7, "{scale}, {limit}: {found}");
        }
    }
}
