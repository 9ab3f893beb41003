//! Reverse-mode differentiation over tensors of any precision.

mod error;
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
pub use gradients::Gradients;
pub use graph::{Graph, Var};
pub use names::nearest;
pub use ops::{BatchNormLayer, Loss};
pub use optimizer::{Optimizer, OptimizerRule, StepReport};
pub use parameters::{
    Array, Kind, Parameter, ParameterId, Parameters, ParametersState, Statistics, StatisticsId, Values,
};
pub use recipe::{Exempt, Recipe, Role, RoleFormat, Scaling};
pub use scaler::{LossScaler, LossScaling, ScaleEvent};
pub use step::Step;
pub use tensor::Tensor;
