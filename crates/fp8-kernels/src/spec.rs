//! Shapes and precision of operations, as plain data.

use fp8_core::{Overflow, Rounding, Stream};

use crate::{Buffer, DType};

/// How an FP32 result is stored: the Q node of the paper (section 3) as data.
///
/// The stored code is that of `scale * x`, rounded once. F32 ignores rounding and overflow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Store {
    /// Type in memory; must be the type of the output buffer.
    pub dtype: DType,
    /// Rounding.
    pub rounding: Rounding,
    /// What becomes of values past the largest finite one.
    pub overflow: Overflow,
    /// Factor applied before rounding; 1 unless the recipe scales this role.
    pub scale: f32,
    /// Random bits of stochastic rounding: element `i` of the output buffer takes draw `i`.
    pub random: Stream,
}

impl Store {
    /// FP32, unscaled.
    pub const F32: Self = Self::nearest(DType::F32);

    /// `dtype` by nearest-even, overflow to infinity, unscaled.
    pub const fn nearest(dtype: DType) -> Self {
        Self {
            dtype,
            rounding: Rounding::NearestEven,
            overflow: Overflow::Infinity,
            scale: 1.0,
            random: Stream { seed: 0, step: 0, id: 0 },
        }
    }
}

/// What is applied to a sum of products before it is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    #[default]
    None,
    /// max(x, 0).
    Relu,
}

/// The tail of a GEMM or convolution: `store(activation(alpha * sum + bias + residual))`, in FP32, in that order.
#[derive(Clone, Copy, Debug)]
pub struct Epilogue<'a> {
    /// Factor of the sum: undoes the scales of the operands.
    pub alpha: f32,
    /// F32, one per output column (channel).
    pub bias: Option<&'a Buffer>,
    /// Any floating type, of the output's shape.
    pub residual: Option<&'a Buffer>,
    /// Applied last.
    pub activation: Activation,
    /// How the result is stored.
    pub store: Store,
}

impl Epilogue<'_> {
    /// Nothing but the store.
    pub const fn store(store: Store) -> Self {
        Self { alpha: 1.0, bias: None, residual: None, activation: Activation::None, store }
    }
}

/// Which operands of a GEMM are stored transposed. All are row-major and dense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// A is (m, k), B is (k, n).
    NN,
    /// A is (m, k), B is (n, k): the forward pass of a linear layer.
    NT,
    /// A is (k, m), B is (k, n): the weight gradient of a linear layer.
    TN,
}

/// C (m, n) = A B, over k.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Gemm {
    /// Rows of C.
    pub m: usize,
    /// Columns of C.
    pub n: usize,
    /// Length of the sums.
    pub k: usize,
    /// Layout of A and B.
    pub layout: Layout,
}

/// A 2-D convolution (cross-correlation, as in PyTorch). Input (N, H, W, I), weight (O, KH, KW, I), output (N, OH, OW, O).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv2d {
    /// N.
    pub batch: usize,
    /// H, W of the input.
    pub input: [usize; 2],
    /// I.
    pub in_channels: usize,
    /// O.
    pub out_channels: usize,
    /// KH, KW.
    pub kernel: [usize; 2],
    /// Step between windows, both ways.
    pub stride: usize,
    /// Zeros around the input, both ways.
    pub padding: usize,
}

impl Conv2d {
    /// OH, OW: `(H + 2 padding - KH) / stride + 1`.
    pub const fn output(&self) -> [usize; 2] {
        [
            (self.input[0] + 2 * self.padding - self.kernel[0]) / self.stride + 1,
            (self.input[1] + 2 * self.padding - self.kernel[1]) / self.stride + 1,
        ]
    }

    /// Elements of the input.
    pub const fn input_len(&self) -> usize {
        self.batch * self.input[0] * self.input[1] * self.in_channels
    }

    /// Elements of the weight.
    pub const fn weight_len(&self) -> usize {
        self.out_channels * self.kernel[0] * self.kernel[1] * self.in_channels
    }

    /// Elements of the output.
    pub const fn output_len(&self) -> usize {
        let [h, w] = self.output();
        self.batch * h * w * self.out_channels
    }
}

/// A 2-D pooling window over (N, H, W, C).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pool2d {
    /// N.
    pub batch: usize,
    /// H, W of the input.
    pub input: [usize; 2],
    /// C.
    pub channels: usize,
    /// Window, both ways; at most 15.
    pub kernel: usize,
    /// Step between windows, both ways.
    pub stride: usize,
    /// Padding (minus infinity), both ways.
    pub padding: usize,
}

impl Pool2d {
    /// OH, OW.
    pub const fn output(&self) -> [usize; 2] {
        [
            (self.input[0] + 2 * self.padding - self.kernel) / self.stride + 1,
            (self.input[1] + 2 * self.padding - self.kernel) / self.stride + 1,
        ]
    }
}

/// Batch normalisation over the rows of (rows, channels); rows = N H W for images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNorm {
    /// Rows.
    pub rows: usize,
    /// Channels.
    pub channels: usize,
    /// Added to the variance.
    pub epsilon: f32,
}

/// Softmax cross-entropy over (rows, classes), averaged over rows by the caller.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CrossEntropy {
    /// Rows.
    pub rows: usize,
    /// Classes.
    pub classes: usize,
    /// Label smoothing e: the target is (1 - e) one-hot + e / classes.
    pub smoothing: f32,
}

/// The update of one parameter, in FP32: un-scale, decay, moments.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum UpdateRule {
    /// As torch.optim.SGD: g += weight_decay * w; v = momentum * v + (1 - dampening) * g;
    /// w -= lr * (nesterov ? g + momentum * v : v). One moment. At the first step v = g.
    Sgd {
        /// Learning rate.
        lr: f32,
        /// Momentum.
        momentum: f32,
        /// Dampening.
        dampening: f32,
        /// Nesterov momentum.
        nesterov: bool,
        /// L2 penalty.
        weight_decay: f32,
        /// Whether this is the first step (the moment is set, not blended).
        first: bool,
    },
    /// As torch.optim.AdamW: decoupled decay w -= lr * weight_decay * w; two moments.
    AdamW {
        /// Learning rate.
        lr: f32,
        /// Decay of the first moment.
        beta1: f32,
        /// Decay of the second moment.
        beta2: f32,
        /// Added to the root of the second moment.
        epsilon: f32,
        /// Decoupled weight decay.
        weight_decay: f32,
        /// Steps done including this one: 1, 2, …
        step: u32,
    },
}

impl CrossEntropy {
    /// The target of a row that does not count: its loss and its gradient are zero.
    pub const IGNORED: u32 = u32::MAX;
}

impl UpdateRule {
    /// Moments that the rule keeps.
    pub const fn moments(&self) -> usize {
        match self {
            Self::Sgd { .. } => 1,
            Self::AdamW { .. } => 2,
        }
    }
}

/// One direction of an LSTM layer over sequences, time-major: (steps, batch, …).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lstm {
    /// Steps.
    pub steps: usize,
    /// Sequences.
    pub batch: usize,
    /// Width of the input.
    pub input: usize,
    /// Width of the state.
    pub hidden: usize,
    /// Whether it runs from the last step to the first.
    pub reverse: bool,
}

impl Lstm {
    /// Steps whose cell states are kept as one: that after the last of them.
    pub const SEGMENT: usize = 8;

    /// Segments of all steps.
    pub const fn segments(&self) -> usize {
        self.steps.div_ceil(Self::SEGMENT)
    }
}

/// Rows of a table by their numbers: y (rows, width) of a table (entries, width).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Embedding {
    /// Rows of y.
    pub rows: usize,
    /// Rows of the table.
    pub entries: usize,
    /// Columns of both.
    pub width: usize,
    /// Rows of the table of positions, where there is one.
    pub positions: usize,
    /// Neighbouring rows of y at the same position: row r is at `r / repeat % positions`.
    pub repeat: usize,
    /// The entry whose gradient is zero.
    pub padding: Option<u32>,
}

/// Additive attention, time-major.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AdditiveAttention {
    /// Queries of each sequence.
    pub queries: usize,
    /// Keys of each sequence, at most.
    pub keys: usize,
    /// Sequences.
    pub batch: usize,
    /// Width of projected queries and keys.
    pub width: usize,
    /// Width of the values.
    pub value_width: usize,
}

/// Layer normalisation of each row of (rows, width).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerNorm {
    /// Rows.
    pub rows: usize,
    /// Elements of a row.
    pub width: usize,
    /// Added to the variance.
    pub epsilon: f32,
}

/// Multi-head attention by scaled products, time-major.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Attention {
    /// Queries of each sequence.
    pub queries: usize,
    /// Keys of each sequence, at most; where it is causal, at least as many as queries.
    pub keys: usize,
    /// Sequences.
    pub batch: usize,
    /// Heads.
    pub heads: usize,
    /// Width of a head's queries, keys and values.
    pub head_width: usize,
    /// Whether query t sees the keys 0 ..= t + keys - queries only: the queries are those of the last positions.
    pub causal: bool,
}

impl Attention {
    /// Columns of all heads together.
    pub const fn width(&self) -> usize {
        self.heads * self.head_width
    }
}
