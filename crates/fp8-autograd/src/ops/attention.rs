//! Multi-head attention by scaled products.

use std::sync::Arc;

use fp8_kernels::{Attention, AttentionBackward, AttentionGradients, AttentionOperands, Buffer};

use super::{lengths_buffer, mismatch};
use crate::graph::{Backward, Node};
use crate::{Graph, Result, Role, Tensor, Var};

/// What a query attends to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionHeads<'a> {
    /// The layer whose output this is.
    pub layer: &'a str,
    /// Heads, each of an equal share of the columns.
    pub heads: usize,
    /// Whether a query sees no keys after its own position; the queries are those of the last positions.
    pub causal: bool,
    /// Keys of each sequence; absent: all.
    pub lengths: Option<&'a [u32]>,
}

impl Graph<'_> {
    /// y (queries, batch, width) = Q(sum_k p_tk values_k) of each head, p = softmax over the keys that t sees of q_t . k_k / sqrt(width / heads),
    /// time-major: q (queries, batch, width), k and values (keys, batch, width), all of them projected before.
    ///
    /// Kept for the backward pass: the operands alone.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] for sizes that differ and columns that heads cannot share; [`crate::Error::Kernel`] for lengths outside of 1..=keys,
    /// and fewer keys than queries where it is causal.
    pub fn attention(&mut self, q: &Var, k: &Var, values: &Var, attends: &AttentionHeads<'_>) -> Result<Var> {
        const OP: &str = "attention";
        let &AttentionHeads { layer, heads, causal, lengths } = attends;
        let sizes =
            || format!("queries {:?}, keys {:?}, values {:?}, {heads} heads", q.shape(), k.shape(), values.shape());
        let (&[queries, batch, width], &[keys, _, _]) = (q.shape(), k.shape()) else { return mismatch(OP, sizes()) };
        let fits = k.shape() == [keys, batch, width] && values.shape() == k.shape();
        if !fits || heads == 0 || width % heads != 0 {
            return mismatch(OP, sizes());
        }
        let lengths = lengths.map(|lengths| lengths_buffer(self, OP, lengths, batch)).transpose()?;
        let shape = Attention { queries, keys, batch, heads, head_width: width / heads, causal };
        let backend = self.backend().clone();
        let unscaled = |var: &Var| var.tensor.unscaled(&*backend);
        let kept = Kept { tensors: [unscaled(q)?, unscaled(k)?, unscaled(values)?], lengths };
        let (maker, mut y) = self.open(layer, Role::Activation, vec![queries, batch, width])?;
        backend.attention(&shape, &kept.operands(), &y.store, &mut y.buffer)?;
        // Each gets an error of its own, even where one tensor is all of them.
        let k = if k.id == q.id { self.reshape(k, k.shape())? } else { k.clone() };
        let values =
            if [q.id, k.id].contains(&values.id) { self.reshape(values, values.shape())? } else { values.clone() };
        let inputs = [q.clone(), k, values];
        self.record(maker, y, |_| Box::new(Attended { shape, inputs, kept }))
    }
}

struct Kept {
    /// q, k and values, unscaled.
    tensors: [Tensor; 3],
    lengths: Option<Arc<Buffer>>,
}

impl Kept {
    fn operands(&self) -> AttentionOperands<'_> {
        let [q, k, values] = self.tensors.each_ref().map(|tensor| &*tensor.buffer);
        AttentionOperands { q, k, values, lengths: self.lengths.as_deref() }
    }
}

struct Attended {
    shape: Attention,
    inputs: [Var; 3],
    kept: Kept,
}

impl Node for Attended {
    fn backward(self: Box<Self>, dy: Tensor, pass: &mut Backward<'_>) -> Result<()> {
        let Self { shape, inputs, kept } = *self;
        let backend = pass.backend();
        let dy = dy.unscaled(&*backend)?;
        let [q, k, values] = &inputs;
        let (mut dq, dq_more) = pass.open_error(q.id, q.shape())?;
        let (mut dk, dk_more) = pass.open_error(k.id, k.shape())?;
        let (mut dvalues, dvalues_more) = pass.open_error(values.id, values.shape())?;
        let arguments = AttentionBackward {
            operands: kept.operands(),
            dy: &dy.buffer,
            stores: [dq.store, dk.store, dvalues.store],
            residuals: [&dq_more, &dk_more, &dvalues_more].map(|more| more.as_ref().map(|error| &*error.buffer)),
        };
        let gradients = AttentionGradients { dq: &mut dq.buffer, dk: &mut dk.buffer, dvalues: &mut dvalues.buffer };
        backend.attention_backward(&shape, &arguments, gradients)?;
        for (var, error) in inputs.iter().zip([dq, dk, dvalues]) {
            pass.close_error(var.id, error)?;
        }
        Ok(())
    }
}
