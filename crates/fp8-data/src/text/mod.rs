//! Text for translation: pairs of sentences, byte-pair encoding, batches of about as many tokens.
//!
//! ```
//! use std::sync::Arc;
//! use fp8_data::Split;
//! use fp8_data::text::{Bpe, Loader, Options, Source};
//!
//! let source = Source::default(); // a generated pair of languages
//! let lines = source.pairs(Split::Training)?.take(2000);
//! let lines = lines.flat_map(|pair| match pair {
//!     Ok(pair) => vec![Ok(pair.source), Ok(pair.target)],
//!     Err(error) => vec![Err(error)],
//! });
//! let bpe = Arc::new(Bpe::learn(lines, 300)?);
//! assert_eq!(bpe.decode(&bpe.encode("the dog sees a cat .")?)?, "the dog sees a cat .");
//!
//! let loader = Loader::new(source, Split::Validation, bpe, Options { tokens: 512, ..Options::default() })?;
//! let batch = loader.epoch(0, 0)?.next().expect("a batch")?;
//! assert!(batch.source.len() <= 512 && batch.target.len() <= 512);
//! # Ok::<(), fp8_data::Error>(())
//! ```

mod batch;
mod bpe;
mod clean;
mod lines;
mod loader;
mod pairs;
mod shuffle;

pub use batch::{Batch, Side};
pub use bpe::{BOS, Bpe, EOS, PAD, UNK};
pub use clean::{Dropped, Limits};
pub use lines::{Lines, read_aligned};
pub use loader::{Batches, Loader, Options};
pub use pairs::{Files, Pair, Pairs, Source};
