//! What a Transformer's layers are made of.

use fp8_autograd::{AttentionHeads, Graph, Kind, LayerNormLayer, ParameterId, Role, Var};

use crate::Result;
use crate::builder::Builder;

/// Projected keys and values (steps, batch, width).
pub(super) type KeysAndValues = [Var; 2];

/// A linear layer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Linear {
    weight: ParameterId,
    bias: Option<ParameterId>,
}

impl Linear {
    /// Its first weights are uniform within `limit`, its biases zero.
    fn new(builder: &mut Builder<'_>, name: &str, sizes: [usize; 2], limit: f64, bias: bool) -> Result<Self> {
        let weight = builder.uniform(&format!("{name}.weight"), Kind::Weight, &sizes, limit)?;
        let bias = bias.then(|| builder.constant(&format!("{name}.bias"), Kind::Bias, &sizes[..1], 0.0));
        Ok(Self { weight, bias: bias.transpose()? })
    }

    fn apply(&self, graph: &mut Graph<'_>, x: &Var) -> Result<Var> {
        Ok(graph.linear(x, self.weight, self.bias, Role::Activation)?)
    }

    fn apply_relu(&self, graph: &mut Graph<'_>, x: &Var) -> Result<Var> {
        Ok(graph.linear_relu(x, self.weight, self.bias)?)
    }
}

/// Glorot and Bengio 2010.
fn xavier(inputs: usize, outputs: usize) -> f64 {
    (6.0 / (inputs + outputs) as f64).sqrt()
}

/// Multi-head attention with its projections.
#[derive(Clone, Debug)]
pub(super) struct Attention {
    name: String,
    heads: usize,
    q: Linear,
    k: Linear,
    v: Linear,
    out: Linear,
}

impl Attention {
    pub fn new(builder: &mut Builder<'_>, name: String, width: usize, heads: usize) -> Result<Self> {
        let mut add =
            |part: &str, limit, bias| Linear::new(builder, &format!("{name}.{part}"), [width; 2], limit, bias);
        // PyTorch's: those of one projection to queries, keys and values together. A bias of the keys would change no probability.
        let limit = xavier(width, 3 * width);
        let [q, k, v] = [add("q_proj", limit, true)?, add("k_proj", limit, false)?, add("v_proj", limit, true)?];
        let out = add("out_proj", xavier(width, width), true)?;
        Ok(Self { name, heads, q, k, v, out })
    }

    pub fn project(&self, graph: &mut Graph<'_>, x: &Var) -> Result<KeysAndValues> {
        Ok([self.k.apply(graph, x)?, self.v.apply(graph, x)?])
    }

    pub fn attend(
        &self,
        graph: &mut Graph<'_>,
        x: &Var,
        [keys, values]: &KeysAndValues,
        causal: bool,
        lengths: Option<&[u32]>,
    ) -> Result<Var> {
        let queries = self.q.apply(graph, x)?;
        let heads = AttentionHeads { layer: &self.name, heads: self.heads, causal, lengths };
        let y = graph.attention(&queries, keys, values, &heads)?;
        self.out.apply(graph, &y)
    }
}

/// Two linear layers with a ReLU between them.
#[derive(Clone, Debug)]
pub(super) struct FeedForward {
    name: String,
    linear: [Linear; 2],
}

impl FeedForward {
    pub fn new(builder: &mut Builder<'_>, name: &str, width: usize, inner: usize) -> Result<Self> {
        let limit = xavier(width, inner);
        let mut add = |part: &str, sizes| Linear::new(builder, &format!("{name}.{part}"), sizes, limit, true);
        let linear = [add("linear1", [inner, width])?, add("linear2", [width, inner])?];
        Ok(Self { name: name.into(), linear })
    }

    pub fn apply(&self, graph: &mut Graph<'_>, x: &Var, dropout: f32) -> Result<Var> {
        let y = self.linear[0].apply_relu(graph, x)?;
        let y = graph.dropout(&format!("{}.dropout", self.name), &y, dropout, None)?;
        self.linear[1].apply(graph, &y)
    }
}

/// A normalisation that starts as the identity of what is normalised.
pub(super) fn norm(builder: &mut Builder<'_>, name: &str, width: usize) -> Result<LayerNormLayer> {
    let gamma = builder.constant(&format!("{name}.weight"), Kind::Norm, &[width], 1.0)?;
    let beta = builder.constant(&format!("{name}.bias"), Kind::Norm, &[width], 0.0)?;
    Ok(LayerNormLayer { gamma, beta, epsilon: 1e-5 })
}
