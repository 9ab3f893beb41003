//! Operations on sequences of tokens by their formulas.

use fp8_kernels::{
    AdditiveAttention, AdditiveBackward, AdditiveGradients, AdditiveOperands, Buffer, Dropout, Embedding,
    EmbeddingBackward, EmbeddingForward, Result, Store,
};

use super::{optional, read, write};

pub fn embedding(embedding: &Embedding, arguments: &EmbeddingForward<'_>, y: &mut Buffer) -> Result<()> {
    let (tokens, w) = (read(arguments.tokens), read(arguments.w));
    let positions = arguments.positions.map(read);
    let element = |i: usize| {
        let (row, j) = (i / embedding.width, i % embedding.width);
        let position = |table: &Vec<f64>| table[row / embedding.repeat % embedding.positions * embedding.width + j];
        let entry = w[tokens[row] as usize * embedding.width + j];
        f64::from(arguments.factor) * entry + positions.as_ref().map_or(0.0, position)
    };
    write(&arguments.store, (0..y.len()).map(element), y)
}

pub fn embedding_backward(embedding: &Embedding, arguments: &EmbeddingBackward<'_>, dw: &mut Buffer) -> Result<()> {
    let (tokens, dy) = (read(arguments.tokens), read(arguments.dy));
    let mut sums = optional(arguments.residual, dw.len());
    for (row, token) in tokens.iter().map(|token| *token as u32).enumerate() {
        if Some(token) != embedding.padding {
            for j in 0..embedding.width {
                sums[token as usize * embedding.width + j] +=
                    f64::from(arguments.factor) * dy[row * embedding.width + j];
            }
        }
    }
    write(&arguments.store, sums, dw)
}

pub fn dropout(dropout: &Dropout<'_>, y: &mut Buffer) -> Result<()> {
    let residual = optional(dropout.residual, y.len());
    let element = |(i, x): (usize, &f64)| {
        let kept = f64::from(dropout.mask.draw(i as u64, 16)) >= (f64::from(dropout.share) * 65536.0).round();
        residual[i] + if kept { x / (1.0 - f64::from(dropout.share)) } else { 0.0 }
    };
    write(&dropout.store, read(dropout.x).iter().enumerate().map(element).collect::<Vec<_>>(), y)
}

/// Decoded operands.
struct Operands {
    q: Vec<f64>,
    k: Vec<f64>,
    values: Vec<f64>,
    v: Vec<f64>,
    gain: Option<f64>,
    bias: Vec<f64>,
    lengths: Option<Vec<f64>>,
}

impl Operands {
    fn new(shape: &AdditiveAttention, operands: &AdditiveOperands<'_>) -> Self {
        let &AdditiveOperands { q, k, values, v, gain, bias, lengths } = operands;
        let gain = gain.map(|gain| read(gain)[0]);
        let [q, k, values, v] = [q, k, values, v].map(read);
        Self { q, k, values, v, gain, bias: optional(bias, shape.width), lengths: lengths.map(read) }
    }

    fn norm(&self) -> f64 {
        self.v.iter().map(|v| v * v).sum::<f64>().sqrt()
    }

    fn unit(&self, j: usize) -> f64 {
        self.gain.map_or(self.v[j], |gain| gain * self.v[j] / self.norm())
    }

    fn squashed(&self, shape: &AdditiveAttention, [t, row, key, j]: [usize; 4]) -> f64 {
        let at = |step: usize| (step * shape.batch + row) * shape.width + j;
        (self.q[at(t)] + self.k[at(key)] + self.bias[j]).tanh()
    }

    fn shares(&self, shape: &AdditiveAttention, t: usize, row: usize) -> Vec<f64> {
        let keys = self.lengths.as_ref().map_or(shape.keys, |lengths| lengths[row] as usize);
        let score = |key| (0..shape.width).map(|j| self.unit(j) * self.squashed(shape, [t, row, key, j])).sum::<f64>();
        let powers: Vec<f64> = (0..keys).map(|key| score(key).exp()).collect();
        let total: f64 = powers.iter().sum();
        powers.iter().map(|power| power / total).collect()
    }
}

pub fn additive_attention(
    shape: &AdditiveAttention,
    operands: &AdditiveOperands<'_>,
    store: &Store,
    y: &mut Buffer,
) -> Result<()> {
    let operands = Operands::new(shape, operands);
    let element = |i: usize| {
        let (line, j) = (i / shape.value_width, i % shape.value_width);
        let (t, row) = (line / shape.batch, line % shape.batch);
        let value = |key: usize| operands.values[(key * shape.batch + row) * shape.value_width + j];
        operands.shares(shape, t, row).iter().enumerate().map(|(key, share)| share * value(key)).sum::<f64>()
    };
    write(store, (0..y.len()).map(element), y)
}

pub fn additive_attention_backward(
    shape: &AdditiveAttention,
    arguments: &AdditiveBackward<'_>,
    gradients: AdditiveGradients<'_>,
) -> Result<()> {
    let (operands, dy) = (Operands::new(shape, &arguments.operands), read(arguments.dy));
    let AdditiveGradients { dq, dk, dvalues, dv, dgain, dbias } = gradients;
    let [q_more, k_more, values_more] = arguments.residuals;
    let (mut q, mut k) = (optional(q_more, dq.len()), optional(k_more, dk.len()));
    let mut values = optional(values_more, dvalues.len());
    let (mut du, mut bias) = (vec![0.0; shape.width], vec![0.0; shape.width]);
    for (t, row) in (0..shape.queries).flat_map(|t| (0..shape.batch).map(move |row| (t, row))) {
        let shares = operands.shares(shape, t, row);
        let line = |step: usize, width: usize| (step * shape.batch + row) * width;
        let dy = &dy[line(t, shape.value_width)..][..shape.value_width];
        let value = |key: usize| &operands.values[line(key, shape.value_width)..][..shape.value_width];
        let along: Vec<f64> =
            (0..shares.len()).map(|key| dy.iter().zip(value(key)).map(|(dy, value)| dy * value).sum()).collect();
        let mean: f64 = shares.iter().zip(&along).map(|(share, along)| share * along).sum();
        for (key, share) in shares.iter().enumerate() {
            for (j, dy) in dy.iter().enumerate() {
                values[line(key, shape.value_width) + j] += share * dy;
            }
            let ds = share * (along[key] - mean);
            for j in 0..shape.width {
                let squashed = operands.squashed(shape, [t, row, key, j]);
                let error = ds * operands.unit(j) * (1.0 - squashed * squashed);
                q[line(t, shape.width) + j] += error;
                k[line(key, shape.width) + j] += error;
                bias[j] += error;
                du[j] += ds * squashed;
            }
        }
    }
    let norm = operands.norm();
    let projected = operands.v.iter().zip(&du).map(|(v, du)| v * du).sum::<f64>() / norm;
    let v = |(v, du): (&f64, &f64)| operands.gain.map_or(*du, |gain| gain / norm * (du - v * projected / norm));
    write(&Store::F32, operands.v.iter().zip(&du).map(v).collect::<Vec<_>>(), dv)?;
    dgain.map_or(Ok(()), |dgain| write(&Store::F32, [projected], dgain))?;
    dbias.map_or(Ok(()), |dbias| write(&Store::F32, bias, dbias))?;
    write(&arguments.stores[0], q, dq)?;
    write(&arguments.stores[1], k, dk)?;
    write(&arguments.stores[2], values, dvalues)
}
