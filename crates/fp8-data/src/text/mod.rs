//! Text for translation.

mod lines;

pub use lines::{Lines, read_aligned};
