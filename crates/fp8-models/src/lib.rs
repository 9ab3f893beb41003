//! Models that train in any precision: residual networks with the names, shapes and first weights of torchvision; GNMT, the Transformer, and
//! the search for the likeliest translation.
//!
//! A model adds its parameters to [`fp8_autograd::Parameters`] and turns tensors of a graph into logits; precision comes with the parameters'
//! recipe. Weights go in and out as the bytes of safetensors files: [`state_dict`].
//!
//! ```
//! use fp8_models::{Architecture, ResNetConfig, Stem};
//!
//! let architecture: Architecture = "resnet18".parse()?;
//! let config = ResNetConfig { zero_init_residual: true, ..ResNetConfig::new(architecture, Stem::Cifar, 10) };
//! assert_eq!(config.channels, 3);
//! # Ok::<(), fp8_models::UnknownArchitecture>(())
//! ```

mod builder;
mod error;
mod gnmt;
mod initial;
mod resnet;
mod rows;
mod search;
pub mod state_dict;
mod transformer;

pub use error::{Error, Mismatch, Result};
pub use gnmt::{Encoded, Gnmt, GnmtConfig, GnmtState, Sentences};
pub use resnet::{Architecture, ResNet, ResNetConfig, Stem, UnknownArchitecture};
pub use search::{Search, SequenceModel};
pub use transformer::{NormPlace, Tied, Transformer, TransformerConfig, TransformerSource, TransformerState};
