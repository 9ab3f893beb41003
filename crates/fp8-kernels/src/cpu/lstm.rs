//! The LSTM operations: arguments checked, then [`crate::lstm`].

use super::{CpuBackend, Op, epilogue_view, op};
use crate::lstm::{self, Backward, Operands, Outputs};
use crate::{Activation, Buffer, DType, Epilogue, Lstm, LstmBackward, LstmForward, LstmOperands, Result, Store};

fn operands<'a>(op: Op, lstm: &Lstm, operands: &LstmOperands<'a>, lengths: Option<&'a [u32]>) -> Result<Operands<'a>> {
    let (gates, [x, ..]) = (op.len(&[4, lstm.hidden])?, op.lstm(lstm)?);
    let [b_input, b_hidden] = operands.biases;
    Ok(Operands {
        x: op.float("x", operands.x, x)?,
        w_input: op.float("w_input", operands.w_input, op.len(&[gates, lstm.input])?)?,
        w_hidden: op.float("w_hidden", operands.w_hidden, op.len(&[gates, lstm.hidden])?)?,
        biases: [
            op.exactly("b_input", b_input, DType::F32, gates)?,
            op.exactly("b_hidden", b_hidden, DType::F32, gates)?,
        ],
        factors: operands.factors,
        lengths,
    })
}

pub(super) fn forward(
    cpu: &CpuBackend,
    lstm: &Lstm,
    arguments: &LstmForward<'_>,
    h: &mut Buffer,
    cells: &mut Buffer,
    gates: Option<&mut Buffer>,
) -> Result<()> {
    let op = op("lstm");
    let [_, h_len, cells_len] = op.lstm(lstm)?;
    let lengths = op.step_lengths(lstm, arguments.operands.lengths)?;
    let operands = operands(op, lstm, &arguments.operands, lengths.as_deref())?;
    let state = lstm.batch * lstm.hidden;
    let initial = match &arguments.initial {
        Some(initial) => {
            Some([op.float("initial h", initial.h, state)?, op.exactly("initial c", initial.c, DType::F32, state)?])
        }
        None => None,
    };
    let h = op.output("h", h, &arguments.store, h_len)?;
    let cells = op.exactly_mut("cells", cells, DType::F32, cells_len)?;
    let gates = gates.map(|gates| op.output("gates", gates, &Store::nearest(gates.dtype()), 4 * h_len)).transpose()?;
    let outputs = Outputs { h, cells, gates };
    cpu.run(|isa| lstm::forward(isa, lstm, &operands, initial, &arguments.store, outputs));
    Ok(())
}

pub(super) fn backward(cpu: &CpuBackend, lstm: &Lstm, arguments: &LstmBackward<'_>, dgates: &mut Buffer) -> Result<()> {
    let op = op("lstm_backward");
    let [_, h_len, cells_len] = op.lstm(lstm)?;
    let lengths = op.step_lengths(lstm, arguments.lengths)?;
    let backward = Backward {
        w_hidden: op.float("w_hidden", arguments.w_hidden, op.len(&[4, lstm.hidden, lstm.hidden])?)?,
        lengths: lengths.as_deref(),
        gates: op.float("gates", arguments.gates, op.len(&[4, h_len])?)?,
        cells: op.exactly("cells", arguments.cells, DType::F32, cells_len)?,
        dy: op.float("dy", arguments.dy, h_len)?,
        error_factor: arguments.error_factor,
        store: arguments.store,
    };
    let dgates = op.output("dgates", dgates, &arguments.store, 4 * h_len)?;
    cpu.run(|isa| lstm::backward(isa, lstm, &backward, dgates));
    Ok(())
}

pub(super) fn backward_weight(
    cpu: &CpuBackend,
    lstm: &Lstm,
    h: &Buffer,
    dgates: &Buffer,
    epilogue: &Epilogue<'_>,
    dw: &mut Buffer,
) -> Result<()> {
    let op = op("lstm_backward_weight");
    op.require(epilogue.bias.is_none() && epilogue.activation == Activation::None, || {
        "a weight gradient takes neither bias nor activation".into()
    })?;
    let [_, h_len, _] = op.lstm(lstm)?;
    let (h, dgates) = (op.float("h", h, h_len)?, op.float("dgates", dgates, 4 * h_len)?);
    let dw_len = op.len(&[4, lstm.hidden, lstm.hidden])?;
    let epilogue = epilogue_view(op, epilogue, dw_len, lstm.hidden)?;
    let dw = op.output("dw", dw, &epilogue.store, dw_len)?;
    cpu.run(|isa| lstm::backward_weight(isa, lstm, h, dgates, &epilogue, dw));
    Ok(())
}
