//! Casts, sums, masks, dropout, columns, the update of parameters.

use fp8_core::{Rounding, Stream};

use super::Case;
use super::inputs::{Inputs, store, stores};
use crate::{Backend, Buffer, DType, Dropout, ParameterUpdate, Result, Store, UpdateRule};

const LENS: [usize; 4] = [0, 5, 8, 40_007];
const TYPES: [DType; 4] = [DType::E5M2, DType::F32, DType::Bf16, DType::E4M3Fnuz];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (n, (len, dtype)) in LENS.into_iter().flat_map(|len| TYPES.map(|dtype| (len, dtype))).enumerate() {
        for (i, store) in stores().into_iter().enumerate() {
            cases.push(Case::new(format!("cast {dtype} {len} {i}"), move |backend| {
                let inputs = Inputs(backend);
                let (x, mut y) = (inputs.special(dtype, 1, len)?, inputs.output(store.dtype, len)?);
                backend.cast(&x, if i % 2 == 0 { 1.0 } else { 3.0 }, &store, &mut y)?;
                Ok(vec![y])
            }));
            let (with, relu) = ((n + i) % 2 == 0, i % 3 == 0);
            cases.push(Case::new(format!("add, relu backward, dropout {dtype} {len} {i}"), move |backend| {
                let inputs = Inputs(backend);
                let (a, b) = (inputs.special(dtype, 2, len)?, inputs.special(DType::E5M2, 3, len)?);
                let output = || inputs.output(store.dtype, len);
                let (mut sum, mut masked, mut dropped) = (output()?, output()?, output()?);
                let b = with.then_some(&b);
                backend.add(&a, b, relu, &store, &mut sum)?;
                let dy = inputs.float(DType::E5M2, 4, len)?;
                backend.relu_backward(&a, &dy, b, &store, &mut masked)?;
                let mask = Stream { seed: 9, step: 8, id: 7 };
                let dropout = Dropout { x: &a, share: 0.3, mask, residual: b, store };
                backend.dropout(&dropout, &mut dropped)?;
                Ok(vec![sum, masked, dropped])
            }));
        }
    }
    cases.extend(look_ups());
    cases.extend(columns());
    cases.extend(updates());
    cases.push(Case::new("update all", update_all));
    cases
}

fn look_ups() -> Vec<Case> {
    let sizes = [(1, 0), (1, 5), (3, 8 * 256), (3, 40_007)];
    let case = |(n, (channels, rows)): (usize, (usize, usize))| {
        Case::new(format!("look up {rows} of {channels}"), move |backend| {
            let (inputs, store) = (Inputs(backend), store(n));
            let bytes: Vec<u8> = (0..rows * channels).map(|at| (at * 7 + at / 251) as u8).collect();
            let (x, table) = (inputs.uploaded(DType::U8, &bytes)?, inputs.float(DType::F32, 1, channels * 256)?);
            let mut y = inputs.output(store.dtype, bytes.len())?;
            backend.look_up(channels, &x, &table, &store, &mut y)?;
            Ok(vec![y])
        })
    };
    sizes.into_iter().enumerate().map(case).collect()
}

fn columns() -> Vec<Case> {
    let case = |n: usize, rows: usize, widths: [usize; 3]| {
        Case::new(format!("columns {rows} of {widths:?}"), move |backend| {
            let (inputs, total, store) = (Inputs(backend), widths.iter().sum::<usize>(), store(n));
            let types = [DType::E5M2, DType::F32, DType::F16];
            let parts = types
                .iter()
                .zip(widths)
                .zip(1..)
                .map(|((dtype, width), seed)| inputs.special(*dtype, seed, rows * width));
            let parts = parts.collect::<crate::Result<Vec<_>>>()?;
            let mut joined = inputs.output(store.dtype, rows * total)?;
            backend.join_columns(rows, &parts.iter().zip(widths).collect::<Vec<_>>(), &store, &mut joined)?;
            let residual = inputs.special(DType::E4M3, 9, rows * widths[1])?;
            let mut part = inputs.output(DType::E5M2, rows * widths[1])?;
            let (size, which) = ([rows, total], [widths[0], widths[1]]);
            let residual = n.is_multiple_of(2).then_some(&residual);
            backend.columns(size, which, &joined, residual, &Store::nearest(DType::E5M2), &mut part)?;
            Ok(vec![joined, part])
        })
    };
    vec![case(0, 700, [3, 40, 1]), case(1, 1, [0, 7, 2]), case(2, 33, [64, 64, 64]), case(3, 0, [1, 2, 3])]
}

fn updates() -> Vec<Case> {
    let sgd = |momentum, nesterov, first| UpdateRule::Sgd {
        lr: 0.1,
        momentum,
        dampening: 0.1,
        nesterov,
        weight_decay: 1e-2,
        first,
    };
    let adam = |step| UpdateRule::AdamW { lr: 1e-2, beta1: 0.9, beta2: 0.98, epsilon: 1e-8, weight_decay: 1e-2, step };
    let rules = [sgd(0.9, true, false), sgd(0.9, false, true), sgd(0.0, false, false), adam(1), adam(100)];
    let case = |n: usize, rule: UpdateRule, len: usize| {
        Case::new(format!("update {n} {len}"), move |backend| {
            let inputs = Inputs(backend);
            let gradient = inputs.float([DType::E5M2, DType::F32, DType::F16][n % 3], 1, len)?;
            let master_store = [store(2), Store::F32, Store::nearest(DType::F16)][n % 3];
            let mut master = inputs.float(master_store.dtype, 2, len)?;
            let stores = &[0, 1].map(|i| moment_store(n, 10 + i))[..rule.moments()];
            let moments = (3..).zip(stores).map(|(seed, store)| inputs.positive(store.dtype, seed, len));
            let mut moments = moments.collect::<crate::Result<Vec<_>>>()?;
            let mut working = inputs.output(DType::E5M2, len)?;
            backend.update(
                &rule,
                ParameterUpdate {
                    gradient: &gradient,
                    unscale: 1.0 / 1024.0,
                    master: &mut master,
                    master_store,
                    moments: moments.iter_mut().zip(stores.iter().copied()).collect(),
                    working: (n != 2).then_some((&mut working, Store::nearest(DType::E5M2))),
                },
            )?;
            moments.push(master);
            if n != 2 {
                moments.push(working);
            }
            Ok(moments)
        })
    };
    let cases = rules.into_iter().enumerate();
    cases.flat_map(|(n, rule)| [1, 9, 33_000].map(|len| case(n, rule, len))).collect()
}

/// FP32; as a recipe may ask for, bfloat16 with random bits of the moment's own; bfloat16 to nearest.
fn moment_store(n: usize, id: u32) -> Store {
    let random = Stream { seed: 3, step: 1, id };
    let stochastic = Store { rounding: Rounding::STOCHASTIC, random, ..Store::nearest(DType::Bf16) };
    [Store::F32, stochastic, Store::nearest(DType::Bf16)][n % 3]
}

/// Parameters of several sizes and types together, none among them.
fn update_all(backend: &dyn Backend) -> Result<Vec<Buffer>> {
    let inputs = Inputs(backend);
    let lens = [8192, 5, 0, 20_011, 1, 8200, 16_384, 3, 64, 100_003];
    let mut all = Vec::new();
    for (seed, len) in (0..).zip(lens) {
        let (masters, kind) = ([store(2), Store::F32, Store::nearest(DType::F16)], seed as usize % 3);
        let gradient = inputs.float([DType::E5M2, DType::F32, DType::E5M2][kind], seed, len)?;
        let master = inputs.float(masters[kind].dtype, 20 + seed, len)?;
        let moment = |i: u32| {
            let store = moment_store(kind + i as usize, 200 + 2 * seed + i);
            Ok((inputs.positive(store.dtype, 40 + 20 * i + seed, len)?, store))
        };
        let moments = vec![moment(0)?, moment(1)?];
        let random = Stream { seed: 1, step: 2, id: seed };
        let working = Store { rounding: store(1).rounding, random, ..Store::nearest(DType::E5M2) };
        all.push((
            gradient,
            Store { random, ..masters[kind] },
            master,
            moments,
            inputs.output(DType::E5M2, len)?,
            working,
        ));
    }
    let updates = all.iter_mut().enumerate().map(|(n, (gradient, master_store, master, moments, copy, working))| {
        let (weight_decay, kind) = (0.01 * n as f32, n % 3);
        let rule = match n % 4 {
            0 => UpdateRule::AdamW { lr: 1e-2, beta1: 0.9, beta2: 0.98, epsilon: 1e-8, weight_decay, step: 7 },
            n => UpdateRule::Sgd {
                lr: 0.1,
                momentum: 0.9,
                dampening: 0.0,
                nesterov: n == 1,
                weight_decay,
                first: n == 2,
            },
        };
        let moments = moments.iter_mut().take(rule.moments()).map(|(moment, store)| (moment, *store)).collect();
        let master_store = *master_store;
        let working = (kind != 1).then_some((copy, *working));
        (rule, ParameterUpdate { gradient, unscale: 1.0 / (n as f32 + 3.0), master, master_store, moments, working })
    });
    backend.update_all(updates.collect())?;
    let written = all.into_iter().enumerate().flat_map(|(n, (_, _, master, moments, copy, _))| {
        let others = [master].into_iter().chain((n % 3 != 1).then_some(copy));
        moments.into_iter().map(|(moment, _)| moment).chain(others).collect::<Vec<_>>()
    });
    Ok(written.collect())
}
