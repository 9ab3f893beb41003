//! The update of a parameter: one pass over gradient, master, moments and working copy.

#[cfg(test)]
mod tests;

use crate::arithmetic::multiply;
use crate::blocks::{BLOCK, CHUNK};
use crate::isa::Isa;
use crate::{Store, UpdateRule, View, ViewMut, codec, per_isa, tasks};

/// One parameter; see [`crate::ParameterUpdate`].
pub struct Parameter<'a> {
    /// Gradient.
    pub gradient: View<'a>,
    /// Factor of the gradient.
    pub unscale: f32,
    /// Master weights.
    pub master: ViewMut<'a>,
    /// How they are stored.
    pub master_store: Store,
    /// Moments, and how they are stored.
    pub moments: Vec<(ViewMut<'a>, Store)>,
    /// The working copy.
    pub working: Option<(ViewMut<'a>, Store)>,
}

/// Applies `rule` in FP32 and stores moments and master, and the working copy from the master as stored.
pub fn update<'a>(isa: Isa, rule: &UpdateRule, parameter: Parameter<'a>) {
    let Parameter { gradient, unscale, master, master_store, moments, working } = parameter;
    let working_store = working.as_ref().map(|working| working.1);
    let moment_stores = moments.iter().map(|moment| moment.1).collect();
    let chunks = |view: ViewMut<'a>| view.bytes.chunks_mut(CHUNK * view.dtype.size());
    let mut moments: Vec<_> = moments.into_iter().map(|(view, _)| chunks(view)).collect();
    let mut working = working.map(|(view, _)| chunks(view));
    let pieces = chunks(master).enumerate().map(|(chunk, master)| Piece {
        first: chunk * CHUNK,
        master,
        moments: moments.iter_mut().filter_map(Iterator::next).collect(),
        working: working.as_mut().and_then(Iterator::next),
    });
    let coefficients = Coefficients::new(rule);
    let step = Step { isa, rule, coefficients, gradient, unscale, master_store, moment_stores, working_store };
    tasks::each_of(pieces, |_, piece| step.piece(piece));
}

/// A chunk of what is written.
struct Piece<'a> {
    first: usize,
    master: &'a mut [u8],
    moments: Vec<&'a mut [u8]>,
    working: Option<&'a mut [u8]>,
}

struct Step<'a> {
    isa: Isa,
    rule: &'a UpdateRule,
    coefficients: Coefficients,
    gradient: View<'a>,
    unscale: f32,
    master_store: Store,
    moment_stores: Vec<Store>,
    working_store: Option<Store>,
}

impl Step<'_> {
    fn piece(&self, piece: Piece<'_>) {
        let Piece { first, master, mut moments, mut working } = piece;
        let elements = master.len() / self.master_store.dtype.size();
        let [mut w, mut g, mut m, mut v] = [[0.0; BLOCK]; 4];
        for at in (0..elements).step_by(BLOCK) {
            let (index, len) = ((first + at) as u64, BLOCK.min(elements - at));
            let [w, g, m, v] = [&mut w[..len], &mut g[..len], &mut m[..len], &mut v[..len]];
            codec::decode(self.isa, self.gradient.dtype, self.gradient.part(first + at, len).bytes, g);
            multiply(self.isa, self.unscale, g);
            let weights = Opened::new(self.isa, &self.master_store, block(master, &self.master_store, at, len), w);
            let mut stored = moments.iter_mut().zip(&self.moment_stores);
            let [m, v] = [m, v].map(|room| match stored.next() {
                Some((bytes, store)) => Opened::new(self.isa, store, block(bytes, store, at, len), room),
                None => Opened { values: room, codes: None },
            });
            apply(self.isa, self.rule, &self.coefficients, g, weights.values, m.values, v.values);
            [m, v, weights].into_iter().for_each(|opened| opened.close(self.isa, index));
            if let (Some(working), Some(store)) = (&mut working, &self.working_store) {
                let codes = block(master, &self.master_store, at, len);
                let weights = Opened::new(self.isa, &self.master_store, codes, w);
                codec::encode(self.isa, store, index, weights.values, block(working, store, at, len));
            }
        }
    }
}

/// Elements of a block as f32.
struct Opened<'a> {
    values: &'a mut [f32],
    /// Where they are stored; absent, where they lie there or nowhere.
    codes: Option<(&'a Store, &'a mut [u8])>,
}

impl<'a> Opened<'a> {
    /// In `room`, unless they can be changed where they are stored.
    fn new(isa: Isa, store: &'a Store, codes: &'a mut [u8], room: &'a mut [f32]) -> Self {
        if store.scale == 1.0 && (View { dtype: store.dtype, bytes: codes }).floats().is_some() {
            let stored = ViewMut { dtype: store.dtype, bytes: codes };
            return Self { values: stored.floats().unwrap_or(room), codes: None };
        }
        codec::decode(isa, store.dtype, codes, room);
        Self { values: room, codes: Some((store, codes)) }
    }

    fn close(self, isa: Isa, index: u64) {
        if let Some((store, codes)) = self.codes {
            codec::encode(isa, store, index, self.values, codes);
        }
    }
}

/// The codes of `len` elements from `at` on.
fn block<'a>(codes: &'a mut [u8], store: &Store, at: usize, len: usize) -> &'a mut [u8] {
    let size = store.dtype.size();
    &mut codes[at * size..][..len * size]
}

/// What a rule multiplies by, the same for all elements: rounded to FP32 from FP64.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coefficients {
    /// Whether the first moment is set, not blended: what it was does not count.
    pub fresh: bool,
    /// SGD: lr, decay, momentum, take, ahead, then, of v = momentum v + take g and w -= lr (ahead g + then v). AdamW: shrink, beta1, take1, beta2, take2,
    /// step_size, root, epsilon, of w = shrink w - step_size m / (sqrt(v) / root + epsilon).
    pub values: [f32; 8],
}

impl Coefficients {
    /// Those of a rule.
    pub fn new(rule: &UpdateRule) -> Self {
        match *rule {
            UpdateRule::Sgd { lr, momentum, dampening, nesterov, weight_decay, first } => {
                // At the first step, and always without momentum, v = g.
                let fresh = first || momentum == 0.0;
                let take = if fresh { 1.0 } else { (1.0 - f64::from(dampening)) as f32 };
                let (ahead, then) = if nesterov { (1.0, momentum) } else { (0.0, 1.0) };
                Self { fresh, values: [lr, weight_decay, momentum, take, ahead, then, 0.0, 0.0] }
            }
            UpdateRule::AdamW { lr, beta1, beta2, epsilon, weight_decay, step } => {
                let corrections = [beta1, beta2].map(|beta| 1.0 - power(f64::from(beta), step));
                let step_size = (f64::from(lr) / corrections[0]) as f32;
                let root = corrections[1].sqrt() as f32;
                let shrink = (1.0 - f64::from(lr) * f64::from(weight_decay)) as f32;
                let [take1, take2] = [beta1, beta2].map(|beta| (1.0 - f64::from(beta)) as f32);
                Self { fresh: false, values: [shrink, beta1, take1, beta2, take2, step_size, root, epsilon] }
            }
        }
    }
}

/// The rule on one block: gradient, weights, moments.
fn apply(
    isa: Isa,
    rule: &UpdateRule,
    coefficients: &Coefficients,
    g: &mut [f32],
    w: &mut [f32],
    m: &mut [f32],
    v: &mut [f32],
) {
    if coefficients.fresh {
        m.fill(0.0);
    }
    match rule {
        UpdateRule::Sgd { .. } => sgd(isa, &coefficients.values, g, w, m),
        UpdateRule::AdamW { .. } => adam_w(isa, &coefficients.values, g, w, m, v),
    }
}

/// base^exponent by squaring: the same bits everywhere, which `powi` does not promise.
fn power(mut base: f64, mut exponent: u32) -> f64 {
    let mut product = 1.0;
    while exponent > 0 {
        if exponent % 2 == 1 {
            product *= base;
        }
        base *= base;
        exponent /= 2;
    }
    product
}

per_isa! {
    fn sgd(values: &[f32; 8], g: &[f32], w: &mut [f32], v: &mut [f32]) {
        let [lr, decay, momentum, take, ahead, then, ..] = *values;
        for ((g, w), v) in g.iter().zip(w).zip(v) {
            let g = g + decay * *w;
            *v = momentum * *v + take * g;
            *w -= lr * (ahead * g + then * *v);
        }
    }

    fn adam_w(values: &[f32; 8], g: &[f32], w: &mut [f32], m: &mut [f32], v: &mut [f32]) {
        let [shrink, beta1, take1, beta2, take2, step_size, root, epsilon] = *values;
        for (((g, w), m), v) in g.iter().zip(w).zip(m).zip(v) {
            *m = beta1 * *m + take1 * g;
            *v = beta2 * *v + take2 * g * g;
            *w = *w * shrink - step_size * *m / (v.sqrt() / root + epsilon);
        }
    }
}
