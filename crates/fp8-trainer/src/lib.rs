//! Training runs: configuration, loop, checkpoints, metrics. The program `fp8-trainer` is a thin shell around this.
//!
//! A run is a [`Config`], read from TOML with [`Config::parse`] or [`Config::load`]; what it measures are
//! [`metrics`]; what came of it is a [`RunResult`].
//!
//! ```
//! use fp8_trainer::Config;
//!
//! let text = "[data]\nkind = 'generated'\n[training]\nepochs = 3";
//! let config = Config::parse(text, &["recipe=fp8-rne", "training.batch=32"])?;
//! assert_eq!((config.training.epochs, config.training.batch), (3, 32));
//!
//! let error = Config::parse(text, &["training.epoch=3"]).unwrap_err();
//! assert!(std::error::Error::source(&error).unwrap().to_string().contains("did you mean `epochs`?"));
//! # Ok::<(), fp8_trainer::Error>(())
//! ```

pub mod cast;
pub mod checkpoint;
pub mod config;
pub mod device;
mod error;
mod exempt;
mod files;
mod lock;
pub mod metrics;
pub mod provenance;
mod run;
pub mod schedule;
pub mod score;
mod sequence;
pub mod single;
mod state;
mod task;
pub mod translate;

pub use config::Config;
pub use device::Device;
pub use error::{Error, Result};
pub use files::{is_standard_error, is_standard_output};
pub use lock::FolderLock;
pub use provenance::Provenance;
pub use run::{Event, RunOptions, RunResult, train};
