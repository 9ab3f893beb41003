//! Long short-term memory: one direction of one layer.

use std::sync::Arc;

use fp8_kernels::{Buffer, Epilogue, Gemm, Layout, Lstm, LstmBackward, LstmForward, LstmOperands, LstmState};

use super::{lengths_buffer, mismatch, unscaling};
use crate::graph::{Backward, Inner, Node};
use crate::output::f32_buffer;
use crate::{Graph, ParameterId, Result, Role, Tensor, Var};

/// One direction of one LSTM layer; gates in PyTorch's order: input, forget, cell, output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LstmLayer {
    /// (4 hidden, input).
    pub w_input: ParameterId,
    /// (4 hidden, hidden).
    pub w_hidden: ParameterId,
    /// (4 hidden).
    pub b_input: ParameterId,
    /// (4 hidden).
    pub b_hidden: ParameterId,
    /// Whether it runs from the last step to the first.
    pub reverse: bool,
}

/// The state of a layer after a step, from which [`Graph::lstm_step`] goes on.
#[derive(Clone, Debug)]
pub struct LstmCarry {
    /// (batch, hidden), in the format of activations.
    pub h: Tensor,
    /// FP32 (batch, hidden).
    pub c: Tensor,
}

impl Graph<'_> {
    /// h (steps, batch, hidden) of x (steps, batch, input), from a state of zeros: with (i, f, g, o) = x_t W_input^T + h_{t-1} W_hidden^T + b,
    /// c_t = sigmoid(f) c_{t-1} + sigmoid(i) tanh(g) in FP32 and h_t = Q(sigmoid(o) tanh(c_t)). Past the end of a sequence, whose steps
    /// `lengths` gives, h is zero.
    ///
    /// Kept for the backward pass: x, h, every eighth c, and the gates before their functions, as [`crate::Role::Gate`].
    ///
    /// # Errors
    /// [`crate::Error::Shape`] for sizes that differ, and lengths past the last step.
    pub fn lstm(&mut self, x: &Var, layer: &LstmLayer, lengths: Option<&[u32]>) -> Result<Var> {
        let run = Run::new(self, x, layer, lengths)?;
        Ok(self.lstm_run(x, layer, run, None)?.0)
    }

    /// One step: h (1, batch, hidden) of x (1, batch, input), and the state to go on from. For evaluation: nothing is kept.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] for sizes that differ, more than one step, and in training.
    pub fn lstm_step(&mut self, x: &Var, layer: &LstmLayer, before: Option<&LstmCarry>) -> Result<(Var, LstmCarry)> {
        if self.step().training || x.shape().first() != Some(&1) {
            return mismatch("lstm_step", format!("one step of an evaluation is wanted, not {:?}", x.shape()));
        }
        let run = Run::new(self, x, layer, None)?;
        let (h, c) = self.lstm_run(x, layer, run, before)?;
        let h_state = Tensor { shape: h.shape()[1..].to_vec(), ..h.tensor.clone() };
        Ok((h, LstmCarry { c: Tensor { shape: h_state.shape.clone(), ..c }, h: h_state }))
    }

    fn lstm_run(&mut self, x: &Var, layer: &LstmLayer, run: Run, before: Option<&LstmCarry>) -> Result<(Var, Tensor)> {
        let name = self.parameters().get(layer.w_hidden).layer().to_string();
        let Lstm { steps, batch, hidden, .. } = run.lstm;
        let backend = self.backend().clone();
        let (maker, mut h) = self.open_unscaled(&name, vec![steps, batch, hidden])?;
        let mut cells = f32_buffer(&*backend, run.lstm.segments() * batch * hidden)?;
        let gate = self.recipe().of(Role::Gate).dtype;
        let mut gates = match self.step().training {
            true => Some(backend.alloc(gate, 4 * steps * batch * hidden)?),
            false => None,
        };
        let initial = before.map(|before| LstmState { h: &before.h.buffer, c: &before.c.buffer });
        let arguments = LstmForward { operands: run.operands(&x.tensor), initial, store: h.store };
        backend.lstm(&run.lstm, &arguments, &mut h.buffer, &mut cells, gates.as_mut())?;
        let cells = Tensor::new(vec![run.lstm.segments(), batch, hidden], cells);
        let (c, errors) = (cells.clone(), maker.inner("gates"));
        let (x, layer) = (x.clone(), *layer);
        let recurrence = |h: &Tensor| Recurrence { run, x, layer, h: h.clone(), cells: c, gates, errors };
        let h = self.record(maker, h, |h| Box::new(recurrence(h)))?;
        Ok((h, cells))
    }
}

/// The shape and the operands besides x.
struct Run {
    lstm: Lstm,
    w_input: Tensor,
    w_hidden: Tensor,
    biases: [Tensor; 2],
    /// What undoes the scales of the operands.
    factors: [f32; 2],
    lengths: Option<Arc<Buffer>>,
}

impl Run {
    fn new(graph: &Graph<'_>, x: &Var, layer: &LstmLayer, lengths: Option<&[u32]>) -> Result<Self> {
        const OP: &str = "lstm";
        let working = |id| graph.parameters().get(id).working();
        let (w_input, w_hidden) = (working(layer.w_input), working(layer.w_hidden));
        let biases = [working(layer.b_input), working(layer.b_hidden)];
        let (&[steps, batch, input], &[gates, hidden]) = (x.shape(), &*w_hidden.shape) else {
            return mismatch(OP, format!("input {:?}, weight of the state {:?}", x.shape(), w_hidden.shape));
        };
        if gates != 4 * hidden || w_input.shape != [gates, input] || biases.iter().any(|bias| bias.shape != [gates]) {
            let [b_input, b_hidden] = biases.each_ref().map(|bias| &bias.shape);
            return mismatch(
                OP,
                format!(
                    "input {:?}, weights {:?} and {:?}, biases {b_input:?} and {b_hidden:?}",
                    x.shape(),
                    w_input.shape,
                    w_hidden.shape
                ),
            );
        }
        let lengths = lengths.map(|lengths| lengths_buffer(graph, OP, lengths, batch)).transpose()?;
        Ok(Self {
            lstm: Lstm { steps, batch, input, hidden, reverse: layer.reverse },
            factors: [unscaling(x.tensor.scale, w_input.scale), 1.0 / w_hidden.scale],
            lengths,
            w_input,
            w_hidden,
            biases,
        })
    }

    fn operands<'a>(&'a self, x: &'a Tensor) -> LstmOperands<'a> {
        LstmOperands {
            x: &x.buffer,
            w_input: &self.w_input.buffer,
            w_hidden: &self.w_hidden.buffer,
            biases: self.biases.each_ref().map(|bias| &*bias.buffer),
            factors: self.factors,
            lengths: self.lengths.as_deref(),
        }
    }
}

/// An LSTM's way back.
struct Recurrence {
    run: Run,
    x: Var,
    layer: LstmLayer,
    h: Tensor,
    cells: Tensor,
    /// Before their functions; of training.
    gates: Option<Buffer>,
    /// The errors of the gates are a tensor of their own.
    errors: Inner,
}

/// First the errors of the gates, step by step from the last to the first; then products of all steps at once:
///
/// ```text
/// dgates (steps, batch, 4 hidden) = Q(…)        Backend::lstm_backward, from dy, gates and cells
/// dW_hidden = Q(dgates_t^T h_{t-1}),   dW_input = Q(dgates^T x),   db = Q(sum over rows of dgates), the same for both
/// dx = Q(dgates W_input)
/// ```
///
/// where rows are those of all steps, steps x batch. What has arrived from other uses is added before each Q.
impl Node for Recurrence {
    fn backward(mut self: Box<Self>, dy: Tensor, pass: &mut Backward<'_>) -> Result<()> {
        let dgates = self.gate_errors(dy, pass)?;
        self.gradient_of_w_hidden(&dgates, pass)?;
        self.gradient_of_w_input(&dgates, pass)?;
        self.gradients_of_biases(&dgates, pass)?;
        self.error_of_x(&dgates, pass)
    }
}

impl Recurrence {
    /// dgates; afterwards the gates are gone.
    fn gate_errors(&mut self, dy: Tensor, pass: &mut Backward<'_>) -> Result<Tensor> {
        let Self { run, cells, gates, errors, .. } = self;
        let Lstm { steps, batch, hidden, .. } = run.lstm;
        let backend = pass.backend();
        let dy = dy.unscaled(&*backend)?;
        let Some(gates) = gates.take() else { return mismatch("lstm", "an evaluation has no backward pass") };
        let mut dgates = pass.open_inner_error(errors, vec![steps, batch, 4 * hidden])?;
        let arguments = LstmBackward {
            w_hidden: &run.w_hidden.buffer,
            lengths: run.lengths.as_deref(),
            gates: &gates,
            cells: &cells.buffer,
            dy: &dy.buffer,
            error_factor: unscaling(run.w_hidden.scale, dgates.store.scale),
            store: dgates.store,
        };
        backend.lstm_backward(&run.lstm, &arguments, &mut dgates.buffer)?;
        drop(gates);
        dgates.close(&*backend)
    }

    /// dW_hidden (4 hidden, hidden) = Q(dgates_t^T h_{t-1}), summed over steps.
    fn gradient_of_w_hidden(&self, dgates: &Tensor, pass: &mut Backward<'_>) -> Result<()> {
        let (mut dw, arrived) = pass.open_gradient(self.layer.w_hidden)?;
        let residual = arrived.as_ref().map(|gradient| &*gradient.buffer);
        let epilogue = Epilogue { alpha: 1.0 / dgates.scale, residual, ..Epilogue::store(dw.store) };
        let (h, lstm) = (&self.h.buffer, &self.run.lstm);
        pass.backend().lstm_backward_weight(lstm, h, &dgates.buffer, &epilogue, &mut dw.buffer)?;
        pass.close_gradient(self.layer.w_hidden, dw)
    }

    /// dW_input (4 hidden, input) = Q(dgates^T x).
    fn gradient_of_w_input(&self, dgates: &Tensor, pass: &mut Backward<'_>) -> Result<()> {
        let Lstm { input, hidden, .. } = self.run.lstm;
        let x = &self.x.tensor;
        let (mut dw, arrived) = pass.open_gradient(self.layer.w_input)?;
        let residual = arrived.as_ref().map(|gradient| &*gradient.buffer);
        let alpha = unscaling(x.scale, dgates.scale);
        let epilogue = Epilogue { alpha, residual, ..Epilogue::store(dw.store) };
        let gemm = Gemm { m: 4 * hidden, n: input, k: self.rows(), layout: Layout::TN };
        pass.backend().gemm(&gemm, &dgates.buffer, &x.buffer, &epilogue, &mut dw.buffer)?;
        pass.close_gradient(self.layer.w_input, dw)
    }

    /// db (4 hidden) = Q(sum over rows of dgates), of both.
    fn gradients_of_biases(&self, dgates: &Tensor, pass: &mut Backward<'_>) -> Result<()> {
        let backend = pass.backend();
        let unscaled = dgates.unscaled(&*backend)?;
        for bias in [self.layer.b_input, self.layer.b_hidden] {
            let mut db = pass.open_gradient_alone(bias)?;
            let columns = 4 * self.run.lstm.hidden;
            backend.sum_rows(self.rows(), columns, &unscaled.buffer, &db.store, &mut db.buffer)?;
            pass.close_gradient(bias, db)?;
        }
        Ok(())
    }

    /// dx (steps, batch, input) = Q(dgates W_input), where it is wanted.
    fn error_of_x(&self, dgates: &Tensor, pass: &mut Backward<'_>) -> Result<()> {
        let (Lstm { input, hidden, .. }, x) = (self.run.lstm, &self.x);
        if !pass.wants_error(x.id) {
            return Ok(());
        }
        let w = &self.run.w_input;
        let (mut dx, arrived) = pass.open_error(x.id, x.shape())?;
        let residual = arrived.as_ref().map(|error| &*error.buffer);
        let alpha = unscaling(w.scale, dgates.scale);
        let epilogue = Epilogue { alpha, residual, ..Epilogue::store(dx.store) };
        let gemm = Gemm { m: self.rows(), n: input, k: 4 * hidden, layout: Layout::NN };
        pass.backend().gemm(&gemm, &dgates.buffer, &w.buffer, &epilogue, &mut dx.buffer)?;
        pass.close_error(x.id, dx)
    }

    /// Rows of what all steps have.
    fn rows(&self) -> usize {
        self.run.lstm.steps * self.run.lstm.batch
    }
}
