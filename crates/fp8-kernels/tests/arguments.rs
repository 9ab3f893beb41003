//! Every operation with arguments that do not fit (but `look_up`, whose three are checked together): a typed error that names the operand, nothing written, no panic.

use std::any::Any;

use fp8_kernels::{
    Activation, AdditiveAttention, AdditiveBackward, AdditiveGradients, AdditiveOperands, Attention, AttentionBackward,
    AttentionGradients, AttentionOperands, Backend, BatchNorm, BatchNormBackward, BatchNormForward, BatchNormGradients,
    BatchStatistics, Buffer, Conv2d, CpuBackend, CrossEntropy, DType, Dropout, Embedding, EmbeddingBackward,
    EmbeddingForward, Epilogue, Error, Gemm, LayerNorm, LayerNormBackward, LayerNormForward, LayerNormGradients,
    Layout, LinearCrossEntropy, LogitsError, Lstm, LstmBackward, LstmForward, LstmOperands, LstmState, ParameterUpdate,
    Pool2d, Result, Storage, Store, UpdateRule,
};

/// Memory of no backend.
struct Elsewhere;

impl Storage for Elsewhere {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// An operand: its name in messages, its type, its number of elements.
type Operand = (&'static str, DType, usize);

type Run = dyn Fn(&dyn Backend, &mut [Buffer]) -> Result<()>;

/// A call that succeeds with these operands.
struct Call {
    name: &'static str,
    operands: Vec<Operand>,
    run: Box<Run>,
}

const E5M2: Store = Store::nearest(DType::E5M2);
const CONV: Conv2d =
    Conv2d { batch: 2, input: [5, 4], in_channels: 3, out_channels: 7, kernel: [3, 3], stride: 1, padding: 1 };
const POOL: Pool2d = Pool2d { batch: 2, input: [5, 4], channels: 3, kernel: 2, stride: 2, padding: 0 };
const NORM: BatchNorm = BatchNorm { rows: 6, channels: 5, epsilon: 1e-5 };
const GEMM: Gemm = Gemm { m: 4, n: 5, k: 6, layout: Layout::NT };
const TABLE: Embedding = Embedding { rows: 6, entries: 7, width: 4, positions: 2, repeat: 3, padding: None };
const ATTENTION: AdditiveAttention = AdditiveAttention { queries: 3, keys: 5, batch: 2, width: 4, value_width: 5 };
const HEADS: Attention = Attention { queries: 3, keys: 5, batch: 2, heads: 2, head_width: 2, causal: true };
const LAYER: LayerNorm = LayerNorm { rows: 6, width: 5, epsilon: 1e-5 };
const LSTM: Lstm = Lstm { steps: 9, batch: 2, input: 3, hidden: 5, reverse: false };
const LOSS: CrossEntropy = CrossEntropy { rows: 3, classes: 4, smoothing: 0.1 };

fn call<const N: usize>(
    name: &'static str,
    operands: [Operand; N],
    run: impl Fn(&dyn Backend, [&mut Buffer; N]) -> Result<()> + 'static,
) -> Call {
    let run = move |backend: &dyn Backend, buffers: &mut [Buffer]| {
        let buffers: Vec<&mut Buffer> = buffers.iter_mut().collect();
        run(backend, buffers.try_into().expect("as many as there are operands"))
    };
    Call { name, operands: operands.into(), run: Box::new(run) }
}

fn epilogue<'a>(bias: Option<&'a Buffer>, residual: Option<&'a Buffer>) -> Epilogue<'a> {
    Epilogue { bias, residual, activation: Activation::None, ..Epilogue::store(E5M2) }
}

/// One call of each operation.
fn calls() -> Vec<Call> {
    use DType::{E5M2 as Fp8, F32, U8, U32};
    let (image, weight, output) = (CONV.input_len(), CONV.weight_len(), CONV.output_len());
    let pooled = POOL.batch * POOL.output()[0] * POOL.output()[1] * POOL.channels;
    let rows = NORM.rows * NORM.channels;
    vec![
        call("cast", [("x", F32, 9), ("y", Fp8, 9)], |cpu, [x, y]| cpu.cast(x, 1.0, &E5M2, y)),
        call(
            "gemm",
            [("a", Fp8, 24), ("b", Fp8, 30), ("bias", F32, 5), ("residual", Fp8, 20), ("c", Fp8, 20)],
            |cpu, [a, b, bias, residual, c]| cpu.gemm(&GEMM, a, b, &epilogue(Some(bias), Some(residual)), c),
        ),
        call(
            "conv2d",
            [("x", Fp8, image), ("w", Fp8, weight), ("bias", F32, 7), ("residual", Fp8, output), ("y", Fp8, output)],
            |cpu, [x, w, bias, residual, y]| cpu.conv2d(&CONV, x, w, &epilogue(Some(bias), Some(residual)), y),
        ),
        call(
            "conv2d_backward_data",
            [("dy", Fp8, output), ("w", Fp8, weight), ("residual", Fp8, image), ("dx", Fp8, image)],
            |cpu, [dy, w, residual, dx]| cpu.conv2d_backward_data(&CONV, dy, w, &epilogue(None, Some(residual)), dx),
        ),
        call(
            "conv2d_backward_weight",
            [("x", Fp8, image), ("dy", Fp8, output), ("residual", Fp8, weight), ("dw", Fp8, weight)],
            |cpu, [x, dy, residual, dw]| cpu.conv2d_backward_weight(&CONV, x, dy, &epilogue(None, Some(residual)), dw),
        ),
        call("sum_rows", [("dy", Fp8, 12), ("db", Fp8, 4)], |cpu, [dy, db]| cpu.sum_rows(3, 4, dy, &E5M2, db)),
        call(
            "batch_norm_statistics",
            [("x", Fp8, rows), ("mean", F32, 5), ("variance", F32, 5)],
            |cpu, [x, mean, variance]| cpu.batch_norm_statistics(&NORM, x, mean, variance),
        ),
        call(
            "batch_norm_update_running",
            [("mean", F32, 5), ("variance", F32, 5), ("running_mean", F32, 5), ("running_variance", F32, 5)],
            |cpu, [mean, variance, running_mean, running_variance]| {
                let batch = BatchStatistics { mean, variance };
                cpu.batch_norm_update_running(&NORM, 0.1, batch, running_mean, running_variance)
            },
        ),
        call(
            "batch_norm",
            [
                ("x", Fp8, rows),
                ("mean", F32, 5),
                ("variance", F32, 5),
                ("gamma", F32, 5),
                ("beta", F32, 5),
                ("residual", Fp8, rows),
                ("y", Fp8, rows),
            ],
            |cpu, [x, mean, variance, gamma, beta, residual, y]| {
                let statistics = BatchStatistics { mean, variance };
                let residual = Some(&*residual);
                let forward = BatchNormForward { x, statistics, gamma, beta, residual, relu: true, store: E5M2 };
                cpu.batch_norm(&NORM, &forward, y)
            },
        ),
        call(
            "batch_norm_backward",
            [
                ("x", Fp8, rows),
                ("mean", F32, 5),
                ("variance", F32, 5),
                ("gamma", F32, 5),
                ("y", Fp8, rows),
                ("dy", Fp8, rows),
                ("residual_error", Fp8, rows),
                ("dx", Fp8, rows),
                ("dgamma", F32, 5),
                ("dbeta", F32, 5),
                ("dresidual", Fp8, rows),
            ],
            |cpu, [x, mean, variance, gamma, y, dy, residual_error, dx, dgamma, dbeta, dresidual]| {
                let backward = BatchNormBackward {
                    x,
                    statistics: BatchStatistics { mean, variance },
                    gamma,
                    y: Some(y),
                    dy,
                    dx_store: E5M2,
                    residual_error: Some(residual_error),
                    dresidual_store: E5M2,
                };
                let dresidual = Some(&mut *dresidual);
                cpu.batch_norm_backward(&NORM, &backward, BatchNormGradients { dx, dgamma, dbeta, dresidual })
            },
        ),
        call("max_pool", [("x", Fp8, image), ("y", Fp8, pooled), ("index", U8, pooled)], |cpu, [x, y, index]| {
            cpu.max_pool(&POOL, x, &E5M2, y, index)
        }),
        call(
            "max_pool_backward",
            [("dy", Fp8, pooled), ("index", U8, pooled), ("dx", Fp8, image)],
            |cpu, [dy, index, dx]| cpu.max_pool_backward(&POOL, dy, index, &E5M2, dx),
        ),
        call("global_average_pool", [("x", Fp8, 24), ("y", Fp8, 6)], |cpu, [x, y]| {
            cpu.global_average_pool([2, 4, 3], x, &E5M2, y)
        }),
        call("global_average_pool_backward", [("dy", Fp8, 6), ("dx", Fp8, 24)], |cpu, [dy, dx]| {
            cpu.global_average_pool_backward([2, 4, 3], dy, &E5M2, dx)
        }),
        call("add", [("a", Fp8, 9), ("b", Fp8, 9), ("y", Fp8, 9)], |cpu, [a, b, y]| {
            cpu.add(a, Some(b), true, &E5M2, y)
        }),
        call(
            "relu_backward",
            [("y", Fp8, 9), ("dy", Fp8, 9), ("residual", Fp8, 9), ("dx", Fp8, 9)],
            |cpu, [y, dy, residual, dx]| cpu.relu_backward(y, dy, Some(residual), &E5M2, dx),
        ),
        call(
            "cross_entropy",
            [("logits", F32, 12), ("targets", U32, 3), ("losses", F32, 3)],
            |cpu, [logits, targets, losses]| cpu.cross_entropy(&LOSS, logits, targets, losses),
        ),
        call(
            "cross_entropy_backward",
            [("logits", F32, 12), ("targets", U32, 3), ("dlogits", Fp8, 12)],
            |cpu, [logits, targets, dlogits]| cpu.cross_entropy_backward(&LOSS, logits, targets, 2.0, &E5M2, dlogits),
        ),
        call(
            "linear_cross_entropy",
            [
                ("x", Fp8, 18),
                ("w", Fp8, 24),
                ("bias", F32, 4),
                ("targets", U32, 3),
                ("losses", F32, 3),
                ("dlogits", Fp8, 12),
            ],
            |cpu, [x, w, bias, targets, losses, dlogits]| {
                let arguments = LinearCrossEntropy { inputs: 6, x, w, bias: Some(bias), alpha: 1.0, targets };
                let error = LogitsError { factor: 2.0, store: E5M2, dlogits };
                cpu.linear_cross_entropy(&LOSS, &arguments, losses, Some(error))
            },
        ),
        call(
            "embedding",
            [("tokens", U32, 6), ("w", Fp8, 28), ("positions", F32, 8), ("y", Fp8, 24)],
            |cpu, [tokens, w, positions, y]| {
                let positions = Some(&*positions);
                cpu.embedding(&TABLE, &EmbeddingForward { tokens, w, factor: 1.0, positions, store: E5M2 }, y)
            },
        ),
        call(
            "embedding_backward",
            [("tokens", U32, 6), ("dy", Fp8, 24), ("residual", Fp8, 28), ("dw", Fp8, 28)],
            |cpu, [tokens, dy, residual, dw]| {
                let residual = Some(&*residual);
                cpu.embedding_backward(
                    &TABLE,
                    &EmbeddingBackward { tokens, dy, factor: 1.0, residual, store: E5M2 },
                    dw,
                )
            },
        ),
        call("dropout", [("x", Fp8, 9), ("residual", Fp8, 9), ("y", Fp8, 9)], |cpu, [x, residual, y]| {
            let mask = fp8_core::Stream { seed: 1, step: 2, id: 3 };
            cpu.dropout(&Dropout { x, share: 0.1, mask, residual: Some(residual), store: E5M2 }, y)
        }),
        call("join_columns", [("part", Fp8, 6), ("part", F32, 15), ("y", Fp8, 21)], |cpu, [a, b, y]| {
            cpu.join_columns(3, &[(a, 2), (b, 5)], &E5M2, y)
        }),
        call("columns", [("x", Fp8, 21), ("residual", Fp8, 6), ("y", Fp8, 6)], |cpu, [x, residual, y]| {
            cpu.columns([3, 7], [4, 2], x, Some(residual), &E5M2, y)
        }),
        call(
            "additive_attention",
            [
                ("q", Fp8, 24),
                ("k", Fp8, 40),
                ("values", Fp8, 50),
                ("v", F32, 4),
                ("gain", F32, 1),
                ("bias", F32, 4),
                ("y", Fp8, 30),
            ],
            |cpu, [q, k, values, v, gain, bias, y]| {
                let (gain, bias) = (Some(&*gain), Some(&*bias));
                cpu.additive_attention(
                    &ATTENTION,
                    &AdditiveOperands { q, k, values, v, gain, bias, lengths: None },
                    &E5M2,
                    y,
                )
            },
        ),
        call(
            "additive_attention_backward",
            [
                ("q", Fp8, 24),
                ("k", Fp8, 40),
                ("values", Fp8, 50),
                ("v", F32, 4),
                ("gain", F32, 1),
                ("bias", F32, 4),
                ("dy", Fp8, 30),
                ("dq", Fp8, 24),
                ("dk", Fp8, 40),
                ("dvalues", Fp8, 50),
                ("dv", F32, 4),
                ("dgain", F32, 1),
                ("dbias", F32, 4),
            ],
            |cpu, [q, k, values, v, gain, bias, dy, dq, dk, dvalues, dv, dgain, dbias]| {
                let (gain, bias) = (Some(&*gain), Some(&*bias));
                let operands = AdditiveOperands { q, k, values, v, gain, bias, lengths: None };
                let arguments = AdditiveBackward { operands, dy, stores: [E5M2; 3], residuals: [None; 3] };
                let (dgain, dbias) = (Some(dgain), Some(dbias));
                let gradients = AdditiveGradients { dq, dk, dvalues, dv, dgain, dbias };
                cpu.additive_attention_backward(&ATTENTION, &arguments, gradients)
            },
        ),
        call(
            "layer_norm",
            [("x", Fp8, 30), ("gamma", F32, 5), ("beta", F32, 5), ("y", Fp8, 30)],
            |cpu, [x, gamma, beta, y]| cpu.layer_norm(&LAYER, &LayerNormForward { x, gamma, beta, store: E5M2 }, y),
        ),
        call(
            "layer_norm_backward",
            [
                ("x", Fp8, 30),
                ("gamma", F32, 5),
                ("dy", Fp8, 30),
                ("residual", Fp8, 30),
                ("dx", Fp8, 30),
                ("dgamma", F32, 5),
                ("dbeta", F32, 5),
            ],
            |cpu, [x, gamma, dy, residual, dx, dgamma, dbeta]| {
                let arguments = LayerNormBackward { x, gamma, dy, residual: Some(residual), store: E5M2 };
                cpu.layer_norm_backward(&LAYER, &arguments, LayerNormGradients { dx, dgamma, dbeta })
            },
        ),
        call(
            "attention",
            [("q", Fp8, 24), ("k", Fp8, 40), ("values", Fp8, 40), ("y", Fp8, 24)],
            |cpu, [q, k, values, y]| {
                cpu.attention(&HEADS, &AttentionOperands { q, k, values, lengths: None }, &E5M2, y)
            },
        ),
        call(
            "attention_backward",
            [
                ("q", Fp8, 24),
                ("k", Fp8, 40),
                ("values", Fp8, 40),
                ("dy", Fp8, 24),
                ("residual of dk", Fp8, 40),
                ("dq", Fp8, 24),
                ("dk", Fp8, 40),
                ("dvalues", Fp8, 40),
            ],
            |cpu, [q, k, values, dy, more, dq, dk, dvalues]| {
                let operands = AttentionOperands { q, k, values, lengths: None };
                let residuals = [None, Some(&*more), None];
                let arguments = AttentionBackward { operands, dy, stores: [E5M2; 3], residuals };
                cpu.attention_backward(&HEADS, &arguments, AttentionGradients { dq, dk, dvalues })
            },
        ),
        call(
            "lstm",
            [
                ("x", Fp8, 9 * 2 * 3),
                ("w_input", Fp8, 20 * 3),
                ("w_hidden", Fp8, 20 * 5),
                ("b_input", F32, 20),
                ("b_hidden", F32, 20),
                ("lengths", U32, 2),
                ("initial h", Fp8, 10),
                ("initial c", F32, 10),
                ("h", Fp8, 90),
                ("cells", F32, 20),
                ("gates", DType::F16, 360),
            ],
            |cpu, [x, w_input, w_hidden, b_input, b_hidden, lengths, initial, c, h, cells, gates]| {
                let (biases, lengths) = ([&*b_input, &*b_hidden], Some(&*lengths));
                let operands = LstmOperands { x, w_input, w_hidden, biases, factors: [1.0; 2], lengths };
                let initial = Some(LstmState { h: initial, c });
                cpu.lstm(&LSTM, &LstmForward { operands, initial, store: E5M2 }, h, cells, Some(gates))
            },
        ),
        call(
            "lstm_backward",
            [
                ("w_hidden", Fp8, 20 * 5),
                ("lengths", U32, 2),
                ("gates", DType::F16, 360),
                ("cells", F32, 20),
                ("dy", Fp8, 90),
                ("dgates", Fp8, 360),
            ],
            |cpu, [w_hidden, lengths, gates, cells, dy, dgates]| {
                let (lengths, error_factor) = (Some(&*lengths), 1.0);
                let backward = LstmBackward { w_hidden, lengths, gates, cells, dy, error_factor, store: E5M2 };
                cpu.lstm_backward(&LSTM, &backward, dgates)
            },
        ),
        call(
            "lstm_backward_weight",
            [("h", Fp8, 90), ("dgates", Fp8, 360), ("residual", Fp8, 100), ("dw", Fp8, 100)],
            |cpu, [h, dgates, residual, dw]| {
                cpu.lstm_backward_weight(&LSTM, h, dgates, &epilogue(None, Some(residual)), dw)
            },
        ),
        call(
            "update",
            [("gradient", Fp8, 9), ("master", DType::F16, 9), ("moment", DType::Bf16, 9), ("working", Fp8, 9)],
            |cpu, [gradient, master, moment, working]| {
                let rule = UpdateRule::Sgd {
                    lr: 0.1,
                    momentum: 0.9,
                    dampening: 0.0,
                    nesterov: false,
                    weight_decay: 0.0,
                    first: true,
                };
                let parameter = ParameterUpdate {
                    gradient,
                    unscale: 1.0,
                    master,
                    master_store: Store::nearest(DType::F16),
                    moments: vec![(moment, Store::nearest(DType::Bf16))],
                    working: Some((working, E5M2)),
                };
                cpu.update(&rule, parameter)
            },
        ),
    ]
}

/// Buffers of zeros.
fn buffers(cpu: &CpuBackend, operands: &[Operand]) -> Vec<Buffer> {
    let buffer = |&(_, dtype, len): &Operand| {
        let mut buffer = cpu.alloc(dtype, len).expect("memory");
        cpu.upload(&vec![0; buffer.bytes()], &mut buffer).expect("a copy");
        buffer
    };
    operands.iter().map(buffer).collect()
}

fn contents(cpu: &CpuBackend, buffers: &[Buffer]) -> Vec<Vec<u8>> {
    let content = |buffer: &Buffer| {
        let mut bytes = vec![0; buffer.bytes()];
        // What lives elsewhere cannot be read, and cannot have been written.
        _ = cpu.download(buffer, &mut bytes);
        bytes
    };
    buffers.iter().map(content).collect()
}

/// Calls with one operand replaced: the error must name the call and an operand, and nothing be written.
fn check_fails(cpu: &CpuBackend, call: &Call, operands: &[Operand], mut buffers: Vec<Buffer>) -> Error {
    let before = contents(cpu, &buffers);
    let error = (call.run)(cpu, &mut buffers).expect_err(call.name);
    let message = error.to_string();
    assert!(message.starts_with(&format!("{}: ", call.name)), "{message}");
    assert_eq!(contents(cpu, &buffers), before, "{message}: something was written");
    assert!(operands.iter().any(|(what, ..)| message.contains(what)), "{message}");
    error
}

#[test]
fn fitting_arguments_are_taken() {
    let cpu = CpuBackend::new().unwrap();
    for call in calls() {
        (call.run)(&cpu, &mut buffers(&cpu, &call.operands)).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn operands_of_another_length_are_named() {
    let cpu = CpuBackend::new().unwrap();
    for call in calls() {
        for i in 0..call.operands.len() {
            let right = call.operands[i].2;
            for wrong in [0, right - 1, right + 1, 2 * right] {
                let mut operands = call.operands.clone();
                operands[i].2 = wrong;
                let error = check_fails(&cpu, &call, &operands, buffers(&cpu, &operands));
                assert!(matches!(error, Error::Length { .. }), "{error}");
            }
        }
    }
}

#[test]
fn operands_of_another_type_are_named() {
    let cpu = CpuBackend::new().unwrap();
    for call in calls() {
        for (i, &(what, right, _)) in call.operands.iter().enumerate() {
            let wrong = if right == DType::U32 { DType::F32 } else { DType::U32 };
            let mut operands = call.operands.clone();
            operands[i].1 = wrong;
            let error = check_fails(&cpu, &call, &operands, buffers(&cpu, &operands));
            let named =
                matches!(error, Error::Type { what: found, found: dtype, .. } if found == what && dtype == wrong);
            assert!(named, "{error}");
        }
    }
}

#[test]
fn operands_of_another_device_are_named() {
    let cpu = CpuBackend::new().unwrap();
    for call in calls() {
        for (i, &(what, dtype, len)) in call.operands.iter().enumerate() {
            let mut buffers = buffers(&cpu, &call.operands);
            buffers[i] = Buffer::new(dtype, len, Box::new(Elsewhere));
            let error = check_fails(&cpu, &call, &call.operands, buffers);
            assert!(matches!(error, Error::Device { what: found, .. } if found == what), "{error}");
        }
    }
}

/// Shapes that make no sense, or whose number of elements does not fit: with buffers of one element.
#[test]
fn senseless_shapes_are_refused() {
    const MOST: usize = usize::MAX;
    let cpu = CpuBackend::new().unwrap();
    let one = || cpu.alloc(DType::E5M2, 1).unwrap();
    let bytes = || cpu.alloc(DType::U8, 1).unwrap();
    let (x, w, plain) = (one(), one(), Epilogue::store(E5M2));
    for conv in [
        Conv2d { stride: 0, ..CONV },
        Conv2d { kernel: [0, 3], ..CONV },
        Conv2d { kernel: [8, 3], ..CONV },
        Conv2d { input: [0, 4], padding: 0, ..CONV },
        Conv2d { padding: MOST, ..CONV },
        Conv2d { padding: MOST / 2, ..CONV },
        Conv2d { padding: MOST / 4, kernel: [MOST / 4; 2], ..CONV },
        Conv2d { input: [MOST; 2], ..CONV },
        Conv2d { input: [MOST - 1, 1 << 20], ..CONV },
        Conv2d { batch: MOST, ..CONV },
        Conv2d { batch: 1 << 40, in_channels: 1 << 40, ..CONV },
        Conv2d { out_channels: MOST / 2, ..CONV },
    ] {
        assert!(cpu.conv2d(&conv, &x, &w, &plain, &mut one()).is_err(), "{conv:?}");
        assert!(cpu.conv2d_backward_data(&conv, &x, &w, &plain, &mut one()).is_err(), "{conv:?}");
        assert!(cpu.conv2d_backward_weight(&conv, &x, &w, &plain, &mut one()).is_err(), "{conv:?}");
    }
    for pool in [
        Pool2d { stride: 0, ..POOL },
        Pool2d { kernel: 0, ..POOL },
        Pool2d { kernel: 16, ..POOL },
        Pool2d { padding: 2, ..POOL },
        Pool2d { input: [1, 4], ..POOL },
        Pool2d { input: [0, 0], ..POOL },
        Pool2d { input: [MOST; 2], ..POOL },
        Pool2d { channels: MOST, ..POOL },
        Pool2d { batch: MOST, stride: MOST, ..POOL },
    ] {
        assert!(cpu.max_pool(&pool, &x, &E5M2, &mut one(), &mut bytes()).is_err(), "{pool:?}");
        assert!(cpu.max_pool_backward(&pool, &x, &bytes(), &E5M2, &mut one()).is_err(), "{pool:?}");
    }
    for (m, n, k) in [(MOST, 1, 1), (1, MOST, 1), (1, 1, MOST), (MOST, MOST, MOST), (1 << 33, 1 << 31, 1)] {
        for layout in [Layout::NN, Layout::NT, Layout::TN] {
            let gemm = Gemm { m, n, k, layout };
            assert!(cpu.gemm(&gemm, &x, &w, &plain, &mut one()).is_err(), "{gemm:?}");
        }
    }
    for shape in [[1, 0, 1], [MOST, MOST, 1], [MOST, 1, 1], [1, MOST, MOST]] {
        assert!(cpu.global_average_pool(shape, &x, &E5M2, &mut one()).is_err(), "{shape:?}");
    }
    assert!(cpu.sum_rows(MOST, MOST, &x, &E5M2, &mut one()).is_err());
    let huge = CrossEntropy { rows: MOST, classes: 2, smoothing: 0.0 };
    assert!(cpu.cross_entropy(&huge, &x, &bytes(), &mut one()).is_err());
    assert!(matches!(cpu.alloc(DType::F32, MOST), Err(Error::OutOfMemory { .. })));
    assert!(matches!(cpu.alloc(DType::F32, 1 << 55), Err(Error::OutOfMemory { .. })));
}

#[test]
fn a_target_that_is_no_class_is_named() {
    let cpu = CpuBackend::new().unwrap();
    let mut targets = cpu.alloc(DType::U32, 3).unwrap();
    cpu.upload(&[0_u32, 4, 1].map(u32::to_le_bytes).concat(), &mut targets).unwrap();
    let (logits, mut losses) = (cpu.alloc(DType::F32, 12).unwrap(), cpu.alloc(DType::F32, 3).unwrap());
    let error = cpu.cross_entropy(&LOSS, &logits, &targets, &mut losses).unwrap_err();
    assert!(error.to_string().contains("target 4 of row 1 is not below 4"), "{error}");
}

#[test]
fn numbers_out_of_range_are_named() {
    let cpu = CpuBackend::new().unwrap();
    let numbers = |numbers: &[u32]| {
        let mut buffer = cpu.alloc(DType::U32, numbers.len()).unwrap();
        cpu.upload(&numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>(), &mut buffer).unwrap();
        buffer
    };
    let zeros = |dtype, len| buffers(&cpu, &[("", dtype, len)]).remove(0);
    let (tokens, w, mut y) = (numbers(&[0, 1, 2, 7, 3, 4]), zeros(DType::E5M2, 28), zeros(DType::E5M2, 24));
    let forward = EmbeddingForward { tokens: &tokens, w: &w, factor: 1.0, positions: None, store: E5M2 };
    let error = cpu.embedding(&TABLE, &forward, &mut y).unwrap_err().to_string();
    assert!(error.contains("tokens: 7 of row 3 is not below 7"), "{error}");

    let [q, k, values] = [24, 40, 50].map(|len| zeros(DType::E5M2, len));
    let (v, mut y) = (zeros(DType::F32, 4), zeros(DType::E5M2, 30));
    for wrong in [[0, 1], [1, 6]] {
        let lengths = numbers(&wrong);
        let operands =
            AdditiveOperands { q: &q, k: &k, values: &values, v: &v, gain: None, bias: None, lengths: Some(&lengths) };
        let error = cpu.additive_attention(&ATTENTION, &operands, &E5M2, &mut y).unwrap_err().to_string();
        assert!(error.contains("is not from 1 to 5"), "{error}");
    }
    let [q, k, values, mut y] = [24, 40, 40, 24].map(|len| zeros(DType::E5M2, len));
    for wrong in [[0, 1], [1, 6]] {
        let lengths = numbers(&wrong);
        let operands = AttentionOperands { q: &q, k: &k, values: &values, lengths: Some(&lengths) };
        let error = cpu.attention(&HEADS, &operands, &E5M2, &mut y).unwrap_err().to_string();
        assert!(error.contains("is not from 1 to 5"), "{error}");
    }
    let operands = AttentionOperands { q: &q, k: &k, values: &values, lengths: None };
    for wrong in [
        Attention { heads: 0, ..HEADS },
        Attention { head_width: 0, ..HEADS },
        Attention { keys: 0, causal: false, ..HEADS },
        Attention { keys: 2, ..HEADS },
        Attention { heads: usize::MAX, ..HEADS },
    ] {
        assert!(matches!(cpu.attention(&wrong, &operands, &E5M2, &mut y), Err(Error::Shape { .. })), "{wrong:?}");
    }
    let [gamma, beta] = [0; 2].map(|len| zeros(DType::F32, len));
    let norm = LayerNorm { width: 0, ..LAYER };
    let forward = LayerNormForward { x: &q, gamma: &gamma, beta: &beta, store: E5M2 };
    assert!(matches!(cpu.layer_norm(&norm, &forward, &mut y), Err(Error::Shape { .. })));
    for share in [-0.1, 1.0, f32::NAN] {
        let mask = fp8_core::Stream { seed: 1, step: 2, id: 3 };
        let dropout = Dropout { x: &q, share, mask, residual: None, store: E5M2 };
        assert!(cpu.dropout(&dropout, &mut zeros(DType::E5M2, 24)).is_err());
    }
}

/// No elements are no mistake.
#[test]
fn nothing_is_taken() {
    let cpu = CpuBackend::new().unwrap();
    let none = |dtype| cpu.alloc(dtype, 0).unwrap();
    let (x, mut y) = (none(DType::E5M2), none(DType::E5M2));
    cpu.cast(&x, 1.0, &E5M2, &mut y).unwrap();
    cpu.add(&x, Some(&x), true, &E5M2, &mut y).unwrap();
    assert_eq!(cpu.amax(&x), Ok(0.0));
    assert_eq!(cpu.sum_squares(&x, 1.0), Ok(0.0));
    let plain = Epilogue::store(E5M2);
    cpu.gemm(&Gemm { m: 0, ..GEMM }, &x, &cpu.alloc(DType::E5M2, 30).unwrap(), &plain, &mut y).unwrap();
    let conv = Conv2d { batch: 0, ..CONV };
    let w = cpu.alloc(DType::E5M2, conv.weight_len()).unwrap();
    cpu.conv2d(&conv, &x, &w, &plain, &mut y).unwrap();
    cpu.max_pool(&Pool2d { batch: 0, ..POOL }, &x, &E5M2, &mut y, &mut none(DType::U8)).unwrap();
    cpu.sum_rows(0, 0, &x, &E5M2, &mut y).unwrap();
    let empty = CrossEntropy { rows: 0, ..LOSS };
    cpu.cross_entropy(&empty, &none(DType::F32), &none(DType::U32), &mut none(DType::F32)).unwrap();
}
