//! Translation of text, line by line, with the weights of a run.

use std::path::Path;
use std::sync::Arc;

use fp8_autograd::{Array, Graph, Parameters, Step};
use fp8_data::text::Bpe;
use fp8_kernels::Backend;
use fp8_models::state_dict;

use crate::config::{self, Config, Task};
use crate::sequence::SequenceNetwork;
use crate::{Error, Result, files};

/// The file of a run's folder with its vocabulary. Weights name the digest of theirs in their metadata under this name.
pub const TOKENIZER: &str = "tokenizer.json";

/// How to translate. The size of a batch changes no translation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Hypotheses that are followed; 1 is greedy search.
    pub beam: usize,
    /// Exponent of the length penalty ((5 + tokens) / 6)^alpha.
    pub length_penalty: f64,
    /// Factor of the penalty for tokens of the source that were given little attention; 0 for none.
    pub coverage_penalty: f64,
    /// Sentences that are translated at once.
    pub batch: usize,
}

impl Default for Options {
    /// Greedy, 64 at once.
    fn default() -> Self {
        Self { beam: 1, length_penalty: 0.6, coverage_penalty: 0.0, batch: 64 }
    }
}

/// Batches that are read before the first is translated, so that sentences of one length stand together.
const WINDOW: usize = 16;

/// A network with its vocabulary. Results are rounded by the run's recipe, but to the nearest where that rounds at random: a translation
/// depends on its line alone.
pub struct Translator {
    bpe: Arc<Bpe>,
    network: SequenceNetwork,
    parameters: Parameters,
    /// Most tokens of a sentence.
    longest: usize,
    /// Whether sentences are translated one by one, as a batch would share its scales.
    alone: bool,
}

impl Translator {
    /// With the weights in the folder of a run; `weights` gives others.
    ///
    /// # Errors
    /// [`Error::Folder`] for a run that does not translate; [`Error::File`] and [`Error::Content`] for what is missing or damaged;
    /// [`Error::Data`] for the tokenizer of another run; [`Error::Weights`] for weights of another shape or vocabulary.
    pub fn open(run: &Path, weights: Option<&Path>, backend: Arc<dyn Backend>) -> Result<Self> {
        let none: [&str; 0] = [];
        let config = Config::load(&run.join("config.toml"), &none)?;
        let Task::Translation(own) = &config.task else {
            let reason = format!("is a run of {}, which does not translate", config.task.model());
            return Err(Error::Folder { folder: run.into(), reason });
        };
        let path = weights.map_or_else(|| run.join("weights.safetensors"), Path::to_path_buf);
        let bytes = files::read(&path)?;
        let refused = |source| Error::Weights { path: path.clone(), source };
        let tokenizer = run.join(TOKENIZER);
        let json = String::from_utf8(files::read(&tokenizer)?).map_err(|error| Error::content(&tokenizer, error))?;
        let bpe = match state_dict::metadata(&bytes, TOKENIZER).map_err(refused)? {
            Some(digest) => Bpe::parse_checked(&json, &digest),
            None => Bpe::parse(&json),
        };
        let bpe = bpe.map_err(|source| Error::Tokenizer { path: tokenizer, source })?;
        let mut translator = Self::new(&config, own, bpe.into(), backend)?;
        state_dict::load(&mut translator.parameters, &bytes).map_err(refused)?;
        Ok(translator)
    }

    /// With first weights.
    pub(crate) fn new(
        config: &Config,
        own: &config::Translation,
        bpe: Arc<Bpe>,
        backend: Arc<dyn Backend>,
    ) -> Result<Self> {
        let recipe = config.recipe.recipe().as_ref().clone().deterministic();
        let alone = recipe.scales_by_batch();
        let mut parameters = Parameters::new(backend, Arc::new(recipe));
        let network = SequenceNetwork::new(&own.model, bpe.size(), config.seed, &mut parameters)?;
        Ok(Self { bpe, network, parameters, longest: own.loader.longest, alone })
    }

    /// Other weights.
    pub(crate) fn set(&mut self, weights: &[Array]) -> Result<()> {
        Ok(weights.iter().try_for_each(|array| self.parameters.set(array))?)
    }

    /// Gives `say` a translation for each line, in order; that of a line without words is empty. At most 16 batches are in memory.
    ///
    /// A translation has at most twice the tokens of its sentence and ten.
    ///
    /// # Errors
    /// [`Error::Line`] for a sentence that is longer than the run allows; those of `lines` and of `say`. The lines before have been said then.
    pub fn translate<E: From<Error>>(
        &self,
        lines: impl Iterator<Item = fp8_data::Result<String>>,
        options: &Options,
        say: &mut dyn FnMut(&str) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let window = WINDOW * options.batch.max(1);
        let backend = self.parameters.backend();
        let mut sentences = (1..).zip(lines).map(|(number, line)| self.tokens(number, line?)).peekable();
        while sentences.peek().is_some() {
            let mut failed = None;
            let readable = |sentence: Result<_>| sentence.map_err(|error| failed = Some(error)).ok();
            let window: Vec<Vec<u32>> = sentences.by_ref().take(window).map_while(readable).collect();
            let translations = backend.within(|| self.window(&window, options))?;
            translations.iter().try_for_each(|translation| say(translation))?;
            failed.map_or(Ok(()), Err)?;
        }
        Ok(())
    }

    /// A line's tokens; none of one without words.
    fn tokens(&self, number: usize, line: String) -> Result<Vec<u32>> {
        if line.trim().is_empty() {
            return Ok(Vec::new());
        }
        self.bpe.encode_within(&line, self.longest).map_err(|source| Error::Line { line: number, source })
    }

    /// The translations of some sentences.
    fn window(&self, window: &[Vec<u32>], options: &Options) -> Result<Vec<String>> {
        let mut sentences: Vec<_> = window.iter().enumerate().filter(|(_, tokens)| !tokens.is_empty()).collect();
        sentences.sort_by_key(|(_, tokens)| tokens.len());
        let mut translations = vec![String::new(); window.len()];
        for batch in sentences.chunks(if self.alone { 1 } else { options.batch.max(1) }) {
            let tokens: Vec<&[u32]> = batch.iter().map(|(_, tokens)| tokens.as_slice()).collect();
            let limits: Vec<usize> = tokens.iter().map(|tokens| (2 * tokens.len() + 10).min(self.longest)).collect();
            let mut graph = Graph::new(&self.parameters, Step::evaluation(0));
            let said = self.network.translate(&mut graph, &tokens, &limits, options)?;
            for ((place, _), said) in batch.iter().zip(said) {
                translations[*place] = self.bpe.decode(&said)?;
            }
        }
        Ok(translations)
    }
}
