//! The seam between devices.

mod classifier;
mod lstm;
mod sequence;
mod transformer;

pub use classifier::{LinearCrossEntropy, LogitsError};
pub use lstm::{LstmBackward, LstmForward, LstmOperands, LstmState};
pub use sequence::{
    AdditiveBackward, AdditiveGradients, AdditiveOperands, Dropout, EmbeddingBackward, EmbeddingForward,
};
pub use transformer::{
    AttentionBackward, AttentionGradients, AttentionOperands, LayerNormBackward, LayerNormForward, LayerNormGradients,
};

use crate::spec::{
    AdditiveAttention, Attention, BatchNorm, Conv2d, CrossEntropy, Embedding, Epilogue, Gemm, LayerNorm, Layout, Lstm,
    Pool2d, Store, UpdateRule,
};
use crate::{Buffer, DType, Error, Result};

/// One method per operation, over buffers of this backend. Object-safe; every implementation passes the same tests.
///
/// Conventions: shapes are dense, row-major and channels-last; every floating operand may be of any floating type
/// unless said otherwise, is decoded exactly and used as FP32; outputs are fully overwritten and their type must be
/// that of their [`Store`]; arguments are checked before anything is written.
pub trait Backend: Send + Sync {
    /// Name for people, e.g. `cpu (avx512, 2 threads)`.
    fn name(&self) -> String;

    /// Does `work` once, on a thread from which operations start fastest: on a CPU one of the backend's own, while its others stay awake. Work that several threads
    /// give to one backend may be done one after the other.
    fn run_within(&self, work: &mut (dyn FnMut() + Send)) {
        work();
    }

    /// Memory with contents that mean nothing, perhaps those of a dropped buffer: for an output, which will be fully overwritten,
    /// or for [`Backend::upload`].
    fn alloc(&self, dtype: DType, len: usize) -> Result<Buffer>;

    /// Copies `bytes` (little-endian elements) into the whole of `buffer`.
    fn upload(&self, bytes: &[u8], buffer: &mut Buffer) -> Result<()>;

    /// Copies the whole of `buffer` out; waits until it has been computed.
    fn download(&self, buffer: &Buffer, bytes: &mut [u8]) -> Result<()>;

    /// The bytes of the whole of `buffer` as the calls so far leave it. Who asks the [`Later`] for them waits until they have been computed; the caller of
    /// this does not, where a device computes by itself.
    fn download_later(&self, buffer: &Buffer) -> Result<Box<dyn Later>> {
        let mut bytes = vec![0; buffer.bytes()];
        self.download(buffer, &mut bytes)?;
        Ok(Box::new(bytes))
    }

    /// Bytes held now, and the most ever held since [`Backend::reset_peak`].
    fn memory(&self) -> Memory;

    /// Starts a new measurement of the peak.
    fn reset_peak(&self);

    /// y = store(x / x_scale): x holds codes of `x_scale` times the value.
    fn cast(&self, x: &Buffer, x_scale: f32, store: &Store, y: &mut Buffer) -> Result<()>;

    /// y (rows, channels) = `store(table[channel][x])`: bytes and what each stands for. x U8 (rows, channels), table F32 (channels, 256), finite.
    fn look_up(&self, channels: usize, x: &Buffer, table: &Buffer, store: &Store, y: &mut Buffer) -> Result<()> {
        let fits = x.dtype() == DType::U8 && table.dtype() == DType::F32 && table.len() == channels.saturating_mul(256);
        if !fits || channels == 0 || !x.len().is_multiple_of(channels) {
            let reason = format!("{channels} channels of {x:?}, by {table:?}");
            return Err(Error::Shape { op: "look_up", reason });
        }
        let (mut bytes, mut words) = (vec![0; x.bytes()], vec![0; table.bytes()]);
        self.download(x, &mut bytes)?;
        self.download(table, &mut words)?;
        let (words, _) = words.as_chunks::<4>();
        let tables = || words.as_chunks::<256>().0.iter().cycle();
        let values: Vec<[u8; 4]> = bytes.iter().zip(tables()).map(|(byte, table)| table[usize::from(*byte)]).collect();
        let mut wide = self.alloc(DType::F32, x.len())?;
        self.upload(values.as_flattened(), &mut wide)?;
        self.cast(&wide, 1.0, store, y)
    }

    /// Largest finite or infinite |x|; NaN if any element is NaN; 0 when empty.
    fn amax(&self, x: &Buffer) -> Result<f32>;

    /// How many elements are Inf or NaN.
    fn count_non_finite(&self, x: &Buffer) -> Result<usize>;

    /// How many elements are zero.
    fn count_zero(&self, x: &Buffer) -> Result<usize>;

    /// The sum of an F32 buffer by the fixed tree of docs/numerics.md.
    fn sum(&self, x: &Buffer) -> Result<f32>;

    /// The sum of squares of x / x_scale, by the fixed tree (gradient norms). Not finite if an element is not.
    fn sum_squares(&self, x: &Buffer, x_scale: f32) -> Result<f32>;

    /// [`Backend::sum_squares`] of each (x, `x_scale`). A device of its own is waited for once.
    fn sums_of_squares(&self, tensors: &[(&Buffer, f32)]) -> Result<Vec<f32>> {
        tensors.iter().map(|(x, x_scale)| self.sum_squares(x, *x_scale)).collect()
    }

    /// C = epilogue(A B). Sums in FP32 in the fixed order of docs/numerics.md.
    fn gemm(&self, gemm: &Gemm, a: &Buffer, b: &Buffer, epilogue: &Epilogue<'_>, c: &mut Buffer) -> Result<()>;

    /// y (N, OH, OW, O) = epilogue(x (N, H, W, I) * w (O, KH, KW, I)).
    fn conv2d(&self, conv: &Conv2d, x: &Buffer, w: &Buffer, epilogue: &Epilogue<'_>, y: &mut Buffer) -> Result<()>;

    /// dx (N, H, W, I) = epilogue(gradient of the input); the residual adds the gradient of other uses of x.
    fn conv2d_backward_data(
        &self,
        conv: &Conv2d,
        dy: &Buffer,
        w: &Buffer,
        epilogue: &Epilogue<'_>,
        dx: &mut Buffer,
    ) -> Result<()>;

    /// dw (O, KH, KW, I) = epilogue(gradient of the weight). Bias and activation of the epilogue must be absent.
    fn conv2d_backward_weight(
        &self,
        conv: &Conv2d,
        x: &Buffer,
        dy: &Buffer,
        epilogue: &Epilogue<'_>,
        dw: &mut Buffer,
    ) -> Result<()>;

    /// db (columns) = store(sum over rows of dy (rows, columns)): the gradient of a bias. Fixed tree.
    fn sum_rows(&self, rows: usize, columns: usize, dy: &Buffer, store: &Store, db: &mut Buffer) -> Result<()>;

    /// mean (channels) and biased variance (channels), F32, of x (rows, channels). Fixed tree, one pass.
    fn batch_norm_statistics(
        &self,
        norm: &BatchNorm,
        x: &Buffer,
        mean: &mut Buffer,
        variance: &mut Buffer,
    ) -> Result<()>;

    /// running = (1 - momentum) * running + momentum * batch, for the mean and the unbiased variance
    /// (rows / (rows - 1) times the biased one), F32 (channels), as torch.nn.BatchNorm2d.
    fn batch_norm_update_running(
        &self,
        norm: &BatchNorm,
        momentum: f32,
        batch: BatchStatistics<'_>,
        running_mean: &mut Buffer,
        running_variance: &mut Buffer,
    ) -> Result<()>;

    /// y = store(relu?(gamma * (x - mean) / sqrt(variance + epsilon) + beta + residual)).
    fn batch_norm(&self, norm: &BatchNorm, arguments: &BatchNormForward<'_>, y: &mut Buffer) -> Result<()>;

    /// The gradients of [`Backend::batch_norm`] in training (mean and variance are functions of x).
    /// With `y`, dy is first masked by y > 0 (the ReLU).
    fn batch_norm_backward(
        &self,
        norm: &BatchNorm,
        arguments: &BatchNormBackward<'_>,
        gradients: BatchNormGradients<'_>,
    ) -> Result<()>;

    /// y = store(max over the window), and the position in the window (row-major, first maximum) of each; U8.
    fn max_pool(&self, pool: &Pool2d, x: &Buffer, store: &Store, y: &mut Buffer, index: &mut Buffer) -> Result<()>;

    /// dx = store(sum of the dy whose maximum stood there).
    fn max_pool_backward(
        &self,
        pool: &Pool2d,
        dy: &Buffer,
        index: &Buffer,
        store: &Store,
        dx: &mut Buffer,
    ) -> Result<()>;

    /// y (N, C) = store(mean over the pixels of x (N, pixels, C)). Fixed tree.
    fn global_average_pool(&self, shape: [usize; 3], x: &Buffer, store: &Store, y: &mut Buffer) -> Result<()>;

    /// dx (N, pixels, C) = store(dy (N, C) / pixels).
    fn global_average_pool_backward(
        &self,
        shape: [usize; 3],
        dy: &Buffer,
        store: &Store,
        dx: &mut Buffer,
    ) -> Result<()>;

    /// y = store(relu?(a + b)); `b` absent: y = store(relu?(a)).
    fn add(&self, a: &Buffer, b: Option<&Buffer>, relu: bool, store: &Store, y: &mut Buffer) -> Result<()>;

    /// dx = store(dy where y > 0, plus residual).
    fn relu_backward(
        &self,
        y: &Buffer,
        dy: &Buffer,
        residual: Option<&Buffer>,
        store: &Store,
        dx: &mut Buffer,
    ) -> Result<()>;

    /// y (rows, width) = `store(factor * w[token] + position)`. A token that is no entry is an error that names its row.
    fn embedding(&self, embedding: &Embedding, arguments: &EmbeddingForward<'_>, y: &mut Buffer) -> Result<()>;

    /// dw (entries, width) = store(factor * sum of the dy of the rows with that token + residual), rows ascending; the padding's sum is
    /// zero.
    fn embedding_backward(
        &self,
        embedding: &Embedding,
        arguments: &EmbeddingBackward<'_>,
        dw: &mut Buffer,
    ) -> Result<()>;

    /// y = store((kept ? x / (1 - share) : 0) + residual): element `i` is kept where its 16-bit draw of the mask is at least
    /// round(65536 share). The backward pass is the same with dy for x.
    fn dropout(&self, dropout: &Dropout<'_>, y: &mut Buffer) -> Result<()>;

    /// y (rows, sum of widths) = store(parts (rows, width), side by side).
    fn join_columns(&self, rows: usize, parts: &[(&Buffer, usize)], store: &Store, y: &mut Buffer) -> Result<()>;

    /// y (rows, count) = store(columns `first .. first + count` of x (rows, total), plus residual).
    fn columns(
        &self,
        size: [usize; 2],
        columns: [usize; 2],
        x: &Buffer,
        residual: Option<&Buffer>,
        store: &Store,
        y: &mut Buffer,
    ) -> Result<()>;

    /// y (queries, batch, value_width): the values of each sequence, averaged by [`crate::additive_attention`].
    fn additive_attention(
        &self,
        shape: &AdditiveAttention,
        operands: &AdditiveOperands<'_>,
        store: &Store,
        y: &mut Buffer,
    ) -> Result<()>;

    /// The gradients of [`Backend::additive_attention`].
    fn additive_attention_backward(
        &self,
        shape: &AdditiveAttention,
        arguments: &AdditiveBackward<'_>,
        gradients: AdditiveGradients<'_>,
    ) -> Result<()>;

    /// y (rows, width) = store(gamma (x - mean) / sqrt(variance + epsilon) + beta), mean and biased variance those of the row.
    fn layer_norm(&self, norm: &LayerNorm, arguments: &LayerNormForward<'_>, y: &mut Buffer) -> Result<()>;

    /// The gradients of [`Backend::layer_norm`]: [`crate::layer_norm`].
    fn layer_norm_backward(
        &self,
        norm: &LayerNorm,
        arguments: &LayerNormBackward<'_>,
        gradients: LayerNormGradients<'_>,
    ) -> Result<()>;

    /// y (queries, batch, heads head_width): of each head the values, averaged by [`crate::attention`].
    fn attention(
        &self,
        shape: &Attention,
        operands: &AttentionOperands<'_>,
        store: &Store,
        y: &mut Buffer,
    ) -> Result<()>;

    /// The gradients of [`Backend::attention`].
    fn attention_backward(
        &self,
        shape: &Attention,
        arguments: &AttentionBackward<'_>,
        gradients: AttentionGradients<'_>,
    ) -> Result<()>;

    /// h (steps, batch, hidden), and `cells` (segments, batch, hidden), FP32: the cell state after each [`Lstm::SEGMENT`] steps and after the
    /// last; and, where a backward pass will want them, the `gates` (steps, batch, 4 hidden) before their functions, to nearest-even of that buffer's
    /// type, zeros past the end of a sequence. Formulas: [`crate::lstm`].
    fn lstm(
        &self,
        lstm: &Lstm,
        arguments: &LstmForward<'_>,
        h: &mut Buffer,
        cells: &mut Buffer,
        gates: Option<&mut Buffer>,
    ) -> Result<()>;

    /// dgates (steps, batch, 4 hidden): the errors of the gates before their functions; from them the gradients of x, of `w_input` and of
    /// the biases are plain products and sums.
    fn lstm_backward(&self, lstm: &Lstm, arguments: &LstmBackward<'_>, dgates: &mut Buffer) -> Result<()>;

    /// dw (4 hidden, hidden) = epilogue(gradient of `w_hidden`). Bias and activation of the epilogue must be absent.
    fn lstm_backward_weight(
        &self,
        lstm: &Lstm,
        h: &Buffer,
        dgates: &Buffer,
        epilogue: &Epilogue<'_>,
        dw: &mut Buffer,
    ) -> Result<()>;

    /// losses (rows), F32: -sum_c target_c * log softmax(logits)_c. Targets U32 (rows), each below `classes`
    /// (checked: [`crate::Error::Shape`] names the row) or [`CrossEntropy::IGNORED`], for which loss and gradient are zero.
    fn cross_entropy(&self, spec: &CrossEntropy, logits: &Buffer, targets: &Buffer, losses: &mut Buffer) -> Result<()>;

    /// dlogits = store(factor * (softmax(logits) - target)).
    fn cross_entropy_backward(
        &self,
        spec: &CrossEntropy,
        logits: &Buffer,
        targets: &Buffer,
        factor: f32,
        store: &Store,
        dlogits: &mut Buffer,
    ) -> Result<()>;

    /// losses (rows), F32, of the logits alpha x w^T + bias, and their error where it is asked for: to the bit
    /// [`Backend::gemm`] to F32, [`Backend::cross_entropy`] and [`Backend::cross_entropy_backward`]. No logits are left; a
    /// backend may have some rows of them at a time.
    fn linear_cross_entropy(
        &self,
        spec: &CrossEntropy,
        arguments: &LinearCrossEntropy<'_>,
        losses: &mut Buffer,
        error: Option<LogitsError<'_>>,
    ) -> Result<()> {
        let &LinearCrossEntropy { inputs, x, w, bias, alpha, targets } = arguments;
        let gemm = Gemm { m: spec.rows, n: spec.classes, k: inputs, layout: Layout::NT };
        let mut logits = self.alloc(DType::F32, spec.rows.saturating_mul(spec.classes))?;
        self.gemm(&gemm, x, w, &Epilogue { alpha, bias, ..Epilogue::store(Store::F32) }, &mut logits)?;
        self.cross_entropy(spec, &logits, targets, losses)?;
        match error {
            Some(LogitsError { factor, store, dlogits }) => {
                self.cross_entropy_backward(spec, &logits, targets, factor, &store, dlogits)
            }
            None => Ok(()),
        }
    }

    /// One fused pass over a parameter: un-scales the gradient, applies `rule` in FP32 to the decoded master and moments, stores the
    /// moments, the master and, from the master as stored, the working copy (so that a checkpoint of the master is enough). The
    /// master follows from the moments before these are rounded.
    fn update(&self, rule: &UpdateRule, parameter: ParameterUpdate<'_>) -> Result<()>;

    /// [`Backend::update`] of each, in any order. Where one is refused, others may have been done.
    fn update_all(&self, updates: Vec<(UpdateRule, ParameterUpdate<'_>)>) -> Result<()> {
        updates.into_iter().try_for_each(|(rule, parameter)| self.update(&rule, parameter))
    }
}

impl dyn Backend + '_ {
    /// What `work` comes to, done by [`Backend::run_within`]: for all that computes for long, such as a training run.
    ///
    /// # Panics
    /// Where `work` does.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let (mut work, mut result) = (Some(work), None);
        self.run_within(&mut || result = work.take().map(|work| work()));
        match result {
            Some(result) => result,
            None => unreachable!("a backend does the work it is given"),
        }
    }
}

/// Bytes that a device may still be computing.
pub trait Later: Send {
    /// The bytes; waits for them.
    fn bytes(self: Box<Self>) -> Result<Vec<u8>>;
}

/// Bytes that are there.
impl Later for Vec<u8> {
    fn bytes(self: Box<Self>) -> Result<Vec<u8>> {
        Ok(*self)
    }
}

/// Device memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Held now.
    pub held: usize,
    /// The most held at once.
    pub peak: usize,
}

/// Statistics of one batch, F32 (channels).
#[derive(Clone, Copy, Debug)]
pub struct BatchStatistics<'a> {
    /// Mean.
    pub mean: &'a Buffer,
    /// Biased variance.
    pub variance: &'a Buffer,
}

/// Inputs of [`Backend::batch_norm`].
#[derive(Clone, Copy, Debug)]
pub struct BatchNormForward<'a> {
    /// (rows, channels).
    pub x: &'a Buffer,
    /// Of the batch in training, running in evaluation.
    pub statistics: BatchStatistics<'a>,
    /// F32 (channels).
    pub gamma: &'a Buffer,
    /// F32 (channels).
    pub beta: &'a Buffer,
    /// Added before the ReLU; of x's shape.
    pub residual: Option<&'a Buffer>,
    /// Whether a ReLU follows.
    pub relu: bool,
    /// How y is stored.
    pub store: Store,
}

/// Inputs of [`Backend::batch_norm_backward`].
#[derive(Clone, Copy, Debug)]
pub struct BatchNormBackward<'a> {
    /// The saved input.
    pub x: &'a Buffer,
    /// Statistics of the batch.
    pub statistics: BatchStatistics<'a>,
    /// F32 (channels).
    pub gamma: &'a Buffer,
    /// The saved output when a ReLU followed.
    pub y: Option<&'a Buffer>,
    /// Error of the output.
    pub dy: &'a Buffer,
    /// How dx is stored.
    pub dx_store: Store,
    /// The error of other uses of the residual, added to its own before it is stored.
    pub residual_error: Option<&'a Buffer>,
    /// How the residual's error is stored.
    pub dresidual_store: Store,
}

/// Outputs of [`Backend::batch_norm_backward`].
#[derive(Debug)]
pub struct BatchNormGradients<'a> {
    /// (rows, channels).
    pub dx: &'a mut Buffer,
    /// F32 (channels).
    pub dgamma: &'a mut Buffer,
    /// F32 (channels).
    pub dbeta: &'a mut Buffer,
    /// Error of the residual, where there was one.
    pub dresidual: Option<&'a mut Buffer>,
}

/// One parameter of [`Backend::update`].
#[derive(Debug)]
pub struct ParameterUpdate<'a> {
    /// Gradient, still multiplied by the loss scale.
    pub gradient: &'a Buffer,
    /// 1 / (loss scale * the gradient's own scale * accumulated micro-batches), and times the clipping factor.
    pub unscale: f32,
    /// Master weights.
    pub master: &'a mut Buffer,
    /// How the master is stored; unscaled.
    pub master_store: Store,
    /// [`UpdateRule::moments`] of them, and how they are stored: unscaled, each with random bits of its own.
    pub moments: Vec<(&'a mut Buffer, Store)>,
    /// The working copy for the next forward pass; absent when the master itself is used.
    pub working: Option<(&'a mut Buffer, Store)>,
}
