//! Against the rules in FP64, one element at a time.

use fp8_core::{Rounding, Stream};

use super::{Parameter, update};
use crate::testing::{Codes, codes, encoded, numbers, on_every_path, values};
use crate::{DType, Store, UpdateRule, View, ViewMut};

const SGD: UpdateRule =
    UpdateRule::Sgd { lr: 0.1, momentum: 0.9, dampening: 0.0, nesterov: false, weight_decay: 1e-2, first: false };
const ADAM_W: UpdateRule =
    UpdateRule::AdamW { lr: 0.1, beta1: 0.9, beta2: 0.99, epsilon: 1e-6, weight_decay: 0.1, step: 3 };

/// What a parameter holds, as codes.
#[derive(Clone)]
struct State {
    master: Vec<u8>,
    moments: Vec<Vec<u8>>,
    working: Vec<u8>,
}

impl State {
    fn new(rule: &UpdateRule, master: DType, working: DType, len: usize) -> Self {
        // Second moments are not negative.
        let moment = |i: usize| numbers(20 + i as u32, len).into_iter().map(move |x| if i == 1 { x * x } else { x });
        let moment = |i| encoded(&Store::F32, &moment(i).collect::<Vec<_>>());
        Self {
            master: codes(7, master, len),
            moments: (0..rule.moments()).map(moment).collect(),
            working: vec![0xAA; len * working.size()],
        }
    }

    fn step(&mut self, isa: crate::isa::Isa, rule: &UpdateRule, gradient: View<'_>, stores: [Store; 2]) {
        let [master_store, working_store] = stores;
        let parameter = Parameter {
            gradient,
            unscale: 0.25,
            master: ViewMut { dtype: master_store.dtype, bytes: &mut self.master },
            master_store,
            moments: self.moments.iter_mut().map(|bytes| ViewMut { dtype: DType::F32, bytes }).collect(),
            working: Some((ViewMut { dtype: working_store.dtype, bytes: &mut self.working }, working_store)),
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
        let before = State::new(&rule, DType::F32, DType::F32, len);
        let after = on_every_path(|isa| {
            let mut state = before.clone();
            state.step(isa, &rule, gradient.view(), [Store::F32; 2]);
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

/// The master is the FP32 result rounded once; the working copy is rounded from the master as stored.
#[test]
fn master_and_working_copy_are_stored_as_asked() {
    let len = 33_333;
    let gradient = Codes::new(DType::E5M2, &numbers(1, len));
    let random = |id| Stream { seed: 1, step: 2, id };
    let stochastic = |dtype, id| Store { rounding: Rounding::STOCHASTIC, random: random(id), ..Store::nearest(dtype) };
    let masters = [Store::nearest(DType::F16), stochastic(DType::F16, 1), Store::nearest(DType::Bf16), Store::F32];
    let scaled = Store { scale: 16.0, ..Store::nearest(DType::E4M3) };
    for (rule, master) in [SGD, ADAM_W].into_iter().flat_map(|rule| masters.map(|master| (rule, master))) {
        for working in [Store::nearest(DType::E5M2), stochastic(DType::E5M2, 2), scaled] {
            let before = State::new(&rule, master.dtype, working.dtype, len);
            let mut wide = before.clone();
            wide.master = encoded(&Store::F32, &values(master.dtype, &before.master));
            wide.working = vec![0; 4 * len];
            wide.step(crate::isa::Isa::available()[0], &rule, gradient.view(), [Store::F32; 2]);
            let master_codes = encoded(&master, &values(DType::F32, &wide.master));
            let working_codes = encoded(&working, &values(master.dtype, &master_codes));
            let expected = State { master: master_codes, working: working_codes, moments: wide.moments };
            let found = on_every_path(|isa| {
                let mut state = before.clone();
                state.step(isa, &rule, gradient.view(), [master, working]);
                state.bytes()
            });
            assert!(found == expected.bytes(), "{rule:?} {master:?} {working:?}");
        }
    }
}

/// Before the first step moments hold nothing.
#[test]
fn the_first_step_does_not_read_its_moment() {
    let first =
        UpdateRule::Sgd { lr: 0.1, momentum: 0.9, dampening: 0.5, nesterov: false, weight_decay: 0.0, first: true };
    let gradient = Codes::new(DType::F32, &[1.0, -2.0]);
    let bytes = on_every_path(|isa| {
        let mut state = State::new(&first, DType::F32, DType::F32, 2);
        state.moments[0] = encoded(&Store::F32, &[f32::NAN, f32::INFINITY]);
        state.step(isa, &first, gradient.view(), [Store::F32; 2]);
        state.moments.concat()
    });
    assert_eq!(values(DType::F32, &bytes), [0.25, -0.5]);
}
