//! [`CudaBackend`].

use std::sync::Arc;

use fp8_kernels::{
    AdditiveAttention, AdditiveBackward, AdditiveGradients, AdditiveOperands, Attention, AttentionBackward,
    AttentionGradients, AttentionOperands, Backend, BatchNorm, BatchNormBackward, BatchNormForward, BatchNormGradients,
    BatchStatistics, Buffer, Conv2d, CrossEntropy, DType, Dropout, Embedding, EmbeddingBackward, EmbeddingForward,
    Epilogue, Gemm, Later, LayerNorm, LayerNormBackward, LayerNormForward, LayerNormGradients, LinearCrossEntropy,
    LogitsError, Lstm, LstmBackward, LstmForward, Memory, ParameterUpdate, Pool2d, Result, Store, UpdateRule,
};

use crate::accumulation::Accumulation;
use crate::cache::Cache;
use crate::device::Device;
use crate::error::Error;
use crate::memory::DeviceMemory;
use crate::operand::numbers_of;
use crate::{
    additive_attention, attention, batch_norm, columns, conv, cross_entropy, elementwise, embedding, gemm, layer_norm,
    lstm, pool, reduce, update,
};

/// One NVIDIA GPU. Operations are started in the order of the calls and computed in it; [`Backend::download`] and what returns a number wait.
#[derive(Debug)]
pub struct CudaBackend {
    device: Arc<Device>,
}

impl CudaBackend {
    /// Card `ordinal`, as the driver counts them, with the user's cache of compiled kernels ([`Cache::of_user`]).
    ///
    /// # Errors
    /// Where there is no driver, no such card, or the card is older than the kernels' oldest (compute capability 8.0), or `$FP8_CUDA_CAPABILITY`, as which
    /// [`CudaBackend::like`] takes the card, is no capability.
    pub fn new(ordinal: usize, accumulation: Accumulation) -> std::result::Result<Self, Error> {
        Self::with(ordinal, accumulation, Cache::of_user())
    }

    /// The same by the kernels that a card of this compute capability gets, where it is older than the card's: to test and to measure them on a card at hand.
    ///
    /// # Errors
    /// As [`CudaBackend::new`].
    pub fn like(
        capability: (u32, u32),
        ordinal: usize,
        accumulation: Accumulation,
    ) -> std::result::Result<Self, Error> {
        Ok(Self::on(Device::open(ordinal, accumulation, Cache::of_user(), Some(capability))?))
    }

    /// The same with another cache.
    ///
    /// # Errors
    /// As [`CudaBackend::new`].
    pub fn with(ordinal: usize, accumulation: Accumulation, cache: Cache) -> std::result::Result<Self, Error> {
        Ok(Self::on(Device::open(ordinal, accumulation, cache, of_environment()?)?))
    }

    pub(crate) fn on(device: Arc<Device>) -> Self {
        Self { device }
    }

    /// The compute capability that kernels are chosen by: the card's, unless an older one was asked for.
    pub fn capability(&self) -> (u32, u32) {
        self.device.capability
    }

    /// Multiprocessors of the card.
    pub fn multiprocessors(&self) -> u32 {
        self.device.multiprocessors
    }

    /// Waits until all has been computed.
    ///
    /// # Errors
    /// Where a kernel failed.
    pub fn synchronize(&self) -> Result<()> {
        self.device.synchronize()
    }
}

/// `$FP8_CUDA_CAPABILITY`.
fn of_environment() -> std::result::Result<Option<(u32, u32)>, Error> {
    let Some(given) = std::env::var_os("FP8_CUDA_CAPABILITY") else { return Ok(None) };
    let given = given.to_string_lossy();
    let numbers = given.split_once('.').map(|(major, minor)| (major.parse(), minor.parse()));
    match numbers {
        Some((Ok(major), Ok(minor))) if major >= 8 => Ok(Some((major, minor))),
        _ => Err(Error::Capability { given: given.into_owned() }),
    }
}

impl Backend for CudaBackend {
    fn name(&self) -> String {
        self.device.name.clone()
    }

    fn alloc(&self, dtype: DType, len: usize) -> Result<Buffer> {
        let memory = DeviceMemory::new(&self.device, len.saturating_mul(dtype.size()))?;
        Ok(Buffer::new(dtype, len, Box::new(memory)))
    }

    fn upload(&self, bytes: &[u8], buffer: &mut Buffer) -> Result<()> {
        let (op, dtype, len) = (self.device.op("upload"), buffer.dtype(), buffer.len());
        op.require(bytes.len() == buffer.bytes(), || format!("{} bytes for {buffer:?}", bytes.len()))?;
        op.exactly_mut("buffer", buffer, dtype, len)?;
        match buffer.storage_mut().as_any_mut().downcast_mut::<DeviceMemory>() {
            Some(memory) => {
                memory.numbers = (dtype == DType::U32).then(|| numbers_of(bytes));
                memory.write(bytes)
            }
            None => unreachable!("checked above"),
        }
    }

    fn download(&self, buffer: &Buffer, bytes: &mut [u8]) -> Result<()> {
        let op = self.device.op("download");
        op.require(bytes.len() == buffer.bytes(), || format!("{buffer:?} into {} bytes", bytes.len()))?;
        op.exactly("buffer", buffer, buffer.dtype(), buffer.len())?;
        match buffer.storage().as_any().downcast_ref::<DeviceMemory>() {
            Some(memory) => memory.read(bytes),
            None => unreachable!("checked above"),
        }
    }

    fn download_later(&self, buffer: &Buffer) -> Result<Box<dyn Later>> {
        let op = self.device.op("download_later");
        op.exactly("buffer", buffer, buffer.dtype(), buffer.len())?;
        match buffer.storage().as_any().downcast_ref::<DeviceMemory>() {
            Some(memory) => memory.read_later(),
            None => unreachable!("checked above"),
        }
    }

    fn memory(&self) -> Memory {
        self.device.memory.memory()
    }

    fn reset_peak(&self) {
        self.device.memory.reset_peak();
    }

    fn cast(&self, x: &Buffer, x_scale: f32, store: &Store, y: &mut Buffer) -> Result<()> {
        elementwise::cast(&self.device, x, x_scale, store, y)
    }

    fn look_up(&self, channels: usize, x: &Buffer, table: &Buffer, store: &Store, y: &mut Buffer) -> Result<()> {
        elementwise::look_up(&self.device, channels, x, table, store, y)
    }

    fn amax(&self, x: &Buffer) -> Result<f32> {
        reduce::amax(&self.device, x)
    }

    fn count_non_finite(&self, x: &Buffer) -> Result<usize> {
        reduce::counts(&self.device, "count_non_finite", x).map(|[non_finite, _]| non_finite)
    }

    fn count_zero(&self, x: &Buffer) -> Result<usize> {
        reduce::counts(&self.device, "count_zero", x).map(|[_, zeros]| zeros)
    }

    fn sum(&self, x: &Buffer) -> Result<f32> {
        reduce::sum(&self.device, x)
    }

    fn sum_squares(&self, x: &Buffer, x_scale: f32) -> Result<f32> {
        Ok(reduce::sums_of_squares(&self.device, &[(x, x_scale)])?[0])
    }

    fn sums_of_squares(&self, tensors: &[(&Buffer, f32)]) -> Result<Vec<f32>> {
        reduce::sums_of_squares(&self.device, tensors)
    }

    fn gemm(&self, gemm: &Gemm, a: &Buffer, b: &Buffer, epilogue: &Epilogue<'_>, c: &mut Buffer) -> Result<()> {
        gemm::gemm(&self.device, gemm, a, b, epilogue, c)
    }

    fn conv2d(&self, conv: &Conv2d, x: &Buffer, w: &Buffer, epilogue: &Epilogue<'_>, y: &mut Buffer) -> Result<()> {
        conv::forward(&self.device, conv, x, w, epilogue, y)
    }

    fn conv2d_backward_data(
        &self,
        conv: &Conv2d,
        dy: &Buffer,
        w: &Buffer,
        epilogue: &Epilogue<'_>,
        dx: &mut Buffer,
    ) -> Result<()> {
        conv::backward_data(&self.device, conv, dy, w, epilogue, dx)
    }

    fn conv2d_backward_weight(
        &self,
        conv: &Conv2d,
        x: &Buffer,
        dy: &Buffer,
        epilogue: &Epilogue<'_>,
        dw: &mut Buffer,
    ) -> Result<()> {
        conv::backward_weight(&self.device, conv, x, dy, epilogue, dw)
    }

    fn sum_rows(&self, rows: usize, columns: usize, dy: &Buffer, store: &Store, db: &mut Buffer) -> Result<()> {
        reduce::sum_rows(&self.device, rows, columns, dy, store, db)
    }

    fn batch_norm_statistics(
        &self,
        norm: &BatchNorm,
        x: &Buffer,
        mean: &mut Buffer,
        variance: &mut Buffer,
    ) -> Result<()> {
        batch_norm::statistics(&self.device, norm, x, mean, variance)
    }

    fn batch_norm_update_running(
        &self,
        norm: &BatchNorm,
        momentum: f32,
        batch: BatchStatistics<'_>,
        running_mean: &mut Buffer,
        running_variance: &mut Buffer,
    ) -> Result<()> {
        batch_norm::update_running(&self.device, norm, momentum, batch, running_mean, running_variance)
    }

    fn batch_norm(&self, norm: &BatchNorm, arguments: &BatchNormForward<'_>, y: &mut Buffer) -> Result<()> {
        batch_norm::forward(&self.device, norm, arguments, y)
    }

    fn batch_norm_backward(
        &self,
        norm: &BatchNorm,
        arguments: &BatchNormBackward<'_>,
        gradients: BatchNormGradients<'_>,
    ) -> Result<()> {
        batch_norm::backward(&self.device, norm, arguments, gradients)
    }

    fn max_pool(&self, pool: &Pool2d, x: &Buffer, store: &Store, y: &mut Buffer, index: &mut Buffer) -> Result<()> {
        pool::max(&self.device, pool, x, store, y, index)
    }

    fn max_pool_backward(
        &self,
        pool: &Pool2d,
        dy: &Buffer,
        index: &Buffer,
        store: &Store,
        dx: &mut Buffer,
    ) -> Result<()> {
        pool::max_backward(&self.device, pool, dy, index, store, dx)
    }

    fn global_average_pool(&self, shape: [usize; 3], x: &Buffer, store: &Store, y: &mut Buffer) -> Result<()> {
        pool::average(&self.device, shape, x, store, y)
    }

    fn global_average_pool_backward(
        &self,
        shape: [usize; 3],
        dy: &Buffer,
        store: &Store,
        dx: &mut Buffer,
    ) -> Result<()> {
        pool::average_backward(&self.device, shape, dy, store, dx)
    }

    fn add(&self, a: &Buffer, b: Option<&Buffer>, relu: bool, store: &Store, y: &mut Buffer) -> Result<()> {
        elementwise::add(&self.device, a, b, relu, store, y)
    }

    fn relu_backward(
        &self,
        y: &Buffer,
        dy: &Buffer,
        residual: Option<&Buffer>,
        store: &Store,
        dx: &mut Buffer,
    ) -> Result<()> {
        elementwise::relu_backward(&self.device, y, dy, residual, store, dx)
    }

    fn embedding(&self, embedding: &Embedding, arguments: &EmbeddingForward<'_>, y: &mut Buffer) -> Result<()> {
        embedding::forward(&self.device, embedding, arguments, y)
    }

    fn embedding_backward(
        &self,
        embedding: &Embedding,
        arguments: &EmbeddingBackward<'_>,
        dw: &mut Buffer,
    ) -> Result<()> {
        embedding::backward(&self.device, embedding, arguments, dw)
    }

    fn dropout(&self, dropout: &Dropout<'_>, y: &mut Buffer) -> Result<()> {
        elementwise::dropout(&self.device, dropout, y)
    }

    fn join_columns(&self, rows: usize, parts: &[(&Buffer, usize)], store: &Store, y: &mut Buffer) -> Result<()> {
        columns::join(&self.device, rows, parts, store, y)
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
        columns::columns(&self.device, size, columns, [Some(x), residual], store, y)
    }

    fn additive_attention(
        &self,
        shape: &AdditiveAttention,
        operands: &AdditiveOperands<'_>,
        store: &Store,
        y: &mut Buffer,
    ) -> Result<()> {
        additive_attention::forward(&self.device, shape, operands, store, y)
    }

    fn additive_attention_backward(
        &self,
        shape: &AdditiveAttention,
        arguments: &AdditiveBackward<'_>,
        gradients: AdditiveGradients<'_>,
    ) -> Result<()> {
        additive_attention::backward(&self.device, shape, arguments, gradients)
    }

    fn layer_norm(&self, norm: &LayerNorm, arguments: &LayerNormForward<'_>, y: &mut Buffer) -> Result<()> {
        layer_norm::forward(&self.device, norm, arguments, y)
    }

    fn layer_norm_backward(
        &self,
        norm: &LayerNorm,
        arguments: &LayerNormBackward<'_>,
        gradients: LayerNormGradients<'_>,
    ) -> Result<()> {
        layer_norm::backward(&self.device, norm, arguments, gradients)
    }

    fn attention(
        &self,
        shape: &Attention,
        operands: &AttentionOperands<'_>,
        store: &Store,
        y: &mut Buffer,
    ) -> Result<()> {
        attention::forward(&self.device, shape, operands, store, y)
    }

    fn attention_backward(
        &self,
        shape: &Attention,
        arguments: &AttentionBackward<'_>,
        gradients: AttentionGradients<'_>,
    ) -> Result<()> {
        attention::backward(&self.device, shape, arguments, gradients)
    }

    fn lstm(
        &self,
        lstm: &Lstm,
        arguments: &LstmForward<'_>,
        h: &mut Buffer,
        cells: &mut Buffer,
        gates: Option<&mut Buffer>,
    ) -> Result<()> {
        lstm::forward(&self.device, lstm, arguments, h, cells, gates)
    }

    fn lstm_backward(&self, lstm: &Lstm, arguments: &LstmBackward<'_>, dgates: &mut Buffer) -> Result<()> {
        lstm::backward(&self.device, lstm, arguments, dgates)
    }

    fn lstm_backward_weight(
        &self,
        lstm: &Lstm,
        h: &Buffer,
        dgates: &Buffer,
        epilogue: &Epilogue<'_>,
        dw: &mut Buffer,
    ) -> Result<()> {
        lstm::backward_weight(&self.device, lstm, h, dgates, epilogue, dw)
    }

    fn cross_entropy(&self, spec: &CrossEntropy, logits: &Buffer, targets: &Buffer, losses: &mut Buffer) -> Result<()> {
        cross_entropy::forward(&self.device, spec, logits, targets, losses)
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
        cross_entropy::backward(&self.device, spec, logits, targets, factor, store, dlogits)
    }

    fn linear_cross_entropy(
        &self,
        spec: &CrossEntropy,
        arguments: &LinearCrossEntropy<'_>,
        losses: &mut Buffer,
        error: Option<LogitsError<'_>>,
    ) -> Result<()> {
        cross_entropy::linear(&self.device, spec, arguments, losses, error)
    }

    fn update(&self, rule: &UpdateRule, parameter: ParameterUpdate<'_>) -> Result<()> {
        update::update_all(&self.device, vec![(*rule, parameter)])
    }

    fn update_all(&self, updates: Vec<(UpdateRule, ParameterUpdate<'_>)>) -> Result<()> {
        update::update_all(&self.device, updates)
    }
}
