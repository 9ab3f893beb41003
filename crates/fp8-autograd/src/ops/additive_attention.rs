//! Additive attention.

use std::sync::Arc;

use fp8_kernels::{AdditiveAttention, AdditiveBackward, AdditiveGradients, AdditiveOperands, Buffer};

use super::{lengths_buffer, mismatch};
use crate::graph::{Backward, Node};
use crate::{Graph, ParameterId, Result, Role, Tensor, Var};

/// The parameters that score; queries and keys have been projected before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdditiveAttentionLayer {
    /// (width): what scores are products with.
    pub v: ParameterId,
    /// The norm (1) that v is brought to, and what (width) is added to query and key; absent: v as it is, nothing.
    pub normalized: Option<[ParameterId; 2]>,
}

impl Graph<'_> {
    /// y (queries, batch, value_width) = Q(sum_k p_tk values_k), p = softmax over k of u . tanh(q_t + k_k + bias), u = v or gain v / |v|, time-major:
    /// q (queries, batch, width), k (keys, batch, width), values (keys, batch, value_width); `lengths` gives the keys of each sequence.
    ///
    /// Kept for the backward pass: the operands alone.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] for sizes that differ; [`crate::Error::Kernel`] for lengths outside of 1..=keys.
    pub fn additive_attention(
        &mut self,
        q: &Var,
        k: &Var,
        values: &Var,
        layer: &AdditiveAttentionLayer,
        lengths: Option<&[u32]>,
    ) -> Result<Var> {
        const OP: &str = "additive_attention";
        let v = self.parameters().get(layer.v);
        let (name, v) = (v.layer().to_string(), v.working());
        let normalized = layer.normalized.map(|ids| ids.map(|id| self.parameters().get(id).working()));
        let (&[queries, batch, width], &[keys, _, _], &[_, _, value_width]) = (q.shape(), k.shape(), values.shape())
        else {
            return mismatch(OP, format!("queries {:?}, keys {:?}, values {:?}", q.shape(), k.shape(), values.shape()));
        };
        let fits = k.shape() == [keys, batch, width] && values.shape() == [keys, batch, value_width];
        let scores = normalized.as_ref().is_none_or(|[gain, bias]| gain.len() == 1 && bias.len() == width);
        if !fits || !scores || v.len() != width {
            let sizes = format!("queries {:?}, keys {:?}, values {:?}", q.shape(), k.shape(), values.shape());
            return mismatch(OP, format!("{sizes}, v {:?}", v.shape));
        }
        let lengths = lengths.map(|lengths| lengths_buffer(self, OP, lengths, batch)).transpose()?;
        let shape = AdditiveAttention { queries, keys, batch, width, value_width };
        let backend = self.backend().clone();
        let unscaled = |var: &Var| var.tensor.unscaled(&*backend);
        let kept = Kept { tensors: [unscaled(q)?, unscaled(k)?, unscaled(values)?], v, normalized, lengths };
        let (maker, mut y) = self.open(&name, Role::Activation, vec![queries, batch, value_width])?;
        backend.additive_attention(&shape, &kept.operands(), &y.store, &mut y.buffer)?;
        // Each gets an error of its own, even where one tensor is all of them.
        let k = if k.id == q.id { self.reshape(k, k.shape())? } else { k.clone() };
        let values =
            if [q.id, k.id].contains(&values.id) { self.reshape(values, values.shape())? } else { values.clone() };
        let (inputs, layer) = ([q.clone(), k, values], *layer);
        self.record(maker, y, |_| Box::new(Attention { shape, inputs, layer, kept }))
    }
}

struct Kept {
    /// q, k and values, unscaled.
    tensors: [Tensor; 3],
    v: Tensor,
    /// Gain and bias.
    normalized: Option<[Tensor; 2]>,
    lengths: Option<Arc<Buffer>>,
}

impl Kept {
    fn operands(&self) -> AdditiveOperands<'_> {
        let [q, k, values] = self.tensors.each_ref().map(|tensor| &*tensor.buffer);
        let [gain, bias] = match &self.normalized {
            Some(both) => both.each_ref().map(|tensor| Some(&*tensor.buffer)),
            None => [None, None],
        };
        AdditiveOperands { q, k, values, v: &self.v.buffer, gain, bias, lengths: self.lengths.as_deref() }
    }
}

struct Attention {
    shape: AdditiveAttention,
    inputs: [Var; 3],
    layer: AdditiveAttentionLayer,
    kept: Kept,
}

impl Node for Attention {
    fn backward(self: Box<Self>, dy: Tensor, pass: &mut Backward<'_>) -> Result<()> {
        let Self { shape, inputs, layer, kept } = *self;
        let backend = pass.backend();
        let dy = dy.unscaled(&*backend)?;
        let [q, k, values] = &inputs;
        let (mut dq, dq_more) = pass.open_error(q.id, q.shape())?;
        let (mut dk, dk_more) = pass.open_error(k.id, k.shape())?;
        let (mut dvalues, dvalues_more) = pass.open_error(values.id, values.shape())?;
        let mut dv = pass.open_gradient_alone(layer.v)?;
        let mut scales = match layer.normalized {
            Some([gain, bias]) => {
                Some([(gain, pass.open_gradient_alone(gain)?), (bias, pass.open_gradient_alone(bias)?)])
            }
            None => None,
        };
        let arguments = AdditiveBackward {
            operands: kept.operands(),
            dy: &dy.buffer,
            stores: [dq.store, dk.store, dvalues.store],
            residuals: [&dq_more, &dk_more, &dvalues_more].map(|more| more.as_ref().map(|error| &*error.buffer)),
        };
        let [dgain, dbias] = match &mut scales {
            Some([(_, gain), (_, bias)]) => [Some(&mut gain.buffer), Some(&mut bias.buffer)],
            None => [None, None],
        };
        let gradients = AdditiveGradients {
            dq: &mut dq.buffer,
            dk: &mut dk.buffer,
            dvalues: &mut dvalues.buffer,
            dv: &mut dv.buffer,
            dgain,
            dbias,
        };
        backend.additive_attention_backward(&shape, &arguments, gradients)?;
        pass.close_gradient(layer.v, dv)?;
        for (id, gradient) in scales.into_iter().flatten() {
            pass.close_gradient(id, gradient)?;
        }
        for (var, error) in inputs.iter().zip([dq, dk, dvalues]) {
            pass.close_error(var.id, error)?;
        }
        Ok(())
    }
}
