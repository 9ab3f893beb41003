//! `cargo xtask reproduce`.
pub mod results;
