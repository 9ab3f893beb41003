//! Layer normalisation and attention by products, as their formulas.

use fp8_kernels::{
    Attention, AttentionBackward, AttentionGradients, AttentionOperands, Buffer, LayerNorm, LayerNormBackward,
    LayerNormForward, LayerNormGradients, Result, Store,
};

use super::{optional, read, write};

/// Each row brought to mean 0 and variance 1, and what it was divided by.
fn normal(norm: &LayerNorm, x: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let width = norm.width as f64;
    x.chunks(norm.width)
        .map(|row| {
            let mean = row.iter().sum::<f64>() / width;
            let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / width;
            let deviation = (variance + f64::from(norm.epsilon)).sqrt();
            (row.iter().map(|x| (x - mean) / deviation).collect::<Vec<_>>(), vec![deviation; norm.width])
        })
        .fold((Vec::new(), Vec::new()), |(normals, deviations), (normal, deviation)| {
            ([normals, normal].concat(), [deviations, deviation].concat())
        })
}

pub fn layer_norm(norm: &LayerNorm, arguments: &LayerNormForward<'_>, y: &mut Buffer) -> Result<()> {
    let (gamma, beta) = (read(arguments.gamma), read(arguments.beta));
    let (normal, _) = normal(norm, &read(arguments.x));
    let value = |(i, n): (usize, &f64)| gamma[i % norm.width] * n + beta[i % norm.width];
    write(&arguments.store, normal.iter().enumerate().map(value), y)
}

pub fn layer_norm_backward(
    norm: &LayerNorm,
    arguments: &LayerNormBackward<'_>,
    gradients: LayerNormGradients<'_>,
) -> Result<()> {
    let (gamma, dy) = (read(arguments.gamma), read(arguments.dy));
    let (normal, deviation) = normal(norm, &read(arguments.x));
    let more = optional(arguments.residual, dy.len());
    let (mut dgamma, mut dbeta) = (vec![0.0; norm.width], vec![0.0; norm.width]);
    for (i, dy) in dy.iter().enumerate() {
        dgamma[i % norm.width] += dy * normal[i];
        dbeta[i % norm.width] += dy;
    }
    let error = |i: usize| gamma[i % norm.width] * dy[i];
    let dx = |i: usize| {
        let row = i / norm.width * norm.width..(i / norm.width + 1) * norm.width;
        let mean = row.clone().map(error).sum::<f64>() / norm.width as f64;
        let along = row.map(|i| error(i) * normal[i]).sum::<f64>() / norm.width as f64;
        (error(i) - mean - normal[i] * along) / deviation[i] + more[i]
    };
    write(&arguments.store, (0..dy.len()).map(dx), gradients.dx)?;
    write(&Store::F32, dgamma, gradients.dgamma)?;
    write(&Store::F32, dbeta, gradients.dbeta)
}

struct Operands {
    q: Vec<f64>,
    k: Vec<f64>,
    values: Vec<f64>,
    lengths: Vec<usize>,
}

impl Operands {
    fn new(shape: &Attention, operands: &AttentionOperands<'_>) -> Self {
        let lengths = operands.lengths.map_or(vec![shape.keys; shape.batch], |lengths| {
            read(lengths).into_iter().map(|length| length as usize).collect()
        });
        Self { q: read(operands.q), k: read(operands.k), values: read(operands.values), lengths }
    }

    /// The probabilities of the keys that a query sees.
    fn shares(&self, shape: &Attention, [t, row, head]: [usize; 3]) -> Vec<f64> {
        let seen = if shape.causal { t + 1 + shape.keys - shape.queries } else { shape.keys };
        let root = (shape.head_width as f64).sqrt();
        let score = |key: usize| product(shape, &self.q, &self.k, [t, key, row, head]) / root;
        let powers: Vec<f64> = (0..seen.min(self.lengths[row])).map(|key| score(key).exp()).collect();
        let total: f64 = powers.iter().sum();
        powers.into_iter().map(|power| power / total).collect()
    }
}

/// Where a head of a sequence begins at a step.
fn at(shape: &Attention, t: usize, row: usize, head: usize) -> usize {
    (t * shape.batch + row) * shape.width() + head * shape.head_width
}

fn product(shape: &Attention, a: &[f64], b: &[f64], [t, key, row, head]: [usize; 4]) -> f64 {
    let (a, b) = (&a[at(shape, t, row, head)..], &b[at(shape, key, row, head)..]);
    a.iter().zip(b).take(shape.head_width).map(|(a, b)| a * b).sum()
}

pub fn attention(shape: &Attention, operands: &AttentionOperands<'_>, store: &Store, y: &mut Buffer) -> Result<()> {
    let operands = Operands::new(shape, operands);
    let element = |i: usize| {
        let (line, column) = (i / shape.width(), i % shape.width());
        let (t, row, head) = (line / shape.batch, line % shape.batch, column / shape.head_width);
        let value = |key: usize| operands.values[(key * shape.batch + row) * shape.width() + column];
        let shares = operands.shares(shape, [t, row, head]);
        shares.iter().enumerate().map(|(key, share)| share * value(key)).sum::<f64>()
    };
    write(store, (0..y.len()).map(element), y)
}

pub fn attention_backward(
    shape: &Attention,
    arguments: &AttentionBackward<'_>,
    gradients: AttentionGradients<'_>,
) -> Result<()> {
    let (operands, dy) = (Operands::new(shape, &arguments.operands), read(arguments.dy));
    let AttentionGradients { dq, dk, dvalues } = gradients;
    let [q_more, k_more, values_more] = arguments.residuals;
    let (mut q, mut k) = (optional(q_more, dq.len()), optional(k_more, dk.len()));
    let mut values = optional(values_more, dvalues.len());
    for line in 0..shape.queries * shape.batch * shape.heads {
        let (t, row, head) = (line / shape.heads / shape.batch, line / shape.heads % shape.batch, line % shape.heads);
        let shares = operands.shares(shape, [t, row, head]);
        let error = |key: usize| product(shape, &dy, &operands.values, [t, key, row, head]);
        let mean: f64 = shares.iter().enumerate().map(|(key, share)| share * error(key)).sum();
        for (key, share) in shares.iter().enumerate() {
            let ds = share * (error(key) - mean) / (shape.head_width as f64).sqrt();
            let (query, key) = (at(shape, t, row, head), at(shape, key, row, head));
            for j in 0..shape.head_width {
                q[query + j] += ds * operands.k[key + j];
                k[key + j] += ds * operands.q[query + j];
                values[key + j] += share * dy[query + j];
            }
        }
    }
    write(&arguments.stores[0], q, dq)?;
    write(&arguments.stores[1], k, dk)?;
    write(&arguments.stores[2], values, dvalues)
}
