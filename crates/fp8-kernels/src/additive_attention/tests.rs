//! Against the formulas in f64; the same bytes on every path.

use super::*;
use crate::testing::{Codes, encoded, numbers, on_every_path, values};
use crate::{DType, Store};

const SHAPE: AdditiveAttention = AdditiveAttention { queries: 5, keys: 7, batch: 3, width: 37, value_width: 21 };

struct Case {
    q: Codes,
    k: Codes,
    values: Codes,
    v: Codes,
    gain: Option<Codes>,
    bias: Option<Codes>,
    lengths: Option<Vec<u32>>,
    dy: Codes,
}

impl Case {
    fn new(dtype: DType, normalised: bool, ends: bool) -> Self {
        let AdditiveAttention { queries, keys, batch, width, value_width } = SHAPE;
        let codes = |seed, len| Codes::new(dtype, &numbers(seed, len));
        let floats = |seed, len| Codes::new(DType::F32, &numbers(seed, len));
        Self {
            q: codes(1, queries * batch * width),
            k: codes(2, keys * batch * width),
            values: codes(3, keys * batch * value_width),
            v: floats(4, width),
            gain: normalised.then(|| Codes::new(DType::F32, &[1.5])),
            bias: normalised.then(|| floats(5, width)),
            lengths: ends.then(|| vec![3, 7, 1]),
            dy: codes(6, queries * batch * value_width),
        }
    }

    fn operands(&self) -> Operands<'_> {
        Operands {
            q: self.q.view(),
            k: self.k.view(),
            values: self.values.view(),
            v: self.v.view(),
            gain: self.gain.as_ref().map(Codes::view),
            bias: self.bias.as_ref().map(Codes::view),
            lengths: self.lengths.as_deref(),
        }
    }

    /// y, and the derivatives of the sum of y dy by q, k, values, v, gain and bias at `at` of each: by differences in f64.
    fn y(&self, operands: &[Vec<f64>; 6]) -> Vec<f64> {
        let AdditiveAttention { queries, keys, batch, width, value_width } = SHAPE;
        let [q, k, values, v, gain, bias] = operands;
        let norm = v.iter().map(|v| v * v).sum::<f64>().sqrt();
        let unit: Vec<f64> = v.iter().map(|v| if self.gain.is_some() { gain[0] * v / norm } else { *v }).collect();
        let mut y = Vec::new();
        for (t, row) in (0..queries).flat_map(|t| (0..batch).map(move |row| (t, row))) {
            let keys = self.lengths.as_ref().map_or(keys, |lengths| lengths[row] as usize);
            let score = |key: usize| -> f64 {
                (0..width)
                    .map(|j| {
                        unit[j]
                            * (q[(t * batch + row) * width + j] + k[(key * batch + row) * width + j] + bias[j]).tanh()
                    })
                    .sum()
            };
            let shares: Vec<f64> = (0..keys).map(|key| score(key).exp()).collect();
            let total: f64 = shares.iter().sum();
            y.extend((0..value_width).map(|j| {
                (0..keys).map(|key| shares[key] / total * values[(key * batch + row) * value_width + j]).sum::<f64>()
            }));
        }
        y
    }

    fn wide(&self) -> [Vec<f64>; 6] {
        let wide = |codes: &Codes| codes.values().into_iter().map(f64::from).collect::<Vec<_>>();
        let or = |codes: &Option<Codes>, len| codes.as_ref().map_or(vec![0.0; len], wide);
        [
            wide(&self.q),
            wide(&self.k),
            wide(&self.values),
            wide(&self.v),
            or(&self.gain, 1),
            or(&self.bias, SHAPE.width),
        ]
    }
}

fn assert_near(found: &[f32], expected: &[f64], what: &str) {
    let scale = expected.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(*found) - expected).abs();
        assert!(error <= 2e-5 * scale + 1e-6, "{what} {i}: {found} not {expected}");
    }
}

const CASES: [(DType, bool, bool); 4] =
    [(DType::F32, false, false), (DType::F32, true, true), (DType::E5M2, true, false), (DType::F16, false, true)];

#[test]
fn contexts_are_those_of_the_formula() {
    for (dtype, normalised, ends) in CASES {
        let case = Case::new(dtype, normalised, ends);
        let run = |store: Store| {
            on_every_path(|isa| {
                let mut y = vec![0xaa; SHAPE.queries * SHAPE.batch * SHAPE.value_width * store.dtype.size()];
                forward(isa, &SHAPE, &case.operands(), &store, ViewMut { dtype: store.dtype, bytes: &mut y });
                y
            })
        };
        let y = values(DType::F32, &run(Store::F32));
        assert_near(&y, &case.y(&case.wide()), "y");
        let store = Store::nearest(DType::E5M2);
        assert!(run(store) == encoded(&store, &y));
    }
}

#[test]
fn gradients_are_derivatives() {
    let AdditiveAttention { queries, keys, batch, width, value_width } = SHAPE;
    let lens = [queries * batch * width, keys * batch * width, keys * batch * value_width];
    for (dtype, normalised, ends) in CASES {
        let case = Case::new(dtype, normalised, ends);
        let found = on_every_path(|isa| {
            let mut rooms = lens.map(|len| vec![0xaa; 4 * len]);
            let [mut dv, mut dgain, mut dbias] = [width, 1, width].map(|len| vec![0; 4 * len]);
            let view = |bytes| ViewMut { dtype: DType::F32, bytes };
            let gradients = Gradients {
                outputs: rooms.each_mut().map(|room| view(room)),
                stores: [Store::F32; 3],
                residuals: [None, Some(case.k.view()), None],
                dv: view(&mut dv),
                dgain: normalised.then_some(view(&mut dgain)),
                dbias: normalised.then_some(view(&mut dbias)),
            };
            backward(isa, &SHAPE, &case.operands(), case.dy.view(), gradients);
            [rooms.concat(), dv, dgain, dbias].concat()
        });
        let mut found = values(DType::F32, &found);
        let (wide, dy) = (case.wide(), case.dy.values());
        let loss = |operands: &[Vec<f64>; 6]| -> f64 {
            case.y(operands).iter().zip(&dy).map(|(y, dy)| y * f64::from(*dy)).sum()
        };
        for (i, what) in ["dq", "dk", "dvalues", "dv", "dgain", "dbias"].into_iter().enumerate() {
            let gradient: Vec<f32> = found.drain(..wide[i].len()).collect();
            if i > 3 && !normalised {
                continue;
            }
            let expected: Vec<f64> = (0..wide[i].len())
                .map(|at| {
                    let moved = |distance: f64| {
                        let mut moved = wide.clone();
                        moved[i][at] += distance;
                        loss(&moved)
                    };
                    let residual = if i == 1 { wide[1][at] } else { 0.0 };
                    (moved(1e-5) - moved(-1e-5)) / 2e-5 + residual
                })
                .collect();
            assert_near(&gradient, &expected, what);
        }
    }
}
