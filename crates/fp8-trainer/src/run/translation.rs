//! Translation.

use std::sync::Arc;

use fp8_autograd::Parameters;
use fp8_data::Split;
use fp8_data::text::{Bpe, Limits, Loader, Options, Pair};

use crate::config::{self, Config, FieldError};
use crate::error::UNNAMED;
use crate::score::Bleu;
use crate::sequence::{SequenceNetwork, TokenBatch};
use crate::state::State;
use crate::task::{Keepsake, Task};
use crate::translate::{self, Translator};
use crate::{Error, Result};

/// The sentences of a run.
pub struct Translation {
    config: config::Translation,
    bpe: Arc<Bpe>,
    training: Loader,
    validation: Loader,
    /// Batches of the first epoch: those of others are as many where all pairs fit into the window, and about as many else.
    batches: u64,
    validation_batches: u64,
}

impl Translation {
    /// Learns the vocabulary and goes through the text once.
    ///
    /// # Errors
    /// [`Error::Data`] names the file and the line; [`Error::Config`] the field of which no sentence is left.
    pub fn open(config: &Config, own: &config::Translation) -> Result<Self> {
        let bpe = Arc::new(Bpe::learn(Box::new(lines(own)?), own.loader.vocabulary)?);
        let loader = |split, tokens| {
            let options = Options {
                tokens,
                limits: Limits { tokens: own.loader.longest, ratio: own.loader.ratio },
                window: own.loader.window,
                seed: config.seed,
                workers: own.loader.workers,
                ..Options::default()
            };
            Loader::new(own.data.clone(), split, bpe.clone(), options)
        };
        let training = loader(Split::Training, config.training.batch)?;
        let validation = loader(Split::Validation, config.training.validation_batch)?;
        let batches = count(&training).map_err(|error| naming("data.training", error))?;
        let validation_batches = count(&validation).map_err(|error| naming("data.validation", error))?;
        Ok(Self { config: own.clone(), bpe, training, validation, batches, validation_batches })
    }

    /// The validation pairs that the loader would keep, whatever their lengths' ratio.
    fn references(&self) -> Result<(Vec<String>, Vec<String>)> {
        let longest = self.config.loader.longest;
        let mut kept = (Vec::new(), Vec::new());
        for pair in self.config.data.pairs(Split::Validation)? {
            let Pair { source, target } = pair?;
            let fits = |line: &str| Ok::<_, fp8_data::Error>((1..longest).contains(&self.bpe.encode(line)?.len()));
            if fits(&source)? && fits(&target)? {
                kept.0.push(source);
                kept.1.push(target);
            }
        }
        Ok(kept)
    }
}

/// Source and target of all training pairs.
fn lines(own: &config::Translation) -> Result<impl Iterator<Item = fp8_data::Result<String>> + Send + use<>> {
    let pairs = own.data.pairs(Split::Training)?;
    Ok(pairs.flat_map(|pair| match pair {
        Ok(pair) => vec![Ok(pair.source), Ok(pair.target)],
        Err(error) => vec![Err(error)],
    }))
}

/// Names the field whose sentences are all left out.
fn naming(field: &str, error: Error) -> Error {
    match error {
        Error::Data(error @ fp8_data::Error::NothingLeft { .. }) => {
            let source = FieldError::Invalid { field: field.into(), reason: error.to_string() };
            Error::Config { origin: UNNAMED.into(), source }
        }
        other => other,
    }
}

/// Batches of the first epoch.
fn count(loader: &Loader) -> Result<u64> {
    let mut batches = loader.epoch(0, 0)?;
    Ok(batches.try_fold(0, |count, batch| batch.map(|_| count + 1))?)
}

impl Task for Translation {
    type Network = SequenceNetwork;

    fn network(&self, config: &Config, parameters: &mut Parameters) -> Result<SequenceNetwork> {
        SequenceNetwork::new(&self.config.model, self.bpe.size(), config.seed, parameters)
    }

    fn batches(&self) -> u64 {
        self.batches
    }

    fn training(&self, epoch: u32, first: u64) -> Result<impl Iterator<Item = fp8_data::Result<TokenBatch>>> {
        let batches = self.training.epoch(epoch, first as usize)?;
        Ok(batches.map(|batch| batch.map(TokenBatch::from)))
    }

    fn validation_batches(&self) -> u64 {
        self.validation_batches
    }

    fn validation(&self) -> Result<impl Iterator<Item = fp8_data::Result<TokenBatch>>> {
        Ok(self.validation.epoch(0, 0)?.map(|batch| batch.map(TokenBatch::from)))
    }

    fn left_out(batch: &TokenBatch) -> u64 {
        let dropped = &batch.dropped;
        if dropped.total() > 0 {
            tracing::info!(%dropped, "pairs are left out");
        }
        dropped.total() as u64
    }

    fn bleu(&self, config: &Config, state: &State<SequenceNetwork>) -> Result<Option<f64>> {
        let (sources, targets) = self.references()?;
        let backend = state.parameters.backend().clone();
        let mut translator = Translator::new(config, &self.config, self.bpe.clone(), backend)?;
        translator.set(&state.parameters.arrays()?)?;
        let mut translations = Vec::with_capacity(sources.len());
        let mut keep = |translation: &str| {
            translations.push(translation.to_string());
            Ok::<_, Error>(())
        };
        translator.translate(sources.into_iter().map(Ok), &translate::Options::default(), &mut keep)?;
        Ok(Some(Bleu::default().corpus(&translations, &[targets])?.score))
    }

    fn keepsake(&self) -> Option<Keepsake<'_>> {
        Some(Keepsake { name: translate::TOKENIZER, content: self.bpe.json(), digest: self.bpe.digest() })
    }
}
