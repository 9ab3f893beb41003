//! Rows of a table by their numbers.

use std::sync::Arc;

use fp8_kernels::{Buffer, Embedding, EmbeddingBackward, EmbeddingForward};

use super::mismatch;
use crate::graph::{Backward, Node};
use crate::tensor::upload_u32;
use crate::{Graph, ParameterId, Result, Role, Tensor, Var};

/// How [`Graph::embedding`] reads a table.
#[derive(Clone, Debug)]
pub struct EmbeddingLayer {
    /// The table (entries, width).
    pub weight: ParameterId,
    /// Factor of its rows.
    pub factor: f32,
    /// The entry that has no gradient.
    pub padding: Option<u32>,
    /// FP32 (positions, width), added.
    pub positions: Option<Tensor>,
    /// Neighbouring rows of the result at the same position: 1 for (batch, steps), the batch for (steps, batch).
    pub repeat: usize,
}

impl Graph<'_> {
    /// y (shape, width) = `Q(factor weight[token] + position)`, for the tokens of a tensor of this shape.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] for another number of tokens than the shape has, a table of positions of another width, and
    /// [`crate::Error::Kernel`] for a token that the table does not have.
    pub fn embedding(&mut self, shape: &[usize], tokens: &[u32], layer: &EmbeddingLayer) -> Result<Var> {
        const OP: &str = "embedding";
        let parameter = self.parameters().get(layer.weight);
        let (name, w) = (parameter.layer().to_string(), parameter.working());
        let &[entries, width] = &*w.shape else { return mismatch(OP, format!("a table {:?}", w.shape)) };
        if shape.iter().product::<usize>() != tokens.len() {
            return mismatch(OP, format!("{} tokens for the shape {shape:?}", tokens.len()));
        }
        let positions = match layer.positions.as_ref().map(|positions| &*positions.shape) {
            None => 0,
            Some(&[positions, columns]) if columns == width => positions,
            Some(other) => return mismatch(OP, format!("positions {other:?}, table {:?}", w.shape)),
        };
        let (repeat, padding) = (layer.repeat, layer.padding);
        let embedding = Embedding { rows: tokens.len(), entries, width, positions, repeat, padding };
        let backend = self.backend().clone();
        let tokens = Arc::new(upload_u32(&*backend, tokens)?);
        let (maker, mut y) = self.open(&name, Role::Activation, [shape, &[width]].concat())?;
        let arguments = EmbeddingForward {
            tokens: &tokens,
            w: &w.buffer,
            factor: layer.factor / w.scale,
            positions: layer.positions.as_ref().map(|positions| &*positions.buffer),
            store: y.store,
        };
        backend.embedding(&embedding, &arguments, &mut y.buffer)?;
        let (weight, factor) = (layer.weight, layer.factor);
        self.record(maker, y, |_| Box::new(Lookup { embedding, tokens, weight, factor }))
    }
}

struct Lookup {
    embedding: Embedding,
    tokens: Arc<Buffer>,
    weight: ParameterId,
    factor: f32,
}

impl Node for Lookup {
    fn backward(self: Box<Self>, dy: Tensor, pass: &mut Backward<'_>) -> Result<()> {
        let backend = pass.backend();
        let (mut dw, arrived) = pass.open_gradient(self.weight)?;
        let arguments = EmbeddingBackward {
            tokens: &self.tokens,
            dy: &dy.buffer,
            factor: self.factor / dy.scale,
            residual: arrived.as_ref().map(|gradient| &*gradient.buffer),
            store: dw.store,
        };
        backend.embedding_backward(&self.embedding, &arguments, &mut dw.buffer)?;
        pass.close_gradient(self.weight, dw)
    }
}
