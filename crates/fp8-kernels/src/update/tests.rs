//! Against the rules in FP64, one element at a time.

use fp8_core::{Rounding, Stream};

use super::{Parameter, update};
use crate::isa::{self, Isa};
use crate::testing::{Codes, codes, encoded, numbers, on_every_path, values};
use crate::{DType, Store, UpdateRule, View, ViewMut};

const SGD: UpdateRule =
    UpdateRule::Sgd { lr: 0.1, momentum: 0.9, dampening: 0.0, nesterov: false, weight_decay: 1e-2, first: false };
const ADAM_W: UpdateRule =
    UpdateRule::AdamW { lr: 0.1, beta1: 0.9, beta2: 0.99, epsilon: 1e-6, weight_decay: 0.1, step: 3 };

/// How what a parameter holds is stored.
#[derive(Clone, Copy, Debug)]
struct Stores {
    master: Store,
    moments: [Store; 2],
    working: Store,
}

const F32: Stores = Stores { master: Store::F32, moments: [Store::F32; 2], working: Store::F32 };

fn stochastic(dtype: DType, id: u32) -> Store {
    Store { rounding: Rounding::STOCHASTIC, random: Stream { seed: 1, step: 2, id }, ..Store::nearest(dtype) }
}

fn view(bytes: &mut [u8], store: Store) -> (ViewMut<'_>, Store) {
    (ViewMut { dtype: store.dtype, bytes }, store)
}

/// What a parameter holds, as codes.
#[derive(Clone)]
struct State {
    master: Vec<u8>,
    moments: Vec<Vec<u8>>,
    working: Vec<u8>,
}

impl State {
    fn new(rule: &UpdateRule, stores: &Stores, len: usize) -> Self {
        // Second moments are not negative.
        let moment = |i: usize| numbers(20 + i as u32, len).into_iter().map(move |x| if i == 1 { x * x } else { x });
        let moment =
            |i: usize| Codes::new(stores.moments[i].dtype, &moment(i).collect::<Vec<_>>()).view().bytes.to_vec();
        Self {
            master: codes(7, stores.master.dtype, len),
            moments: (0..rule.moments()).map(moment).collect(),
            working: vec![0xAA; len * stores.working.dtype.size()],
        }
    }

    /// The same in FP32.
    fn widened(&self, stores: &Stores) -> Self {
        let wide = |(bytes, store): (&Vec<u8>, &Store)| encoded(&Store::F32, &values(store.dtype, bytes));
        let working = vec![0; self.working.len() / stores.working.dtype.size() * size_of::<f32>()];
        let moments = self.moments.iter().zip(&stores.moments).map(wide).collect();
        Self { master: wide((&self.master, &stores.master)), moments, working }
    }

    fn step(&mut self, isa: Isa, rule: &UpdateRule, gradient: View<'_>, stores: &Stores) {
        let parameter = Parameter {
            gradient,
            unscale: 0.25,
            master: view(&mut self.master, stores.master).0,
            master_store: stores.master,
            moments: self.moments.iter_mut().zip(stores.moments).map(|(bytes, store)| view(bytes, store)).collect(),
            working: Some(view(&mut self.working, stores.working)),
        };
        update(isa, rule, parameter);
    }

    fn bytes(&self) -> Vec<u8> {
        [&self.master, &self.working].into_iter().chain(&self.moments).flatten().copied().collect()
    }
}

/// w and the moments of one element after a step.
fn oracle(rule: &UpdateRule, g: f64, w: f64, [m, v]: [f64; 2]) -> (f64, [f64; 2]) {
    match *rule {
        UpdateRule::Sgd { lr, momentum, dampening, nesterov, weight_decay, first } => {
            let [lr, momentum, dampening] = [lr, momentum, dampening].map(f64::from);
            let g = g + f64::from(weight_decay) * w;
            let m = if first || momentum == 0.0 { g } else { momentum * m + (1.0 - dampening) * g };
            (w - lr * if nesterov { g + momentum * m } else { m }, [m, 0.0])
        }
        UpdateRule::AdamW { lr, beta1, beta2, epsilon, weight_decay, step } => {
            let [lr, beta1, beta2] = [lr, beta1, beta2].map(f64::from);
            let (m, v) = (beta1 * m + (1.0 - beta1) * g, beta2 * v + (1.0 - beta2) * g * g);
            let (m_hat, v_hat) = (m / (1.0 - beta1.powf(step.into())), v / (1.0 - beta2.powf(step.into())));
            let w = w * (1.0 - lr * f64::from(weight_decay));
            (w - lr * m_hat / (v_hat.sqrt() + f64::from(epsilon)), [m, v])
        }
    }
}

fn rules() -> Vec<UpdateRule> {
    let UpdateRule::Sgd { lr, momentum, weight_decay, .. } = SGD else { unreachable!() };
    let sgd = |momentum, dampening, nesterov, first| UpdateRule::Sgd {
        lr,
        momentum,
        dampening,
        nesterov,
        weight_decay,
        first,
    };
    vec![
        SGD,
        sgd(0.0, 0.3, false, false),
        sgd(momentum, 0.3, false, true),
        sgd(momentum, 0.3, false, false),
        sgd(momentum, 0.0, true, false),
        ADAM_W,
    ]
}

#[test]
fn rules_are_those_of_the_formulas() {
    for (rule, len) in rules().into_iter().flat_map(|rule| [0, 1, 515, 40_000].map(|len| (rule, len))) {
        let gradient = Codes::new(DType::E5M2, &numbers(1, len));
        let before = State::new(&rule, &F32, len);
        let after = on_every_path(|isa| {
            let mut state = before.clone();
            state.step(isa, &rule, gradient.view(), &F32);
            state.bytes()
        });
        let after: Vec<_> = after.chunks((4 * len).max(1)).map(|bytes| values(DType::F32, bytes)).collect();
        let gradients = gradient.values();
        let [master, moments] = [vec![before.master], before.moments]
            .map(|tensors| tensors.iter().map(|bytes| values(DType::F32, bytes)).collect::<Vec<_>>());
        for i in 0..len {
            let moment = |k: usize| moments.get(k).map_or(0.0, |moment| f64::from(moment[i]));
            let g = f64::from(gradients[i]) * 0.25;
            let (w, exact) = oracle(&rule, g, master[0][i].into(), [moment(0), moment(1)]);
            let near = |found: f32, exact: f64| (f64::from(found) - exact).abs() <= 1e-6 * (1.0 + exact.abs());
            assert!(near(after[0][i], w), "{rule:?} {i}: {} not {w}", after[0][i]);
            assert_eq!(after[0][i], after[1][i], "the working copy");
            for (found, exact) in after[2..].iter().zip(exact) {
                assert!(near(found[i], exact), "{rule:?} {i}: moment {} not {exact}", found[i]);
            }
        }
    }
}

/// Master and moments are the FP32 results rounded once; the working copy is rounded from the master as stored.
#[test]
fn all_is_stored_as_asked() {
    let len = 33_333;
    let gradient = Codes::new(DType::E5M2, &numbers(1, len));
    let masters = [Store::nearest(DType::F16), stochastic(DType::F16, 1), Store::nearest(DType::Bf16), Store::F32];
    let scaled = Store { scale: 16.0, ..Store::nearest(DType::E4M3) };
    let copies = [Store::nearest(DType::E5M2), stochastic(DType::E5M2, 2), scaled];
    let brain = stochastic(DType::Bf16, 3);
    let kinds = [Store::F32, brain, Store::nearest(DType::Bf16), stochastic(DType::F16, 4)];
    for (rule, master) in [SGD, ADAM_W].into_iter().flat_map(|rule| masters.map(|master| (rule, master))) {
        for (working, first) in copies.into_iter().flat_map(|working| kinds.map(|first| (working, first))) {
            let stores = Stores { master, moments: [first, stochastic(DType::Bf16, 5)], working };
            let before = State::new(&rule, &stores, len);
            let mut wide = before.widened(&stores);
            wide.step(Isa::available()[0], &rule, gradient.view(), &F32);
            let master_codes = encoded(&master, &values(DType::F32, &wide.master));
            let working_codes = encoded(&working, &values(master.dtype, &master_codes));
            let stored = |(moment, store): (&Vec<u8>, &Store)| encoded(store, &values(DType::F32, moment));
            let moments = wide.moments.iter().zip(&stores.moments).map(stored).collect();
            let expected = State { master: master_codes, working: working_codes, moments };
            let found = on_every_path(|isa| {
                let mut state = before.clone();
                state.step(isa, &rule, gradient.view(), &stores);
                state.bytes()
            });
            assert!(found == expected.bytes(), "{rule:?} {stores:?}");
        }
    }
}

/// Of moments in bfloat16, over many streams: each within a unit in the last place of the formula, which is 2^-7 of it at most, and their mean as near as
/// chance allows; the weights, which follow from the moments before they are rounded, as near as with FP32 moments.
#[test]
fn moments_in_bfloat16_are_unbiased() {
    const STREAMS: u32 = 1024;
    let len = 515;
    let gradient = Codes::new(DType::F32, &numbers(1, len));
    for rule in [SGD, ADAM_W] {
        let stores = |id| {
            let moments = [2 * id, 2 * id + 1].map(|id| stochastic(DType::Bf16, id));
            Stores { moments, ..F32 }
        };
        let before = State::new(&rule, &stores(0), len);
        let [master, old] = [vec![before.widened(&stores(0)).master], before.widened(&stores(0)).moments]
            .map(|tensors| tensors.iter().map(|bytes| values(DType::F32, bytes)).collect::<Vec<_>>());
        let exact: Vec<_> = (0..len)
            .map(|i| {
                let moment = |k: usize| old.get(k).map_or(0.0, |moment| f64::from(moment[i]));
                oracle(&rule, f64::from(gradient.values()[i]) * 0.25, master[0][i].into(), [moment(0), moment(1)])
            })
            .collect();
        let mut sums = [vec![0.0; len], vec![0.0; len]];
        for id in 0..STREAMS {
            let mut state = before.clone();
            state.step(Isa::available()[0], &rule, gradient.view(), &stores(id));
            let weights = values(DType::F32, &state.master);
            for (i, (w, _)) in exact.iter().enumerate() {
                assert!(
                    (f64::from(weights[i]) - w).abs() <= 1e-6 * (1.0 + w.abs()),
                    "{rule:?} {i}: {} not {w}",
                    weights[i]
                );
            }
            for (k, moment) in state.moments.iter().enumerate() {
                for (i, found) in values(DType::Bf16, moment).into_iter().map(f64::from).enumerate() {
                    let x = exact[i].1[k];
                    assert!((found - x).abs() <= 2_f64.powi(-7) * x.abs() + 1e-6, "{rule:?} {i}: {found} not {x}");
                    sums[k][i] += found - x;
                }
            }
        }
        for (k, sums) in sums.iter().enumerate().take(rule.moments()) {
            // Half a unit at most is the standard deviation of one draw; what FP32 rounds is far below that of the mean.
            let deviation = |i: usize| 2_f64.powi(-8) * exact[i].1[k].abs() / f64::from(STREAMS).sqrt() + 1e-6;
            let scores: Vec<f64> = (0..len).map(|i| sums[i] / f64::from(STREAMS) / deviation(i)).collect();
            assert!(scores.iter().all(|score| score.abs() < 6.0), "{rule:?}, moment {k}");
            let all = scores.iter().sum::<f64>() / (len as f64).sqrt();
            assert!(all.abs() < 5.0, "{rule:?}, moment {k}: {all}");
        }
    }
}

/// A second moment near its gradient's square moves by less than half a unit in the last place: to nearest it stays where that begins, at random it arrives.
#[test]
fn stochastic_second_moments_do_not_freeze() {
    const STEPS: u32 = 5000;
    let (len, beta2) = (4096, 0.999);
    let gradient = Codes::new(DType::F32, &vec![4.0; len]);
    let mean = |store: &dyn Fn(u32) -> Store| {
        let stores = Stores { moments: [Store::F32, store(0)], ..F32 };
        let mut state = State::new(&ADAM_W, &stores, len);
        state.moments[1].fill(0);
        for step in 1..=STEPS {
            let rule = UpdateRule::AdamW { lr: 0.0, beta1: 0.9, beta2, epsilon: 1e-8, weight_decay: 0.0, step };
            state.step(
                isa::select().unwrap(),
                &rule,
                gradient.view(),
                &Stores { moments: [Store::F32, store(step)], ..F32 },
            );
        }
        values(stores.moments[1].dtype, &state.moments[1]).into_iter().map(f64::from).sum::<f64>() / len as f64
    };
    let exact = 1.0 - f64::from(beta2).powi(STEPS as i32);
    let wide = mean(&|_| Store::F32);
    assert!((wide - exact).abs() < 1e-4, "{wide} not {exact}");
    let random = |step| Store { random: Stream { seed: 1, step, id: 7 }, ..stochastic(DType::Bf16, 7) };
    let stochastic = mean(&random);
    assert!((stochastic - exact).abs() < 0.01, "{stochastic} not {exact}");
    let nearest = mean(&|_| Store::nearest(DType::Bf16));
    assert!(nearest < 0.5, "{nearest} is near {exact}");
}

/// Before the first step moments hold nothing.
#[test]
fn the_first_step_does_not_read_its_moment() {
    let first =
        UpdateRule::Sgd { lr: 0.1, momentum: 0.9, dampening: 0.5, nesterov: false, weight_decay: 0.0, first: true };
    let gradient = Codes::new(DType::F32, &[1.0, -2.0]);
    let bytes = on_every_path(|isa| {
        let mut state = State::new(&first, &F32, 2);
        state.moments[0] = encoded(&Store::F32, &[f32::NAN, f32::INFINITY]);
        state.step(isa, &first, gradient.view(), &F32);
        state.moments.concat()
    });
    assert_eq!(values(DType::F32, &bytes), [0.25, -0.5]);
}
