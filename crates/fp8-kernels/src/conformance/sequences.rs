//! Embedding, attention, LSTM.

use super::Case;
use super::inputs::{Inputs, store};
use crate::{
    AdditiveAttention, AdditiveBackward, AdditiveGradients, AdditiveOperands, Attention, AttentionBackward,
    AttentionGradients, AttentionOperands, DType, Embedding, EmbeddingBackward, EmbeddingForward, Epilogue, Lstm,
    LstmBackward, LstmForward, LstmOperands, LstmState, Store,
};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (n, (rows, entries, width)) in [(40, 11, 16), (1, 1, 1), (300, 50, 33)].into_iter().enumerate() {
        cases.push(embedding(n, rows, entries, width));
    }
    for n in 0..4 {
        let causal = n % 2 == 1;
        let [queries, keys] = [[33, 50], [5, 5], [64, 64], [1, 70]][n];
        cases
            .push(attention(n, Attention { queries, keys, batch: 3, heads: 2, head_width: [16, 5, 64, 8][n], causal }));
        let [width, value_width] = [[16, 16], [5, 3], [40, 24], [64, 1]][n];
        cases.push(additive(n, AdditiveAttention { queries, keys, batch: 3, width, value_width }));
        let [steps, input, hidden] = [[9, 12, 16], [1, 3, 5], [20, 16, 33], [8, 4, 8]][n];
        cases.push(lstm(n, Lstm { steps, batch: 4, input, hidden, reverse: causal }));
    }
    cases
}

fn embedding(n: usize, rows: usize, entries: usize, width: usize) -> Case {
    Case::new(format!("embedding {rows} of {entries} x {width}"), move |backend| {
        let inputs = Inputs(backend);
        let spec =
            Embedding { rows, entries, width, positions: 5, repeat: 3, padding: (n.is_multiple_of(2)).then_some(0) };
        let (tokens, w) = (inputs.below(entries as u32, 1, rows)?, inputs.float(DType::E5M2, 2, entries * width)?);
        let (positions, residual) =
            (inputs.float(DType::F32, 3, 5 * width)?, inputs.float(DType::E5M2, 4, entries * width)?);
        let (y_store, dw_store) = (store(n), store(n + 1));
        let mut y = inputs.output(y_store.dtype, rows * width)?;
        let positions = (n.is_multiple_of(2)).then_some(&positions);
        let forward = EmbeddingForward { tokens: &tokens, w: &w, factor: 1.7, positions, store: y_store };
        backend.embedding(&spec, &forward, &mut y)?;
        let dy = inputs.float(DType::E5M2, 5, rows * width)?;
        let mut dw = inputs.output(dw_store.dtype, entries * width)?;
        let residual = (n % 2 == 1).then_some(&residual);
        let backward = EmbeddingBackward { tokens: &tokens, dy: &dy, factor: 0.6, residual, store: dw_store };
        backend.embedding_backward(&spec, &backward, &mut dw)?;
        Ok(vec![y, dw])
    })
}

fn attention(n: usize, shape: Attention) -> Case {
    Case::new(format!("attention {shape:?}"), move |backend| {
        let inputs = Inputs(backend);
        let (q_len, k_len) = (shape.queries * shape.batch * shape.width(), shape.keys * shape.batch * shape.width());
        let types = [DType::E5M2, DType::F32, DType::F16, DType::E4M3];
        let (q, k) = (inputs.float(types[n], 1, q_len)?, inputs.float(types[n], 2, k_len)?);
        let (values, dy) = (inputs.float(types[n], 3, k_len)?, inputs.float(DType::E5M2, 4, q_len)?);
        let keys = shape.keys as u32;
        let lengths = inputs.numbers(&[keys, keys.div_ceil(2), 1])?;
        let operands = AttentionOperands { q: &q, k: &k, values: &values, lengths: (n != 2).then_some(&lengths) };
        let y_store = store(n);
        let mut y = inputs.output(y_store.dtype, q_len)?;
        backend.attention(&shape, &operands, &y_store, &mut y)?;
        let stores = [store(n + 1), store(n + 2), store(n + 3)];
        let residual = inputs.float(DType::E5M2, 5, k_len)?;
        let residuals = [None, (n.is_multiple_of(2)).then_some(&residual), None];
        let [mut dq, mut dk, mut dvalues] = [
            inputs.output(stores[0].dtype, q_len)?,
            inputs.output(stores[1].dtype, k_len)?,
            inputs.output(stores[2].dtype, k_len)?,
        ];
        let gradients = AttentionGradients { dq: &mut dq, dk: &mut dk, dvalues: &mut dvalues };
        backend.attention_backward(&shape, &AttentionBackward { operands, dy: &dy, stores, residuals }, gradients)?;
        Ok(vec![y, dq, dk, dvalues])
    })
}

fn additive(n: usize, shape: AdditiveAttention) -> Case {
    Case::new(format!("additive_attention {shape:?}"), move |backend| {
        let inputs = Inputs(backend);
        let AdditiveAttention { queries, keys, batch, width, value_width } = shape;
        let [q_len, k_len] = [queries, keys].map(|steps| steps * batch * width);
        let [y_len, values_len] = [queries, keys].map(|steps| steps * batch * value_width);
        let dtype = [DType::E5M2, DType::F16][n % 2];
        let (q, k, values) =
            (inputs.float(dtype, 1, q_len)?, inputs.float(dtype, 2, k_len)?, inputs.float(dtype, 3, values_len)?);
        let (v, gain, bias) = (
            inputs.float(DType::F32, 4, width)?,
            inputs.positive(DType::F32, 5, 1)?,
            inputs.float(DType::F32, 6, width)?,
        );
        let lengths = inputs.numbers(&[keys as u32, 1, (keys as u32).div_ceil(3)])?;
        let with = n.is_multiple_of(2);
        let operands = AdditiveOperands {
            q: &q,
            k: &k,
            values: &values,
            v: &v,
            gain: with.then_some(&gain),
            bias: with.then_some(&bias),
            lengths: (n != 3).then_some(&lengths),
        };
        let y_store = store(n);
        let mut y = inputs.output(y_store.dtype, y_len)?;
        backend.additive_attention(&shape, &operands, &y_store, &mut y)?;
        let dy = inputs.float(DType::E5M2, 7, y_len)?;
        let stores = [store(n + 1), store(n + 2), store(n + 3)];
        let residual = inputs.float(DType::E5M2, 8, k_len)?;
        let arguments =
            AdditiveBackward { operands, dy: &dy, stores, residuals: [None, with.then_some(&residual), None] };
        let [mut dq, mut dk, mut dvalues] = [
            inputs.output(stores[0].dtype, q_len)?,
            inputs.output(stores[1].dtype, k_len)?,
            inputs.output(stores[2].dtype, values_len)?,
        ];
        let [mut dv, mut dgain, mut dbias] = [
            inputs.output(DType::F32, width)?,
            inputs.of(DType::F32, &[0.0])?,
            inputs.of(DType::F32, &vec![0.0; width])?,
        ];
        let gradients = AdditiveGradients {
            dq: &mut dq,
            dk: &mut dk,
            dvalues: &mut dvalues,
            dv: &mut dv,
            dgain: with.then_some(&mut dgain),
            dbias: with.then_some(&mut dbias),
        };
        backend.additive_attention_backward(&shape, &arguments, gradients)?;
        Ok(vec![y, dq, dk, dvalues, dv, dgain, dbias])
    })
}

fn lstm(n: usize, spec: Lstm) -> Case {
    Case::new(format!("lstm {spec:?}"), move |backend| {
        let inputs = Inputs(backend);
        let Lstm { steps, batch, input, hidden, .. } = spec;
        let (state, gates) = (batch * hidden, 4 * hidden);
        let dtype = [DType::E5M2, DType::F32][n % 2];
        let (x, w_input) = (inputs.float(dtype, 1, steps * batch * input)?, inputs.float(dtype, 2, gates * input)?);
        let w_hidden = inputs.float(dtype, 3, gates * hidden)?;
        let biases = [inputs.float(DType::F32, 4, gates)?, inputs.float(DType::F32, 5, gates)?];
        let lengths = inputs.numbers(&[steps as u32, 0, (steps as u32).div_ceil(2), steps as u32])?;
        let operands = LstmOperands {
            x: &x,
            w_input: &w_input,
            w_hidden: &w_hidden,
            biases: [&biases[0], &biases[1]],
            factors: [0.5, 0.25],
            lengths: (n != 1).then_some(&lengths),
        };
        let h_store = Store { scale: 1.0, ..store(n) };
        let (h_before, c_before) = (inputs.float(dtype, 6, state)?, inputs.float(DType::F32, 7, state)?);
        let mut outputs = Vec::new();
        let kept = [DType::F16, DType::F32, DType::Bf16, DType::E5M2][n % 4];
        let states = [None, Some(LstmState { h: &h_before, c: &c_before })];
        for initial in states {
            let (mut h, mut cells) =
                (inputs.output(h_store.dtype, steps * state)?, inputs.output(DType::F32, spec.segments() * state)?);
            // Gates are kept of the first.
            let mut kept = initial.is_none().then(|| inputs.output(kept, steps * batch * gates)).transpose()?;
            let arguments = LstmForward { operands, initial, store: h_store };
            backend.lstm(&spec, &arguments, &mut h, &mut cells, kept.as_mut())?;
            outputs.extend([h, cells].into_iter().chain(kept));
        }
        let (dy, dgates_store) = (inputs.float(DType::E5M2, 8, steps * state)?, store(n + 1));
        let mut dgates = inputs.output(dgates_store.dtype, steps * batch * gates)?;
        let [h, cells, kept] = [&outputs[0], &outputs[1], &outputs[2]];
        let (w_hidden, lengths) = (operands.w_hidden, operands.lengths);
        // So small that errors become less from step to step: else one that is rounded the other way would change all that follow.
        let error_factor = 0.0625;
        let backward =
            LstmBackward { w_hidden, lengths, gates: kept, cells, dy: &dy, error_factor, store: dgates_store };
        backend.lstm_backward(&spec, &backward, &mut dgates)?;
        let mut dw = inputs.output(DType::F32, gates * hidden)?;
        backend.lstm_backward_weight(&spec, h, &dgates, &Epilogue::store(Store::F32), &mut dw)?;
        outputs.extend([dgates, dw]);
        Ok(outputs)
    })
}
