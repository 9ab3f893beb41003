//! Reverse-mode differentiation over tensors of any precision, as mixed-precision training with 8-bit floats needs it.
//!
//! - A [`Recipe`] says, as data, how each kind of tensor is stored: [`Recipe::named`], or your own in TOML.
//! - [`Parameters`] hold master weights, working copies and moments on a device.
//! - A [`Graph`] records a forward pass; [`Graph::backward`] leaves [`Gradients`]. Each result passes one Q node, where it is
//!   rounded to its role's format; errors that meet are added before that, in the kernel that computes the last.
//! - An [`Optimizer`] updates all parameters in one fused pass each, or none when a gradient overflowed; a [`LossScaler`]
//!   then moves the loss scale.
//!
//! Devices are behind [`fp8_kernels::Backend`]. Random bits depend on seed, step and the names of layers alone, so a run
//! has the same bytes however it is computed, and resumed exactly from [`Parameters::state`].
//!
//! ```
//! use std::sync::Arc;
//!
//! use fp8_autograd::{Graph, Kind, LossScaler, Optimizer, OptimizerRule, Parameters, Recipe, Result, Role, Step};
//! use fp8_kernels::Backend;
//!
//! /// Ten steps of a linear classifier of two points; the last loss.
//! fn train(backend: Arc<dyn Backend>) -> Result<f32> {
//!     let recipe = Recipe::named("fp8")?;
//!     let mut scaler = LossScaler::new(recipe.loss_scaling.clone())?;
//!     let mut parameters = Parameters::new(backend, Arc::new(recipe));
//!     let weight = parameters.add("fc.weight", Kind::Weight, &[2, 2], &[0.1, 0.2, 0.3, 0.4])?;
//!     let rule = OptimizerRule::Sgd { momentum: 0.9, dampening: 0.0, nesterov: false, weight_decay: 0.0 };
//!     let optimizer = Optimizer::new(rule);
//!     let mut last = 0.0;
//!     for number in 0..10 {
//!         let step = Step::training(1, number, scaler.scale());
//!         let mut graph = Graph::new(&parameters, step);
//!         let x = graph.input(&[2, 2], &[1.0, 0.0, 0.0, 1.0])?;
//!         let logits = graph.linear(&x, weight, None, Role::Logits)?;
//!         let loss = graph.cross_entropy(&logits, &[0, 1], 0.0)?;
//!         let gradients = graph.backward(&loss)?;
//!         let report = optimizer.step(&mut parameters, &gradients, 0.5, &step)?;
//!         scaler.update(report.overflowed);
//!         last = loss.value()?;
//!     }
//!     Ok(last)
//! }
//! ```

mod error;
mod flushed;
mod gradients;
mod graph;
pub mod layout;
mod names;
mod ops;
mod optimizer;
mod output;
mod parameters;
mod recipe;
mod scaler;
mod step;
pub mod tensor;

pub use error::{Error, Result};
pub use flushed::Flushed;
pub use gradients::Gradients;
pub use graph::{Graph, Var};
pub use names::nearest;
pub use ops::{
    AdditiveAttentionLayer, AttentionHeads, BatchNormLayer, EmbeddingLayer, LayerNormLayer, Loss, LstmCarry, LstmLayer,
};
pub use optimizer::{Optimizer, OptimizerRule, StepReport};
pub use parameters::{
    Array, Kind, Parameter, ParameterId, Parameters, ParametersState, Statistics, StatisticsId, Values,
};
pub use recipe::{Exempt, Recipe, Role, RoleFormat, Scaling, table};
pub use scaler::{LossScaler, LossScaling, ScaleEvent, ScalerState};
pub use step::Step;
pub use tensor::{LaterValues, Tensor, upload_u8};
