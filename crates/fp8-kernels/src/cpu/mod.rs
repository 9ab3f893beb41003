//! [`Backend`] over host memory.

mod awake;
mod classifier;
mod lstm;
mod memory;
mod sequence;
mod transformer;

use std::sync::Arc;

use memory::{Host, Pool};

use crate::check;
use crate::isa::{self, Isa};
use crate::{
    AdditiveAttention, AdditiveBackward, AdditiveGradients, AdditiveOperands, Attention, AttentionBackward,
    AttentionGradients, AttentionOperands, Backend, BatchNorm, BatchNormBackward, BatchNormForward, BatchNormGradients,
    BatchStatistics, Buffer, Conv2d, CrossEntropy, DType, Dropout, Embedding, EmbeddingBackward, EmbeddingForward,
    Epilogue, EpilogueView, Error, Gemm, LayerNorm, LayerNormBackward, LayerNormForward, LayerNormGradients, Layout,
    LinearCrossEntropy, LogitsError, Lstm, LstmBackward, LstmForward, Memory, ParameterUpdate, Pool2d, Result, Store,
    UpdateRule, batch_norm, conv, cross_entropy, elementwise, gemm, pool, reduce, update,
};

/// The CPU: one instruction set and a pool of threads. Results are the same bytes for any number of threads and any
/// instruction set, but that AMX sums products of 8-bit operands in another order (docs/numerics.md, section 5). What
/// computes for long does so by [`Backend::run_within`], or `within` of `dyn Backend`: then threads need not be woken for
/// each operation.
#[derive(Debug)]
pub struct CpuBackend {
    isa: Isa,
    threads: rayon::ThreadPool,
    memory: Arc<Pool>,
}

/// Bytes of a thread's stack: as a program's first thread has, for what runs within a backend.
const STACK: usize = 8 << 20;

impl CpuBackend {
    /// The instruction set that [`isa::select`] names, and as many threads as the process may use (or `RAYON_NUM_THREADS`).
    ///
    /// # Errors
    /// [`Error::Isa`] where `FP8_ISA` names an instruction set that this CPU lacks; [`Error::Backend`] where threads cannot be started.
    pub fn new() -> Result<Self> {
        Self::with(isa::select()?, 0)
    }

    /// An instruction set of this CPU, and a number of threads; 0: as many as the process may use.
    ///
    /// # Errors
    /// [`Error::Backend`] where threads cannot be started.
    pub fn with(isa: Isa, threads: usize) -> Result<Self> {
        let threads = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("fp8-cpu-{i}"))
            .stack_size(STACK)
            .build()
            .map_err(|error| Error::Backend { backend: "cpu".into(), reason: error.to_string() })?;
        Ok(Self { isa, threads, memory: Arc::default() })
    }

    /// The instruction set.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// The number of threads.
    pub fn threads(&self) -> usize {
        self.threads.current_num_threads()
    }

    /// Runs a kernel on the threads of this backend.
    fn run<T: Send>(&self, kernel: impl FnOnce(Isa) -> T + Send) -> T {
        self.threads.install(|| kernel(self.isa))
    }
}

/// The arguments of an operation.
type Op = check::Op<Host>;

/// Names the operation in messages.
const fn op(name: &'static str) -> Op {
    Op { name, place: Host }
}

fn epilogue_view<'a>(op: Op, epilogue: &Epilogue<'a>, len: usize, columns: usize) -> Result<EpilogueView<'a>> {
    let bias = epilogue.bias.map(|bias| op.exactly("bias", bias, DType::F32, columns)).transpose()?;
    Ok(EpilogueView {
        alpha: epilogue.alpha,
        bias,
        residual: op.optional("residual", epilogue.residual, len)?,
        activation: epilogue.activation,
        store: epilogue.store,
    })
}

fn statistics<'a>(op: Op, batch: &BatchStatistics<'a>, channels: usize) -> Result<batch_norm::Statistics<'a>> {
    Ok(batch_norm::Statistics {
        mean: op.exactly("mean", batch.mean, DType::F32, channels)?,
        variance: op.exactly("variance", batch.variance, DType::F32, channels)?,
    })
}

impl Backend for CpuBackend {
    fn name(&self) -> String {
        let threads = self.threads();
        format!("cpu ({}, {threads} thread{})", self.isa, if threads == 1 { "" } else { "s" })
    }

    fn run_within(&self, work: &mut (dyn FnMut() + Send)) {
        awake::within(&self.threads, work);
    }

    fn alloc(&self, dtype: DType, len: usize) -> Result<Buffer> {
        let bytes = len.saturating_mul(dtype.size());
        let memory = self.memory.take(bytes).ok_or_else(|| Error::OutOfMemory {
            backend: self.name(),
            bytes,
            held: self.memory().held,
        })?;
        Ok(Buffer::new(dtype, len, Box::new(memory)))
    }

    fn upload(&self, bytes: &[u8], buffer: &mut Buffer) -> Result<()> {
        let (op, dtype) = (op("upload"), buffer.dtype());
        op.require(bytes.len() == buffer.bytes(), || format!("{} bytes for {buffer:?}", bytes.len()))?;
        let len = buffer.len();
        op.exactly_mut("buffer", buffer, dtype, len)?.bytes.copy_from_slice(bytes);
        Ok(())
    }

    fn download(&self, buffer: &Buffer, bytes: &mut [u8]) -> Result<()> {
        let op = op("download");
        op.require(bytes.len() == buffer.bytes(), || format!("{buffer:?} into {} bytes", bytes.len()))?;
        bytes.copy_from_slice(op.exactly("buffer", buffer, buffer.dtype(), buffer.len())?.bytes);
        Ok(())
    }

    fn memory(&self) -> Memory {
        self.memory.memory()
    }

    fn reset_peak(&self) {
        self.memory.reset_peak();
    }

    fn cast(&self, x: &Buffer, x_scale: f32, store: &Store, y: &mut Buffer) -> Result<()> {
        let op = op("cast");
        let (x, y) = (op.float("x", x, y.len())?, op.output("y", y, store, x.len())?);
        self.run(|isa| elementwise::cast(isa, x, x_scale, store, y));
        Ok(())
    }

    fn amax(&self, x: &Buffer) -> Result<f32> {
        let x = op("amax").float("x", x, x.len())?;
        Ok(self.run(|isa| reduce::amax(isa, x)))
    }

    fn count_non_finite(&self, x: &Buffer) -> Result<usize> {
        let x = op("count_non_finite").float("x", x, x.len())?;
        Ok(self.run(|isa| reduce::count_non_finite(isa, x)))
    }

    fn count_zero(&self, x: &Buffer) -> Result<usize> {
        let x = op("count_zero").float("x", x, x.len())?;
        Ok(self.run(|isa| reduce::count_zero(isa, x)))
    }

    fn sum(&self, x: &Buffer) -> Result<f32> {
        let x = op("sum").exactly("x", x, DType::F32, x.len())?;
        Ok(self.run(|isa| reduce::sum(isa, x)))
    }

    fn sum_squares(&self, x: &Buffer, x_scale: f32) -> Result<f32> {
        let x = op("sum_squares").float("x", x, x.len())?;
        Ok(self.run(|isa| reduce::sum_squares(isa, x, x_scale)))
    }

    fn gemm(&self, gemm: &Gemm, a: &Buffer, b: &Buffer, epilogue: &Epilogue<'_>, c: &mut Buffer) -> Result<()> {
        let (op, &Gemm { m, n, k, layout: Layout::NN | Layout::NT | Layout::TN }) = (op("gemm"), gemm);
        let (a, b) = (op.float("a", a, op.len(&[m, k])?)?, op.float("b", b, op.len(&[k, n])?)?);
        let len = op.len(&[m, n])?;
        let epilogue = epilogue_view(op, epilogue, len, n)?;
        let c = op.output("c", c, &epilogue.store, len)?;
        self.run(|isa| gemm::gemm(isa, gemm, a, b, &epilogue, c));
        Ok(())
    }

    fn conv2d(&self, conv: &Conv2d, x: &Buffer, w: &Buffer, epilogue: &Epilogue<'_>, y: &mut Buffer) -> Result<()> {
        let op = op("conv2d");
        let [x_len, w_len, y_len] = op.conv2d(conv)?;
        let (x, w) = (op.float("x", x, x_len)?, op.float("w", w, w_len)?);
        let epilogue = epilogue_view(op, epilogue, y_len, conv.out_channels)?;
        let y = op.output("y", y, &epilogue.store, y_len)?;
        self.run(|isa| conv::forward(isa, conv, x, w, &epilogue, y));
        Ok(())
    }

    fn conv2d_backward_data(
        &self,
        conv: &Conv2d,
        dy: &Buffer,
        w: &Buffer,
        epilogue: &Epilogue<'_>,
        dx: &mut Buffer,
    ) -> Result<()> {
        let op = op("conv2d_backward_data");
        let [x_len, w_len, y_len] = op.conv2d(conv)?;
        let (dy, w) = (op.float("dy", dy, y_len)?, op.float("w", w, w_len)?);
        let epilogue = epilogue_view(op, epilogue, x_len, conv.in_channels)?;
        let dx = op.output("dx", dx, &epilogue.store, x_len)?;
        self.run(|isa| conv::backward_data(isa, conv, dy, w, &epilogue, dx));
        Ok(())
    }

    fn conv2d_backward_weight(
        &self,
        conv: &Conv2d,
        x: &Buffer,
        dy: &Buffer,
        epilogue: &Epilogue<'_>,
        dw: &mut Buffer,
    ) -> Result<()> {
        let op = op("conv2d_backward_weight");
        op.require(epilogue.bias.is_none() && epilogue.activation == crate::Activation::None, || {
            "a weight gradient takes neither bias nor activation".into()
        })?;
        let [x_len, w_len, y_len] = op.conv2d(conv)?;
        let (x, dy) = (op.float("x", x, x_len)?, op.float("dy", dy, y_len)?);
        let epilogue = epilogue_view(op, epilogue, w_len, conv.in_channels)?;
        let dw = op.output("dw", dw, &epilogue.store, w_len)?;
        self.run(|isa| conv::backward_weight(isa, conv, x, dy, &epilogue, dw));
        Ok(())
    }

    fn sum_rows(&self, rows: usize, columns: usize, dy: &Buffer, store: &Store, db: &mut Buffer) -> Result<()> {
        let op = op("sum_rows");
        let (dy, db) = (op.float("dy", dy, op.len(&[rows, columns])?)?, op.output("db", db, store, columns)?);
        self.run(|isa| reduce::sum_rows(isa, columns, dy, store, db));
        Ok(())
    }

    fn batch_norm_statistics(
        &self,
        norm: &BatchNorm,
        x: &Buffer,
        mean: &mut Buffer,
        variance: &mut Buffer,
    ) -> Result<()> {
        let op = op("batch_norm_statistics");
        op.require(norm.rows > 0, || "the statistics of no rows".into())?;
        let x = op.float("x", x, op.len(&[norm.rows, norm.channels])?)?;
        let mean = op.exactly_mut("mean", mean, DType::F32, norm.channels)?;
        let variance = op.exactly_mut("variance", variance, DType::F32, norm.channels)?;
        self.run(|isa| batch_norm::statistics(isa, norm, x, mean, variance));
        Ok(())
    }

    fn batch_norm_update_running(
        &self,
        norm: &BatchNorm,
        momentum: f32,
        batch: BatchStatistics<'_>,
        running_mean: &mut Buffer,
        running_variance: &mut Buffer,
    ) -> Result<()> {
        let op = op("batch_norm_update_running");
        op.require(norm.rows > 1, || format!("the unbiased variance of {} rows", norm.rows))?;
        let batch = statistics(op, &batch, norm.channels)?;
        let mean = op.exactly_mut("running_mean", running_mean, DType::F32, norm.channels)?;
        let variance = op.exactly_mut("running_variance", running_variance, DType::F32, norm.channels)?;
        batch_norm::update_running(self.isa, norm, momentum, batch, mean, variance);
        Ok(())
    }

    fn batch_norm(&self, norm: &BatchNorm, arguments: &BatchNormForward<'_>, y: &mut Buffer) -> Result<()> {
        let (op, channels) = (op("batch_norm"), norm.channels);
        let len = op.len(&[norm.rows, channels])?;
        let forward = batch_norm::Forward {
            x: op.float("x", arguments.x, len)?,
            statistics: statistics(op, &arguments.statistics, channels)?,
            gamma: op.exactly("gamma", arguments.gamma, DType::F32, channels)?,
            beta: op.exactly("beta", arguments.beta, DType::F32, channels)?,
            residual: op.optional("residual", arguments.residual, len)?,
            relu: arguments.relu,
        };
        let y = op.output("y", y, &arguments.store, len)?;
        self.run(|isa| batch_norm::forward(isa, norm, &forward, &arguments.store, y));
        Ok(())
    }

    fn batch_norm_backward(
        &self,
        norm: &BatchNorm,
        arguments: &BatchNormBackward<'_>,
        gradients: BatchNormGradients<'_>,
    ) -> Result<()> {
        let (op, channels) = (op("batch_norm_backward"), norm.channels);
        let len = op.len(&[norm.rows, channels])?;
        let backward = batch_norm::Backward {
            x: op.float("x", arguments.x, len)?,
            statistics: statistics(op, &arguments.statistics, channels)?,
            gamma: op.exactly("gamma", arguments.gamma, DType::F32, channels)?,
            y: op.optional("y", arguments.y, len)?,
            dy: op.float("dy", arguments.dy, len)?,
            dx_store: arguments.dx_store,
            residual_error: op.optional("residual_error", arguments.residual_error, len)?,
            dresidual_store: arguments.dresidual_store,
        };
        let dresidual = gradients.dresidual;
        let gradients = batch_norm::Gradients {
            dx: op.output("dx", gradients.dx, &arguments.dx_store, len)?,
            dgamma: op.exactly_mut("dgamma", gradients.dgamma, DType::F32, channels)?,
            dbeta: op.exactly_mut("dbeta", gradients.dbeta, DType::F32, channels)?,
            dresidual: dresidual
                .map(|dresidual| op.output("dresidual", dresidual, &arguments.dresidual_store, len))
                .transpose()?,
        };
        self.run(|isa| batch_norm::backward(isa, norm, &backward, gradients));
        Ok(())
    }

    fn max_pool(&self, pool: &Pool2d, x: &Buffer, store: &Store, y: &mut Buffer, index: &mut Buffer) -> Result<()> {
        let op = op("max_pool");
        let [x_len, y_len] = op.pool2d(pool)?;
        let (x, y) = (op.float("x", x, x_len)?, op.output("y", y, store, y_len)?);
        let index = op.exactly_mut("index", index, DType::U8, y_len)?;
        self.run(|isa| pool::max(isa, pool, x, store, y, index.bytes));
        Ok(())
    }

    fn max_pool_backward(
        &self,
        pool: &Pool2d,
        dy: &Buffer,
        index: &Buffer,
        store: &Store,
        dx: &mut Buffer,
    ) -> Result<()> {
        let op = op("max_pool_backward");
        let [x_len, y_len] = op.pool2d(pool)?;
        let (dy, index) = (op.float("dy", dy, y_len)?, op.exactly("index", index, DType::U8, y_len)?);
        let dx = op.output("dx", dx, store, x_len)?;
        self.run(|isa| pool::max_backward(isa, pool, dy, index.bytes, store, dx));
        Ok(())
    }

    fn global_average_pool(&self, shape: [usize; 3], x: &Buffer, store: &Store, y: &mut Buffer) -> Result<()> {
        let (op, [n, pixels, c]) = (op("global_average_pool"), shape);
        op.require(pixels > 0, || "the average of no pixels".into())?;
        let x = op.float("x", x, op.len(&shape)?)?;
        let y = op.output("y", y, store, op.len(&[n, c])?)?;
        self.run(|isa| pool::global_average(isa, shape, x, store, y));
        Ok(())
    }

    fn global_average_pool_backward(
        &self,
        shape: [usize; 3],
        dy: &Buffer,
        store: &Store,
        dx: &mut Buffer,
    ) -> Result<()> {
        let (op, [n, _, c]) = (op("global_average_pool_backward"), shape);
        let dy = op.float("dy", dy, op.len(&[n, c])?)?;
        let dx = op.output("dx", dx, store, op.len(&shape)?)?;
        self.run(|isa| pool::global_average_backward(isa, shape, dy, store, dx));
        Ok(())
    }

    fn add(&self, a: &Buffer, b: Option<&Buffer>, relu: bool, store: &Store, y: &mut Buffer) -> Result<()> {
        let (op, len) = (op("add"), a.len());
        let (a, b) = (op.float("a", a, len)?, op.optional("b", b, len)?);
        let y = op.output("y", y, store, len)?;
        self.run(|isa| elementwise::add(isa, a, b, relu, store, y));
        Ok(())
    }

    fn relu_backward(
        &self,
        y: &Buffer,
        dy: &Buffer,
        residual: Option<&Buffer>,
        store: &Store,
        dx: &mut Buffer,
    ) -> Result<()> {
        let (op, len) = (op("relu_backward"), y.len());
        let (y, dy) = (op.float("y", y, len)?, op.float("dy", dy, len)?);
        let residual = op.optional("residual", residual, len)?;
        let dx = op.output("dx", dx, store, len)?;
        self.run(|isa| elementwise::relu_backward(isa, Some(y), dy, residual, store, dx));
        Ok(())
    }

    fn embedding(&self, embedding: &Embedding, arguments: &EmbeddingForward<'_>, y: &mut Buffer) -> Result<()> {
        sequence::embedding(self, embedding, arguments, y)
    }

    fn embedding_backward(
        &self,
        embedding: &Embedding,
        arguments: &EmbeddingBackward<'_>,
        dw: &mut Buffer,
    ) -> Result<()> {
        sequence::embedding_backward(self, embedding, arguments, dw)
    }

    fn dropout(&self, dropout: &Dropout<'_>, y: &mut Buffer) -> Result<()> {
        sequence::dropout(self, dropout, y)
    }

    fn join_columns(&self, rows: usize, parts: &[(&Buffer, usize)], store: &Store, y: &mut Buffer) -> Result<()> {
        sequence::join_columns(self, rows, parts, store, y)
    }

    fn columns(
        &self,
        size: [usize; 2],
        columns: [usize; 2],
        x: &Buffer,
        residual: Option<&Buffer>,
        store: &Store,
        y: &mut Buffer,
    ) -> Result<()> {
        sequence::columns(self, size, columns, [Some(x), residual], store, y)
    }

    fn additive_attention(
        &self,
        shape: &AdditiveAttention,
        operands: &AdditiveOperands<'_>,
        store: &Store,
        y: &mut Buffer,
    ) -> Result<()> {
        sequence::additive_attention(self, shape, operands, store, y)
    }

    fn additive_attention_backward(
        &self,
        shape: &AdditiveAttention,
        arguments: &AdditiveBackward<'_>,
        gradients: AdditiveGradients<'_>,
    ) -> Result<()> {
        sequence::additive_attention_backward(self, shape, arguments, gradients)
    }

    fn layer_norm(&self, norm: &LayerNorm, arguments: &LayerNormForward<'_>, y: &mut Buffer) -> Result<()> {
        transformer::layer_norm(self, norm, arguments, y)
    }

    fn layer_norm_backward(
        &self,
        norm: &LayerNorm,
        arguments: &LayerNormBackward<'_>,
        gradients: LayerNormGradients<'_>,
    ) -> Result<()> {
        transformer::layer_norm_backward(self, norm, arguments, gradients)
    }

    fn attention(
        &self,
        shape: &Attention,
        operands: &AttentionOperands<'_>,
        store: &Store,
        y: &mut Buffer,
    ) -> Result<()> {
        transformer::attention(self, shape, operands, store, y)
    }

    fn attention_backward(
        &self,
        shape: &Attention,
        arguments: &AttentionBackward<'_>,
        gradients: AttentionGradients<'_>,
    ) -> Result<()> {
        transformer::attention_backward(self, shape, arguments, gradients)
    }

    fn lstm(
        &self,
        lstm: &Lstm,
        arguments: &LstmForward<'_>,
        h: &mut Buffer,
        cells: &mut Buffer,
        gates: Option<&mut Buffer>,
    ) -> Result<()> {
        lstm::forward(self, lstm, arguments, h, cells, gates)
    }

    fn lstm_backward(&self, lstm: &Lstm, arguments: &LstmBackward<'_>, dgates: &mut Buffer) -> Result<()> {
        lstm::backward(self, lstm, arguments, dgates)
    }

    fn lstm_backward_weight(
        &self,
        lstm: &Lstm,
        h: &Buffer,
        dgates: &Buffer,
        epilogue: &Epilogue<'_>,
        dw: &mut Buffer,
    ) -> Result<()> {
        lstm::backward_weight(self, lstm, h, dgates, epilogue, dw)
    }

    fn cross_entropy(&self, spec: &CrossEntropy, logits: &Buffer, targets: &Buffer, losses: &mut Buffer) -> Result<()> {
        let op = op("cross_entropy");
        let logits = op.float("logits", logits, op.len(&[spec.rows, spec.classes])?)?;
        let targets = op.classes(spec, targets)?;
        let losses = op.exactly_mut("losses", losses, DType::F32, spec.rows)?;
        self.run(|isa| cross_entropy::forward(isa, spec, logits, &targets, losses));
        Ok(())
    }

    fn cross_entropy_backward(
        &self,
        spec: &CrossEntropy,
        logits: &Buffer,
        targets: &Buffer,
        factor: f32,
        store: &Store,
        dlogits: &mut Buffer,
    ) -> Result<()> {
        let (op, len) = (op("cross_entropy_backward"), op("cross_entropy_backward").len(&[spec.rows, spec.classes])?);
        let logits = op.float("logits", logits, len)?;
        let targets = op.classes(spec, targets)?;
        let dlogits = op.output("dlogits", dlogits, store, len)?;
        self.run(|isa| cross_entropy::backward(isa, spec, logits, &targets, factor, store, dlogits));
        Ok(())
    }

    fn linear_cross_entropy(
        &self,
        spec: &CrossEntropy,
        arguments: &LinearCrossEntropy<'_>,
        losses: &mut Buffer,
        error: Option<LogitsError<'_>>,
    ) -> Result<()> {
        classifier::linear_cross_entropy(self, spec, arguments, losses, error)
    }

    fn update(&self, rule: &UpdateRule, parameter: ParameterUpdate<'_>) -> Result<()> {
        let (op, len) = (op("update"), parameter.gradient.len());
        op.require(parameter.moments.len() == rule.moments(), || {
            format!("{} moments for a rule that keeps {}", parameter.moments.len(), rule.moments())
        })?;
        let moments =
            parameter.moments.into_iter().map(|(moment, store)| Ok((op.output("moment", moment, &store, len)?, store)));
        let parameter = update::Parameter {
            gradient: op.float("gradient", parameter.gradient, len)?,
            unscale: parameter.unscale,
            moments: moments.collect::<Result<_>>()?,
            master: op.output("master", parameter.master, &parameter.master_store, len)?,
            master_store: parameter.master_store,
            working: parameter
                .working
                .map(|(working, store)| Ok((op.output("working", working, &store, len)?, store)))
                .transpose()?,
        };
        self.run(|isa| update::update(isa, rule, parameter));
        Ok(())
    }
}
