//! Beam search: the translations that a model finds likeliest, for many sentences at once.
//!
//! A beam of 1 is greedy search. Sentences do not see each other: where nothing is rounded at random
//! ([`Recipe::deterministic`](fp8_autograd::Recipe::deterministic)), no batch changes a translation.

mod beam;

use beam::Beam;
use fp8_autograd::{Graph, Loss, Var};

use crate::{Error, Result, Sentences};

/// A network that says a translation token by token.
pub trait SequenceModel {
    /// The source, encoded.
    type Source;
    /// What the decoder remembers.
    type State;

    /// Logits (steps, batch, vocabulary) of the token after each of `target`, given those before it and `source`.
    ///
    /// # Errors
    /// Sentences that the network cannot take.
    fn forward(
        &self,
        graph: &mut Graph<'_>,
        source: Sentences<'_>,
        lengths: &[u32],
        target: Sentences<'_>,
    ) -> Result<Var>;

    /// The mean cross-entropy of `labels` by the logits of [`SequenceModel::forward`], of which only some exist at a time.
    ///
    /// # Errors
    /// Those of [`SequenceModel::forward`] and [`Graph::cross_entropy`].
    fn loss(
        &self,
        graph: &mut Graph<'_>,
        source: Sentences<'_>,
        lengths: &[u32],
        target: Sentences<'_>,
        labels: &[u32],
        smoothing: f32,
    ) -> Result<Loss>;

    /// The source, encoded once for all steps.
    ///
    /// # Errors
    /// Sentences that the network cannot take.
    fn encode(&self, graph: &mut Graph<'_>, source: Sentences<'_>, lengths: &[u32]) -> Result<Self::Source>;

    /// Logits (1, batch, vocabulary) after one more token of each sentence, and the state to go on from.
    ///
    /// # Errors
    /// Tokens that the network does not have.
    fn step(
        &self,
        graph: &mut Graph<'_>,
        source: &Self::Source,
        tokens: &[u32],
        before: Option<&Self::State>,
    ) -> Result<(Var, Self::State)>;

    /// Shares (1, batch, source steps) of its attention that the decoder gave to each token of the source in the step that led to `state`; nothing
    /// where it has no such attention.
    ///
    /// # Errors
    /// Those of its operations.
    fn attention(&self, graph: &mut Graph<'_>, source: &Self::Source, state: &Self::State) -> Result<Option<Var>>;

    /// The sources of these rows of the batch.
    ///
    /// # Errors
    /// Rows that there are not.
    fn select_source(&self, graph: &mut Graph<'_>, source: &Self::Source, rows: &[u32]) -> Result<Self::Source>;

    /// The states of these rows of the batch.
    ///
    /// # Errors
    /// Rows that there are not.
    fn select_state(&self, graph: &mut Graph<'_>, state: &Self::State, rows: &[u32]) -> Result<Self::State>;
}

/// How to search.
///
/// ```
/// use std::sync::Arc;
///
/// use fp8_autograd::{Graph, Parameters, Recipe, Step};
/// use fp8_kernels::CpuBackend;
/// use fp8_models::{Gnmt, GnmtConfig, Search, Sentences};
///
/// let recipe = Recipe::named("fp8")?.deterministic();
/// let mut parameters = Parameters::new(Arc::new(CpuBackend::new()?), Arc::new(recipe));
/// let gnmt = Gnmt::new(&GnmtConfig { hidden: 16, ..GnmtConfig::small(20) }, &mut parameters, 1)?;
/// let search = Search { beam: 4, length_penalty: 0.6, coverage_penalty: 0.0, start: 1, end: 2, padding: 0 };
///
/// // Two sentences, 5 6 7 and 8, time-major; their translations have at most nine tokens.
/// let source = Sentences { tokens: &[5, 8, 6, 2, 7, 0, 2, 0], batch: 2 };
/// let mut graph = Graph::new(&parameters, Step::evaluation(0));
/// let said = search.translate(&gnmt, &mut graph, source, &[4, 2], &[9, 9])?;
/// assert!(said.len() == 2 && said.iter().all(|tokens| tokens.len() <= 9));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Search {
    /// Hypotheses of a sentence that are followed; at least 1.
    pub beam: usize,
    /// Alpha: the logarithm of a translation's probability is divided by ((5 + tokens) / 6)^alpha (Wu et al. 2016, equation 14).
    pub length_penalty: f64,
    /// Beta: to that, beta times the sum over the source's tokens of ln min(1, attention given to it in all steps) is added (ibid.); 0 for none.
    pub coverage_penalty: f64,
    /// The token before the first.
    pub start: u32,
    /// The token that ends a sentence.
    pub end: u32,
    /// The token that fills batches up. Neither it nor `start` is ever said.
    pub padding: u32,
}

impl Search {
    /// The translation of each sentence of `source`, without its end; `limits` gives the most tokens of each, the end among them.
    ///
    /// A token that ends the sentence counts where it is among the `beam` likeliest of all continuations; the search of a sentence is over when
    /// `beam` hypotheses have ended, or at its limit, and then the one with the best score is taken. The sums of probabilities are FP64.
    ///
    /// # Errors
    /// [`Error::Config`] for a beam of 0, a coverage penalty for a model without attention, and lengths or limits that are not as many as there are sentences; those of the model.
    pub fn translate<M: SequenceModel + ?Sized>(
        &self,
        model: &M,
        graph: &mut Graph<'_>,
        source: Sentences<'_>,
        lengths: &[u32],
        limits: &[usize],
    ) -> Result<Vec<Vec<u32>>> {
        self.check(source.batch, lengths.len(), limits.len())?;
        let new = |(&limit, &length): (&usize, &u32)| Beam::new(self, limit, length as usize);
        let mut beams: Vec<Beam> = limits.iter().zip(lengths).map(new).collect();
        let mut encoded = model.encode(graph, source, lengths)?;
        let mut state: Option<M::State> = None;
        // The sentence of each row.
        let mut owners: Vec<usize> = (0..beams.len()).collect();
        // A limit of nothing leaves nothing to say.
        let mut rows = live(&beams);
        while !rows.is_empty() {
            let parents: Vec<u32> = rows.iter().map(|row| row.parent).collect();
            let wanted: Vec<usize> = rows.iter().map(|row| row.sentence).collect();
            if let Some(before) = state.as_ref().filter(|_| !parents.iter().copied().eq(0..owners.len() as u32)) {
                state = Some(model.select_state(graph, before, &parents)?);
            }
            if wanted != owners {
                encoded = model.select_source(graph, &encoded, &parents)?;
                owners = wanted;
            }
            let tokens: Vec<u32> = rows.iter().map(|row| row.token).collect();
            let (logits, after) = model.step(graph, &encoded, &tokens, state.as_ref())?;
            let logits = logits.tensor().to_f32(&**graph.backend())?;
            let attention = self.attention(model, graph, &encoded, &after)?;
            state = Some(after);
            let (vocabulary, steps) = (logits.len() / rows.len(), attention.len() / rows.len());
            let mut first = 0;
            for beam in &mut beams {
                let end = first + beam.live();
                let attention = &attention[first * steps..end * steps];
                beam.advance(self, &logits[first * vocabulary..end * vocabulary], attention, first as u32);
                first = end;
            }
            rows = live(&beams);
        }
        Ok(beams.into_iter().map(Beam::best).collect())
    }

    /// Row after row; nothing where it is not asked for.
    fn attention<M: SequenceModel + ?Sized>(
        &self,
        model: &M,
        graph: &mut Graph<'_>,
        source: &M::Source,
        state: &M::State,
    ) -> Result<Vec<f32>> {
        if self.coverage_penalty == 0.0 {
            return Ok(Vec::new());
        }
        match model.attention(graph, source, state)? {
            Some(attention) => Ok(attention.tensor().to_f32(&**graph.backend())?),
            None => refuse("a coverage penalty for a model without attention".into()),
        }
    }

    fn check(&self, sentences: usize, lengths: usize, limits: usize) -> Result<()> {
        match (self.beam, sentences) {
            (0, _) => refuse("a beam of 0".into()),
            _ if lengths != sentences || limits != sentences => {
                refuse(format!("{sentences} sentences, {lengths} lengths, {limits} limits"))
            }
            _ if !(self.length_penalty.is_finite() && self.coverage_penalty.is_finite()) => {
                refuse(format!("penalties of {} and {}", self.length_penalty, self.coverage_penalty))
            }
            _ => Ok(()),
        }
    }
}

fn refuse<T>(reason: String) -> Result<T> {
    Err(Error::Config { model: "search", reason })
}

/// A hypothesis that is to be continued.
struct Row {
    sentence: usize,
    /// Its row in the step before.
    parent: u32,
    /// Its last token.
    token: u32,
}

/// The rows of the next step: the hypotheses of all sentences that have not ended, sentence by sentence.
fn live(beams: &[Beam]) -> Vec<Row> {
    let rows = beams.iter().enumerate();
    rows.flat_map(|(sentence, beam)| beam.rows().map(move |(parent, token)| Row { sentence, parent, token })).collect()
}
