//! A backend that is slow and plain: each operation as its formula, sums in FP64. What the operations of this crate are
//! tested on besides the CPU's; nothing here is shared with it but the contract.

mod lstm;
mod sequence;
mod transformer;

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fp8_core::{decode, encode};
use fp8_kernels::{
    Activation, AdditiveAttention, AdditiveBackward, AdditiveGradients, AdditiveOperands, Attention, AttentionBackward,
    AttentionGradients, AttentionOperands, Backend, BatchNorm, BatchNormBackward, BatchNormForward, BatchNormGradients,
    BatchStatistics, Buffer, Conv2d, CrossEntropy, DType, Dropout, Embedding, EmbeddingBackward, EmbeddingForward,
    Epilogue, Gemm, LayerNorm, LayerNormBackward, LayerNormForward, LayerNormGradients, Layout, Lstm, LstmBackward,
    LstmForward, Memory, ParameterUpdate, Pool2d, Result, Storage, Store, UpdateRule,
};

/// The backend.
#[derive(Default)]
pub struct Reference {
    held: Arc<AtomicUsize>,
    peak: AtomicUsize,
}

struct Bytes {
    bytes: Vec<u8>,
    held: Arc<AtomicUsize>,
}

impl Drop for Bytes {
    fn drop(&mut self) {
        self.held.fetch_sub(self.bytes.len(), Ordering::Relaxed);
    }
}

impl Storage for Bytes {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

fn bytes(buffer: &Buffer) -> &[u8] {
    &buffer.storage().as_any().downcast_ref::<Bytes>().unwrap().bytes
}

fn bytes_mut(buffer: &mut Buffer) -> &mut [u8] {
    &mut buffer.storage_mut().as_any_mut().downcast_mut::<Bytes>().unwrap().bytes
}

fn read(buffer: &Buffer) -> Vec<f64> {
    let bytes = bytes(buffer);
    match (buffer.dtype(), buffer.dtype().format()) {
        (DType::F32, _) => bytes.as_chunks().0.iter().map(|&code| f32::from_le_bytes(code).into()).collect(),
        (DType::U32, _) => bytes.as_chunks().0.iter().map(|&code| u32::from_le_bytes(code).into()).collect(),
        (_, Some(format)) if buffer.dtype().size() == 2 => {
            bytes.as_chunks().0.iter().map(|&code| decode(format, u16::from_le_bytes(code))).collect()
        }
        (_, Some(format)) => bytes.iter().map(|&code| decode(format, code.into())).collect(),
        _ => bytes.iter().map(|&code| code.into()).collect(),
    }
}

fn write(store: &Store, values: impl IntoIterator<Item = f64>, buffer: &mut Buffer) -> Result<()> {
    assert_eq!(store.dtype, buffer.dtype());
    let values: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
    assert_eq!(values.len(), buffer.len());
    let code = |(index, &value): (usize, &f32)| {
        let format = store.dtype.format().unwrap();
        let random = match store.rounding {
            fp8_core::Rounding::Stochastic { bits } => store.random.draw(index as u64, bits),
            _ => 0,
        };
        encode(format, f64::from(value * store.scale), store.rounding, store.overflow, random)
    };
    let codes: Vec<u8> = match (store.dtype, store.dtype.size()) {
        (DType::F32, _) => values.iter().flat_map(|value| (value * store.scale).to_le_bytes()).collect(),
        (_, 2) => values.iter().enumerate().map(code).flat_map(u16::to_le_bytes).collect(),
        _ => values.iter().enumerate().map(|element| code(element) as u8).collect(),
    };
    bytes_mut(buffer).copy_from_slice(&codes);
    Ok(())
}

fn optional(buffer: Option<&Buffer>, len: usize) -> Vec<f64> {
    buffer.map_or_else(|| vec![0.0; len], read)
}

fn finish(sums: Vec<f64>, columns: usize, epilogue: &Epilogue<'_>, out: &mut Buffer) -> Result<()> {
    let (bias, residual) = (optional(epilogue.bias, columns), optional(epilogue.residual, sums.len()));
    let values = sums.iter().enumerate().map(|(i, sum)| {
        let value = f64::from(epilogue.alpha) * sum + bias[i % columns] + residual[i];
        if epilogue.activation == Activation::Relu { value.max(0.0) } else { value }
    });
    write(&epilogue.store, values, out)
}

/// Calls `f` with the indices of y, x and w of each product of a convolution.
fn each_product(conv: &Conv2d, mut f: impl FnMut(usize, usize, usize)) {
    let ([oh, ow], [h, w], [kh, kw]) = (conv.output(), conv.input, conv.kernel);
    for n in 0..conv.batch {
        for (oy, ox) in (0..oh).flat_map(|y| (0..ow).map(move |x| (y, x))) {
            for (ky, kx) in (0..kh).flat_map(|y| (0..kw).map(move |x| (y, x))) {
                let (iy, ix) = (oy * conv.stride + ky, ox * conv.stride + kx);
                if iy < conv.padding || ix < conv.padding || iy - conv.padding >= h || ix - conv.padding >= w {
                    continue;
                }
                let pixel = (n * h + iy - conv.padding) * w + ix - conv.padding;
                for o in 0..conv.out_channels {
                    for i in 0..conv.in_channels {
                        let y = ((n * oh + oy) * ow + ox) * conv.out_channels + o;
                        f(y, pixel * conv.in_channels + i, ((o * kh + ky) * kw + kx) * conv.in_channels + i);
                    }
                }
            }
        }
    }
}

fn statistics(batch: &BatchStatistics<'_>, epsilon: f32) -> (Vec<f64>, Vec<f64>) {
    let deviations = read(batch.variance).iter().map(|variance| 1.0 / (variance + f64::from(epsilon)).sqrt()).collect();
    (read(batch.mean), deviations)
}

fn softmax_rows(spec: &CrossEntropy, logits: &Buffer, targets: &Buffer) -> Vec<(Vec<f64>, Vec<f64>)> {
    let (logits, targets) = (read(logits), read(targets));
    let row = |(row, &target): (&[f64], &f64)| {
        let log_sum = row.iter().map(|x| x.exp()).sum::<f64>().ln();
        let smoothing = f64::from(spec.smoothing);
        let counts = target != f64::from(CrossEntropy::IGNORED);
        let share =
            |c: usize| smoothing / spec.classes as f64 + if c == target as usize { 1.0 - smoothing } else { 0.0 };
        let target = |c| if counts { share(c) } else { 0.0 };
        (row.iter().map(|x| x - log_sum).collect(), (0..spec.classes).map(target).collect())
    };
    logits.chunks(spec.classes).zip(&targets).map(row).collect()
}

impl Backend for Reference {
    fn name(&self) -> String {
        "reference".into()
    }

    fn alloc(&self, dtype: DType, len: usize) -> Result<Buffer> {
        let size = len * dtype.size();
        let held = self.held.fetch_add(size, Ordering::Relaxed) + size;
        self.peak.fetch_max(held, Ordering::Relaxed);
        Ok(Buffer::new(dtype, len, Box::new(Bytes { bytes: vec![0; size], held: self.held.clone() })))
    }

    fn upload(&self, bytes: &[u8], buffer: &mut Buffer) -> Result<()> {
        bytes_mut(buffer).copy_from_slice(bytes);
        Ok(())
    }

    fn download(&self, buffer: &Buffer, out: &mut [u8]) -> Result<()> {
        out.copy_from_slice(bytes(buffer));
        Ok(())
    }

    fn memory(&self) -> Memory {
        Memory { held: self.held.load(Ordering::Relaxed), peak: self.peak.load(Ordering::Relaxed) }
    }

    fn reset_peak(&self) {
        self.peak.store(self.held.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    fn cast(&self, x: &Buffer, x_scale: f32, store: &Store, y: &mut Buffer) -> Result<()> {
        write(store, read(x).iter().map(|value| value / f64::from(x_scale)), y)
    }

    fn amax(&self, x: &Buffer) -> Result<f32> {
        let wider = |amax: f64, x: &f64| if x.is_nan() || amax.is_nan() { f64::NAN } else { amax.max(x.abs()) };
        Ok(read(x).iter().fold(0.0, wider) as f32)
    }

    fn count_non_finite(&self, x: &Buffer) -> Result<usize> {
        Ok(read(x).iter().filter(|value| !value.is_finite()).count())
    }

    fn count_zero(&self, x: &Buffer) -> Result<usize> {
        Ok(read(x).iter().filter(|&&value| value == 0.0).count())
    }

    fn sum(&self, x: &Buffer) -> Result<f32> {
        Ok(read(x).iter().sum::<f64>() as f32)
    }

    fn sum_squares(&self, x: &Buffer, x_scale: f32) -> Result<f32> {
        Ok(read(x).iter().map(|value| (value / f64::from(x_scale)).powi(2)).sum::<f64>() as f32)
    }

    fn gemm(&self, gemm: &Gemm, a: &Buffer, b: &Buffer, epilogue: &Epilogue<'_>, c: &mut Buffer) -> Result<()> {
        let Gemm { m, n, k, layout } = *gemm;
        let (a, b) = (read(a), read(b));
        let product = |row: usize, column: usize, l: usize| match layout {
            Layout::NN => a[row * k + l] * b[l * n + column],
            Layout::NT => a[row * k + l] * b[column * k + l],
            Layout::TN => a[l * m + row] * b[l * n + column],
        };
        let sums = (0..m * n).map(|i| (0..k).map(|l| product(i / n, i % n, l)).sum()).collect();
        finish(sums, n, epilogue, c)
    }

    fn conv2d(&self, conv: &Conv2d, x: &Buffer, w: &Buffer, epilogue: &Epilogue<'_>, y: &mut Buffer) -> Result<()> {
        let (x, w, mut sums) = (read(x), read(w), vec![0.0; conv.output_len()]);
        each_product(conv, |yi, xi, wi| sums[yi] += x[xi] * w[wi]);
        finish(sums, conv.out_channels, epilogue, y)
    }

    fn conv2d_backward_data(
        &self,
        conv: &Conv2d,
        dy: &Buffer,
        w: &Buffer,
        epilogue: &Epilogue<'_>,
        dx: &mut Buffer,
    ) -> Result<()> {
        let (dy, w, mut sums) = (read(dy), read(w), vec![0.0; conv.input_len()]);
        each_product(conv, |yi, xi, wi| sums[xi] += dy[yi] * w[wi]);
        finish(sums, conv.in_channels, epilogue, dx)
    }

    fn conv2d_backward_weight(
        &self,
        conv: &Conv2d,
        x: &Buffer,
        dy: &Buffer,
        epilogue: &Epilogue<'_>,
        dw: &mut Buffer,
    ) -> Result<()> {
        let (x, dy, mut sums) = (read(x), read(dy), vec![0.0; conv.weight_len()]);
        each_product(conv, |yi, xi, wi| sums[wi] += x[xi] * dy[yi]);
        finish(sums, conv.in_channels, epilogue, dw)
    }

    fn sum_rows(&self, rows: usize, columns: usize, dy: &Buffer, store: &Store, db: &mut Buffer) -> Result<()> {
        let dy = read(dy);
        write(store, (0..columns).map(|c| (0..rows).map(|r| dy[r * columns + c]).sum()), db)
    }

    fn batch_norm_statistics(
        &self,
        norm: &BatchNorm,
        x: &Buffer,
        mean: &mut Buffer,
        variance: &mut Buffer,
    ) -> Result<()> {
        let x = read(x);
        let column = |c: usize| x.iter().skip(c).step_by(norm.channels);
        let means: Vec<f64> = (0..norm.channels).map(|c| column(c).sum::<f64>() / norm.rows as f64).collect();
        let square = |c: usize| column(c).map(|x| (x - means[c]).powi(2)).sum::<f64>() / norm.rows as f64;
        write(&Store::F32, (0..norm.channels).map(square), variance)?;
        write(&Store::F32, means.iter().copied(), mean)
    }

    fn batch_norm_update_running(
        &self,
        norm: &BatchNorm,
        momentum: f32,
        batch: BatchStatistics<'_>,
        running_mean: &mut Buffer,
        running_variance: &mut Buffer,
    ) -> Result<()> {
        let unbiased = norm.rows as f64 / (norm.rows as f64 - 1.0);
        for (running, batch, factor) in [(running_mean, batch.mean, 1.0), (running_variance, batch.variance, unbiased)]
        {
            let blend = |(old, new): (f64, f64)| old + f64::from(momentum) * (factor * new - old);
            write(&Store::F32, read(running).into_iter().zip(read(batch)).map(blend), running)?;
        }
        Ok(())
    }

    fn batch_norm(&self, norm: &BatchNorm, arguments: &BatchNormForward<'_>, y: &mut Buffer) -> Result<()> {
        let (mean, inverse) = statistics(&arguments.statistics, norm.epsilon);
        let (gamma, beta, x) = (read(arguments.gamma), read(arguments.beta), read(arguments.x));
        let residual = optional(arguments.residual, x.len());
        let value = |(i, x): (usize, &f64)| {
            let c = i % norm.channels;
            let value = gamma[c] * (x - mean[c]) * inverse[c] + beta[c] + residual[i];
            if arguments.relu { value.max(0.0) } else { value }
        };
        write(&arguments.store, x.iter().enumerate().map(value), y)
    }

    fn batch_norm_backward(
        &self,
        norm: &BatchNorm,
        arguments: &BatchNormBackward<'_>,
        gradients: BatchNormGradients<'_>,
    ) -> Result<()> {
        let (mean, inverse) = statistics(&arguments.statistics, norm.epsilon);
        let (gamma, x, mut dy) = (read(arguments.gamma), read(arguments.x), read(arguments.dy));
        if let Some(y) = arguments.y {
            dy.iter_mut().zip(read(y)).for_each(|(dy, y)| *dy = if y > 0.0 { *dy } else { 0.0 });
        }
        let (rows, channels) = (norm.rows as f64, norm.channels);
        let (mut dgamma, mut dbeta) = (vec![0.0; channels], vec![0.0; channels]);
        let normal = |i: usize| (x[i] - mean[i % channels]) * inverse[i % channels];
        for (i, dy) in dy.iter().enumerate() {
            dgamma[i % channels] += dy * normal(i);
            dbeta[i % channels] += dy;
        }
        let dx = |(i, dy): (usize, &f64)| {
            let c = i % channels;
            gamma[c] * inverse[c] * (dy - dbeta[c] / rows - normal(i) * dgamma[c] / rows)
        };
        write(&arguments.dx_store, dy.iter().enumerate().map(dx), gradients.dx)?;
        write(&Store::F32, dgamma.iter().copied(), gradients.dgamma)?;
        write(&Store::F32, dbeta.iter().copied(), gradients.dbeta)?;
        let Some(dresidual) = gradients.dresidual else { return Ok(()) };
        let other = optional(arguments.residual_error, dy.len());
        write(&arguments.dresidual_store, dy.iter().zip(other).map(|(dy, other)| dy + other), dresidual)
    }

    fn max_pool(&self, pool: &Pool2d, x: &Buffer, store: &Store, y: &mut Buffer, index: &mut Buffer) -> Result<()> {
        let (x, mut best) = (read(x), vec![(f64::NEG_INFINITY, 0_u8); y.len()]);
        each_window(pool, |yi, xi, k| {
            if x[xi] > best[yi].0 {
                best[yi] = (x[xi], k);
            }
        });
        bytes_mut(index).iter_mut().zip(&best).for_each(|(index, best)| *index = best.1);
        write(store, best.iter().map(|best| best.0), y)
    }

    fn max_pool_backward(
        &self,
        pool: &Pool2d,
        dy: &Buffer,
        index: &Buffer,
        store: &Store,
        dx: &mut Buffer,
    ) -> Result<()> {
        let (dy, index, mut sums) = (read(dy), bytes(index), vec![0.0; dx.len()]);
        each_window(pool, |yi, xi, k| sums[xi] += if index[yi] == k { dy[yi] } else { 0.0 });
        write(store, sums, dx)
    }

    fn global_average_pool(&self, [n, p, c]: [usize; 3], x: &Buffer, store: &Store, y: &mut Buffer) -> Result<()> {
        let x = read(x);
        let mean = |i: usize| (0..p).map(|pixel| x[(i / c * p + pixel) * c + i % c]).sum::<f64>() / p as f64;
        write(store, (0..n * c).map(mean), y)
    }

    fn global_average_pool_backward(
        &self,
        [n, p, c]: [usize; 3],
        dy: &Buffer,
        store: &Store,
        dx: &mut Buffer,
    ) -> Result<()> {
        let dy = read(dy);
        write(store, (0..n * p * c).map(|i| dy[i / (p * c) * c + i % c] / p as f64), dx)
    }

    fn add(&self, a: &Buffer, b: Option<&Buffer>, relu: bool, store: &Store, y: &mut Buffer) -> Result<()> {
        let b = optional(b, a.len());
        write(store, read(a).iter().zip(b).map(|(a, b)| if relu { (a + b).max(0.0) } else { a + b }), y)
    }

    fn relu_backward(
        &self,
        y: &Buffer,
        dy: &Buffer,
        residual: Option<&Buffer>,
        store: &Store,
        dx: &mut Buffer,
    ) -> Result<()> {
        let (y, residual) = (read(y), optional(residual, dy.len()));
        let error = |(i, dy): (usize, &f64)| residual[i] + if y[i] > 0.0 { *dy } else { 0.0 };
        write(store, read(dy).iter().enumerate().map(error), dx)
    }

    fn cross_entropy(&self, spec: &CrossEntropy, logits: &Buffer, targets: &Buffer, losses: &mut Buffer) -> Result<()> {
        let rows = softmax_rows(spec, logits, targets);
        let loss = |(logs, targets): &(Vec<f64>, Vec<f64>)| -logs.iter().zip(targets).map(|(l, t)| l * t).sum::<f64>();
        write(&Store::F32, rows.iter().map(loss), losses)
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
        let rows = softmax_rows(spec, logits, targets).into_iter();
        let error = |(log, target): (f64, f64)| f64::from(factor) * (log.exp() - target);
        let row = |(logs, targets): (Vec<f64>, Vec<f64>)| -> Vec<f64> {
            let counts = targets.iter().any(|target| *target != 0.0);
            logs.into_iter().zip(targets).map(|pair| if counts { error(pair) } else { 0.0 }).collect()
        };
        write(store, rows.flat_map(row), dlogits)
    }

    fn embedding(&self, embedding: &Embedding, arguments: &EmbeddingForward<'_>, y: &mut Buffer) -> Result<()> {
        sequence::embedding(embedding, arguments, y)
    }

    fn embedding_backward(
        &self,
        embedding: &Embedding,
        arguments: &EmbeddingBackward<'_>,
        dw: &mut Buffer,
    ) -> Result<()> {
        sequence::embedding_backward(embedding, arguments, dw)
    }

    fn dropout(&self, dropout: &Dropout<'_>, y: &mut Buffer) -> Result<()> {
        sequence::dropout(dropout, y)
    }

    fn join_columns(&self, rows: usize, parts: &[(&Buffer, usize)], store: &Store, y: &mut Buffer) -> Result<()> {
        let parts: Vec<_> = parts.iter().map(|(part, width)| (read(part), *width)).collect();
        let line = |row| parts.iter().flat_map(move |(part, width)| &part[row * width..][..*width]);
        write(store, (0..rows).flat_map(line).copied(), y)
    }

    fn columns(
        &self,
        [_, total]: [usize; 2],
        [first, count]: [usize; 2],
        x: &Buffer,
        residual: Option<&Buffer>,
        store: &Store,
        y: &mut Buffer,
    ) -> Result<()> {
        let (x, residual) = (read(x), optional(residual, y.len()));
        let element = |i: usize| x[i / count * total + first + i % count] + residual[i];
        write(store, (0..y.len()).map(element), y)
    }

    fn additive_attention(
        &self,
        shape: &AdditiveAttention,
        operands: &AdditiveOperands<'_>,
        store: &Store,
        y: &mut Buffer,
    ) -> Result<()> {
        sequence::additive_attention(shape, operands, store, y)
    }

    fn additive_attention_backward(
        &self,
        shape: &AdditiveAttention,
        arguments: &AdditiveBackward<'_>,
        gradients: AdditiveGradients<'_>,
    ) -> Result<()> {
        sequence::additive_attention_backward(shape, arguments, gradients)
    }

    fn layer_norm(&self, norm: &LayerNorm, arguments: &LayerNormForward<'_>, y: &mut Buffer) -> Result<()> {
        transformer::layer_norm(norm, arguments, y)
    }

    fn layer_norm_backward(
        &self,
        norm: &LayerNorm,
        arguments: &LayerNormBackward<'_>,
        gradients: LayerNormGradients<'_>,
    ) -> Result<()> {
        transformer::layer_norm_backward(norm, arguments, gradients)
    }

    fn attention(
        &self,
        shape: &Attention,
        operands: &AttentionOperands<'_>,
        store: &Store,
        y: &mut Buffer,
    ) -> Result<()> {
        transformer::attention(shape, operands, store, y)
    }

    fn attention_backward(
        &self,
        shape: &Attention,
        arguments: &AttentionBackward<'_>,
        gradients: AttentionGradients<'_>,
    ) -> Result<()> {
        transformer::attention_backward(shape, arguments, gradients)
    }

    fn lstm(
        &self,
        lstm: &Lstm,
        arguments: &LstmForward<'_>,
        h: &mut Buffer,
        cells: &mut Buffer,
        gates: Option<&mut Buffer>,
    ) -> Result<()> {
        lstm::forward(lstm, arguments, h, cells, gates)
    }

    fn lstm_backward(&self, lstm: &Lstm, arguments: &LstmBackward<'_>, dgates: &mut Buffer) -> Result<()> {
        lstm::backward(lstm, arguments, dgates)
    }

    fn lstm_backward_weight(
        &self,
        lstm: &Lstm,
        h: &Buffer,
        dgates: &Buffer,
        epilogue: &Epilogue<'_>,
        dw: &mut Buffer,
    ) -> Result<()> {
        lstm::backward_weight(lstm, h, dgates, epilogue, dw)
    }

    fn update(&self, rule: &UpdateRule, parameter: ParameterUpdate<'_>) -> Result<()> {
        let ParameterUpdate { gradient, unscale, master, master_store, moments, working } = parameter;
        let gradients = read(gradient).into_iter().map(|g| g * f64::from(unscale));
        let mut old: Vec<Vec<f64>> = moments.iter().map(|(moment, _)| read(moment)).collect();
        let stepped = gradients.zip(read(master)).enumerate().map(|(i, (g, w))| match *rule {
            UpdateRule::Sgd { lr, momentum, dampening, nesterov, weight_decay, first } => {
                let (momentum, g) = (f64::from(momentum), g + f64::from(weight_decay) * w);
                let v = if first { g } else { momentum * old[0][i] + (1.0 - f64::from(dampening)) * g };
                old[0][i] = v;
                w - f64::from(lr) * if nesterov { g + momentum * v } else { v }
            }
            UpdateRule::AdamW { lr, beta1, beta2, epsilon, weight_decay, step } => {
                let [lr, b1, b2] = [lr, beta1, beta2].map(f64::from);
                old[0][i] = b1 * old[0][i] + (1.0 - b1) * g;
                old[1][i] = b2 * old[1][i] + (1.0 - b2) * g * g;
                let (m, v) = (old[0][i] / (1.0 - b1.powi(step as i32)), old[1][i] / (1.0 - b2.powi(step as i32)));
                w * (1.0 - lr * f64::from(weight_decay)) - lr * m / (v.sqrt() + f64::from(epsilon))
            }
        });
        let stepped: Vec<f64> = stepped.collect();
        write(&master_store, stepped, master)?;
        for ((moment, store), values) in moments.into_iter().zip(old) {
            write(&store, values, moment)?;
        }
        working.map_or(Ok(()), |(working, store)| write(&store, read(master), working))
    }
}

/// Calls `f` with the indices of y and x, and the place in the window, of each element under a pooling window.
fn each_window(pool: &Pool2d, mut f: impl FnMut(usize, usize, u8)) {
    let conv = Conv2d {
        batch: pool.batch,
        input: pool.input,
        in_channels: 1,
        out_channels: 1,
        kernel: [pool.kernel; 2],
        stride: pool.stride,
        padding: pool.padding,
    };
    each_product(&conv, |y, x, k| {
        (0..pool.channels).for_each(|c| f(y * pool.channels + c, x * pool.channels + c, k as u8));
    });
}
