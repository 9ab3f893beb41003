//! Precision recipes: which format each kind of tensor has, as data.

mod parse;
mod table;

use std::fmt;

use fp8_core::{Overflow, Rounding, Stream};
use fp8_kernels::{DType, Store};
use serde::{Deserialize, Serialize};

pub use table::table;

use crate::names::matches;
use crate::{Error, LossScaling, Result};

/// What a tensor is in a training step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Working weights of convolutions and linear layers: operands of the forward and backward passes.
    Weight,
    /// Outputs of layers.
    Activation,
    /// Gradients of activations.
    Error,
    /// Gradients of weights.
    Gradient,
    /// Outputs of the last layer, which the loss reads.
    Logits,
    /// Gates of LSTMs before their functions, which are kept for the backward pass alone.
    Gate,
    /// Master copies of the weights, which the optimiser updates.
    Master,
    /// What the optimiser remembers of the gradients of weights: momentum, or Adam's first and second moment. That of biases and normalisation is F32.
    Moment,
    /// Master copies of biases and of the scales and shifts of normalisation; their working copies and gradients are F32.
    Norm,
}

impl Role {
    /// All.
    pub const ALL: [Self; 9] = [
        Self::Weight,
        Self::Activation,
        Self::Error,
        Self::Gradient,
        Self::Logits,
        Self::Gate,
        Self::Master,
        Self::Moment,
        Self::Norm,
    ];
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Weight => "weight",
            Self::Activation => "activation",
            Self::Error => "error",
            Self::Gradient => "gradient",
            Self::Logits => "logits",
            Self::Gate => "gate",
            Self::Master => "master",
            Self::Moment => "moment",
            Self::Norm => "norm",
        })
    }
}

/// How a tensor's values are multiplied before they are rounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Scaling {
    /// Not at all.
    #[default]
    None,
    /// By the largest power of two that keeps the tensor's own largest magnitude within the format.
    Current,
}

/// How the tensors of one role are stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RoleFormat {
    /// Element type.
    pub dtype: DType,
    /// Rounding.
    pub rounding: Rounding,
    /// What becomes of values past the largest finite one.
    pub overflow: Overflow,
    /// Scaling.
    pub scaling: Scaling,
}

impl RoleFormat {
    /// F32: exact.
    pub const F32: Self = Self::nearest(DType::F32);

    /// `dtype` by nearest-even, overflow to infinity, unscaled.
    pub const fn nearest(dtype: DType) -> Self {
        Self { dtype, rounding: Rounding::NearestEven, overflow: Overflow::Infinity, scaling: Scaling::None }
    }

    /// The Q node with these random bits and this scale.
    pub const fn store(&self, random: Stream, scale: f32) -> Store {
        Store { dtype: self.dtype, rounding: self.rounding, overflow: self.overflow, scale, random }
    }

    /// [`Scaling::Current`]'s scale for a tensor whose largest magnitude is `amax`: 2^k with k as large as
    /// `amax * 2^k <= max` allows, within 2^-100..2^100; 1 when amax is zero, Inf or NaN, and for F32.
    pub fn current_scale(&self, amax: f32) -> f32 {
        let Some(format) = self.dtype.format() else { return 1.0 };
        if amax == 0.0 || !amax.is_finite() {
            return 1.0;
        }
        let (amax, largest) = (f64::from(amax), fp8_core::decode(format, format.max_code()));
        // The exponent of the quotient is exact, for both are exact in f64 and only the quotient's last bit is rounded.
        let mut exponent = ((largest / amax).to_bits() >> 52) as i32 - 1023;
        if amax * 2_f64.powi(exponent) > largest {
            exponent -= 1;
        }
        2_f32.powi(exponent.clamp(-100, 100))
    }
}

/// `e5m2 sr`, `e4m3 rne saturate current`: type and, unless it is F32, rounding, then what differs from the defaults.
impl fmt::Display for RoleFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.dtype.to_string();
        if self.dtype != DType::F32 {
            text += &format!(" {}", self.rounding);
        }
        if self.overflow != Overflow::Infinity {
            text += &format!(" {}", self.overflow);
        }
        if self.scaling == Scaling::Current {
            text += " current";
        }
        f.pad(&text)
    }
}

/// Layers whose weights, activations, errors and gradients have a format of their own.
#[derive(Clone, Debug, PartialEq)]
pub struct Exempt {
    /// Names of layers; `*` stands for any characters.
    pub layers: Vec<String>,
    /// Their format.
    pub format: RoleFormat,
}

impl Exempt {
    /// The names that stand for none of `layers`.
    pub fn unmatched<'a>(&self, layers: impl Iterator<Item = &'a str> + Clone) -> Vec<&str> {
        let stands_for_none = |pattern: &&str| !layers.clone().any(|layer| matches(pattern, layer));
        self.layers.iter().map(String::as_str).filter(stands_for_none).collect()
    }
}

/// The precision of a whole training run.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// Its name.
    pub name: String,
    /// [`Role::Weight`].
    pub weight: RoleFormat,
    /// [`Role::Activation`].
    pub activation: RoleFormat,
    /// [`Role::Error`].
    pub error: RoleFormat,
    /// [`Role::Gradient`].
    pub gradient: RoleFormat,
    /// [`Role::Logits`].
    pub logits: RoleFormat,
    /// [`Role::Gate`]: to nearest-even.
    pub gate: RoleFormat,
    /// [`Role::Master`].
    pub master: RoleFormat,
    /// [`Role::Moment`]: F32 or bfloat16.
    pub moment: RoleFormat,
    /// [`Role::Norm`].
    pub norm: RoleFormat,
    /// The layers in higher precision.
    pub exempt: Exempt,
    /// Loss scaling, unless the run says otherwise.
    pub loss_scaling: LossScaling,
}

/// Name and text of the recipes that come with the crate.
const BUILT_IN: [(&str, &str); 9] = [
    ("fp32", include_str!("../../recipes/fp32.toml")),
    ("fp16", include_str!("../../recipes/fp16.toml")),
    ("bf16", include_str!("../../recipes/bf16.toml")),
    ("fp8", include_str!("../../recipes/fp8.toml")),
    ("fp8-sr", include_str!("../../recipes/fp8-sr.toml")),
    ("fp8-rne", include_str!("../../recipes/fp8-rne.toml")),
    ("fp8-mpemu", include_str!("../../recipes/fp8-mpemu.toml")),
    ("fp8-hybrid", include_str!("../../recipes/fp8-hybrid.toml")),
    ("fp8-lean", include_str!("../../recipes/fp8-lean.toml")),
];

impl Recipe {
    /// The names that [`Recipe::named`] knows.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|&(name, _)| name)
    }

    /// A recipe that comes with the crate.
    ///
    /// # Errors
    /// [`Error::UnknownRecipe`] with the known names.
    pub fn named(name: &str) -> Result<Self> {
        match BUILT_IN.iter().find(|(known, _)| *known == name) {
            Some((_, text)) => Self::parse(text),
            None => {
                Err(Error::UnknownRecipe { asked: name.to_string(), known: Self::names().map(String::from).collect() })
            }
        }
    }

    /// Reads a recipe from TOML: the fields are those of the files in `recipes/`; with `base = "NAME"` the recipe of that
    /// name gives what is left out, without it all is F32.
    ///
    /// # Errors
    /// Names the field that is unknown, of a wrong type or out of range.
    pub fn parse(text: &str) -> Result<Self> {
        parse::recipe(text)
    }

    /// The same with every stochastic rounding to nearest-even instead: results that do not depend on where in a batch an element stands.
    #[must_use]
    pub fn deterministic(mut self) -> Self {
        let formats = [
            &mut self.weight,
            &mut self.activation,
            &mut self.error,
            &mut self.gradient,
            &mut self.logits,
            &mut self.gate,
            &mut self.master,
            &mut self.moment,
            &mut self.norm,
            &mut self.exempt.format,
        ];
        for format in formats {
            if let Rounding::Stochastic { .. } = format.rounding {
                format.rounding = Rounding::NearestEven;
            }
        }
        self
    }

    /// Whether results depend on the whole batch: a tensor of the forward pass is scaled by its own largest magnitude.
    pub fn scales_by_batch(&self) -> bool {
        let formats = [&self.activation, &self.logits, &self.exempt.format];
        formats.iter().any(|format| format.scaling == Scaling::Current)
    }

    /// How tensors of `role` are stored in the layer of this name.
    pub fn format(&self, role: Role, layer: &str) -> &RoleFormat {
        let can_be_exempt = matches!(role, Role::Weight | Role::Activation | Role::Error | Role::Gradient);
        match can_be_exempt && self.exempt.layers.iter().any(|pattern| matches(pattern, layer)) {
            true => &self.exempt.format,
            false => self.of(role),
        }
    }

    /// How tensors of `role` are stored in layers that are not exempt.
    pub fn of(&self, role: Role) -> &RoleFormat {
        match role {
            Role::Weight => &self.weight,
            Role::Activation => &self.activation,
            Role::Error => &self.error,
            Role::Gradient => &self.gradient,
            Role::Logits => &self.logits,
            Role::Gate => &self.gate,
            Role::Master => &self.master,
            Role::Moment => &self.moment,
            Role::Norm => &self.norm,
        }
    }
}

#[cfg(test)]
mod tests;
