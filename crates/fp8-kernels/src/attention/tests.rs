//! Against the formulas: in plain loops of the promised order, and in f64; the same bytes on every path.

use super::*;
use crate::DType;
use crate::testing::{Codes, encoded, numbers, on_every_path, stores, values};

struct Case {
    shape: Attention,
    q: Codes,
    k: Codes,
    values: Codes,
    dy: Codes,
    lengths: Option<Vec<u32>>,
}

const PLAIN: Attention = Attention { queries: 37, keys: 41, batch: 3, heads: 2, head_width: 21, causal: false };

/// Shapes with and without ends and causality; one query of many keys, as in decoding.
fn cases() -> Vec<Case> {
    let shapes = [
        (DType::F32, PLAIN, None),
        (DType::E5M2, Attention { causal: true, queries: 41, ..PLAIN }, None),
        (DType::F16, Attention { causal: true, ..PLAIN }, Some(vec![41, 3, 17])),
        (DType::E5M2, Attention { queries: 1, heads: 3, head_width: 64, causal: true, ..PLAIN }, None),
        (DType::F32, Attention { queries: 5, keys: 3, head_width: 1, ..PLAIN }, Some(vec![1, 2, 3])),
    ];
    let case = |(dtype, shape, lengths): (DType, Attention, _)| {
        let codes = |seed, steps| Codes::new(dtype, &numbers(seed, steps * shape.batch * shape.width()));
        let (queries, keys) = (shape.queries, shape.keys);
        Case { shape, q: codes(1, queries), k: codes(2, keys), values: codes(3, keys), dy: codes(4, queries), lengths }
    };
    shapes.into_iter().map(case).collect()
}

impl Case {
    fn operands(&self) -> Operands<'_> {
        Operands { q: self.q.view(), k: self.k.view(), values: self.values.view(), lengths: self.lengths.as_deref() }
    }

    /// The keys that query `t` of a sequence sees.
    fn seen(&self, t: usize, row: usize) -> usize {
        let all = self.lengths.as_ref().map_or(self.shape.keys, |lengths| lengths[row] as usize);
        if self.shape.causal { all.min(t + 1 + self.shape.keys - self.shape.queries) } else { all }
    }

    /// Where a head of a sequence begins at a step.
    fn at(&self, t: usize, row: usize, head: usize) -> usize {
        (t * self.shape.batch + row) * self.shape.width() + head * self.shape.head_width
    }

    /// All queries of all heads.
    fn each(&self) -> impl Iterator<Item = [usize; 3]> {
        let Attention { queries, batch, heads, .. } = self.shape;
        (0..queries).flat_map(move |t| (0..batch).flat_map(move |row| (0..heads).map(move |head| [t, row, head])))
    }

    /// In f32, in the order of docs/numerics.md.
    fn in_order(&self) -> Vec<f32> {
        let (q, k, values, d) = (self.q.values(), self.k.values(), self.values.values(), self.shape.head_width);
        let mut y = Vec::new();
        for [t, row, head] in self.each() {
            let score = |key: usize| {
                let (q, k) = (&q[self.at(t, row, head)..][..d], &k[self.at(key, row, head)..][..d]);
                q.iter().zip(k).fold(0.0_f32, |sum, (q, k)| sum + q * k) * (1.0 / (d as f32).sqrt())
            };
            let scores: Vec<f32> = (0..self.seen(t, row)).map(score).collect();
            let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let powers: Vec<f32> = scores.iter().map(|score| exp(score - most)).collect();
            let mut lanes = [0.0_f32; 16];
            powers.iter().enumerate().for_each(|(i, power)| lanes[i % 16] += power);
            for half in [8, 4, 2, 1] {
                (0..half).for_each(|i| lanes[i] += lanes[i + half]);
            }
            let value = |key: usize, j: usize| values[self.at(key, row, head) + j];
            let average = |j: usize| {
                powers.iter().enumerate().fold(0.0, |sum, (key, power)| sum + power / lanes[0] * value(key, j))
            };
            y.extend((0..d).map(average));
        }
        y
    }

    /// dq, dk and dvalues by their formulas in f64.
    fn gradients(&self) -> [Vec<f64>; 3] {
        let wide = |codes: &Codes| codes.values().into_iter().map(f64::from).collect::<Vec<_>>();
        let [q, k, values, dy] = [&self.q, &self.k, &self.values, &self.dy].map(wide);
        let (d, mut out) = (self.shape.head_width, [&q, &k, &values].map(|x| vec![0.0; x.len()]));
        let root = (d as f64).sqrt();
        for [t, row, head] in self.each() {
            let query = self.at(t, row, head);
            let along = |a: &[f64], b: &[f64], key: usize| {
                let b = &b[self.at(key, row, head)..][..d];
                a[query..][..d].iter().zip(b).map(|(a, b)| a * b).sum::<f64>()
            };
            let powers: Vec<f64> = (0..self.seen(t, row)).map(|key| (along(&q, &k, key) / root).exp()).collect();
            let shares: Vec<f64> = powers.iter().map(|power| power / powers.iter().sum::<f64>()).collect();
            let errors: Vec<f64> = (0..shares.len()).map(|key| along(&dy, &values, key)).collect();
            let mean: f64 = shares.iter().zip(&errors).map(|(share, error)| share * error).sum();
            for (key, (share, error)) in shares.iter().zip(&errors).enumerate() {
                let (ds, key) = (share * (error - mean) / root, self.at(key, row, head));
                for j in 0..d {
                    out[0][query + j] += ds * k[key + j];
                    out[1][key + j] += ds * q[query + j];
                    out[2][key + j] += share * dy[query + j];
                }
            }
        }
        out
    }
}

#[test]
fn contexts_are_those_of_the_plain_loops() {
    for case in cases() {
        let y = case.in_order();
        for store in stores() {
            let found = on_every_path(|isa| {
                let mut y = vec![0xAA; y.len() * store.dtype.size()];
                forward(isa, &case.shape, &case.operands(), &store, ViewMut { dtype: store.dtype, bytes: &mut y });
                y
            });
            assert!(found == encoded(&store, &y), "{:?}, {}", case.shape, store.dtype);
        }
    }
}

#[test]
fn gradients_are_those_of_the_formulas() {
    for case in cases() {
        let exact = case.gradients();
        let residual = Some(case.k.view());
        let run = |store: Store| {
            on_every_path(|isa| {
                let mut rooms = exact.each_ref().map(|x| vec![0xAA; x.len() * store.dtype.size()]);
                let gradients = Gradients {
                    outputs: rooms.each_mut().map(|bytes| ViewMut { dtype: store.dtype, bytes }),
                    stores: [store; 3],
                    residuals: [None, residual, None],
                };
                backward(isa, &case.shape, &case.operands(), case.dy.view(), gradients);
                rooms.concat()
            })
        };
        let found = values(DType::F32, &run(Store::F32));
        let (mut rest, others) = (&found[..], case.k.values());
        for (i, (what, exact)) in ["dq", "dk", "dvalues"].into_iter().zip(&exact).enumerate() {
            let (own, next) = rest.split_at(exact.len());
            let largest = exact.iter().fold(1e-3_f64, |most, x| most.max(x.abs()));
            for (at, (found, exact)) in own.iter().zip(exact).enumerate() {
                let exact = exact + if i == 1 { f64::from(others[at]) } else { 0.0 };
                let error = (f64::from(*found) - exact).abs();
                assert!(error <= 1e-5 * largest + 1e-6, "{what} {at} of {:?}: {found} not {exact}", case.shape);
            }
            rest = next;
        }
        let store = stores()[1];
        let q = exact[0].len();
        assert!(run(store)[..q] == encoded(&store, &found[..q]), "{:?}", case.shape);
    }
}

/// The scores of a decoder's last position, computed by themselves, are those of all positions at once.
#[test]
fn one_query_equals_the_last_of_all() {
    let shape = Attention { queries: 41, causal: true, ..PLAIN };
    let codes = |seed, steps: usize| Codes::new(DType::E5M2, &numbers(seed, steps * shape.batch * shape.width()));
    let (q, k, values) = (codes(1, 41), codes(2, 41), codes(3, 41));
    let line = shape.batch * shape.width();
    let last = |x: View<'_>| x.part(40 * line, line).bytes.to_vec();
    let isa = Isa::available()[0];
    let run = |shape: &Attention, q: View<'_>| {
        let operands = Operands { q, k: k.view(), values: values.view(), lengths: None };
        let mut y = vec![0; 4 * shape.queries * line];
        forward(isa, shape, &operands, &Store::F32, ViewMut { dtype: DType::F32, bytes: &mut y });
        y
    };
    let all = run(&shape, q.view());
    let one = run(&Attention { queries: 1, ..shape }, View { dtype: DType::E5M2, bytes: &last(q.view()) });
    assert!(all[4 * 40 * line..] == one);
}
