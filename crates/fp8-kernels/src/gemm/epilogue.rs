//! The tail of a product: from sums to stored codes.

use std::marker::PhantomData;

use crate::arithmetic::{add, relu};
use crate::isa::Isa;
use crate::{Activation, EpilogueView, View, ViewMut, codec, math, per_isa, prefetch};

/// An output that several threads write, each its own elements.
pub(crate) struct Output<'a> {
    bytes: *mut u8,
    len: usize,
    size: usize,
    memory: PhantomData<&'a mut [u8]>,
}

// SAFETY: what is written through a shared reference is kept apart by the promise of `Output::part`.
unsafe impl Sync for Output<'_> {}

impl<'a> Output<'a> {
    pub fn new(view: ViewMut<'a>) -> Self {
        let (len, size) = (view.len(), view.dtype.size());
        Self { bytes: view.bytes.as_mut_ptr(), len, size, memory: PhantomData }
    }

    /// Asks for elements `first .. first + len`.
    pub fn ask(&self, first: usize, len: usize) {
        prefetch::to_second_level(self.bytes.wrapping_add(first * self.size), len * self.size);
    }

    /// Elements `first .. first + len`.
    ///
    /// # Safety
    /// No two parts that are in use at the same time overlap.
    #[allow(clippy::mut_from_ref)]
    unsafe fn part(&self, first: usize, len: usize) -> &mut [u8] {
        assert!(first <= self.len && len <= self.len - first, "a part of the output");
        // SAFETY: inside the memory that `new` got for the lifetime; the caller keeps parts apart.
        unsafe { std::slice::from_raw_parts_mut(self.bytes.add(first * self.size), len * self.size) }
    }
}

/// Applies the epilogue to the sums of consecutive elements `first ..` of the output, of which `column` is the column of the
/// first, and stores them. The sums do not pass the end of their row unless rows are whole (`column` 0).
///
/// # Safety
/// No other thread writes these elements.
pub(super) unsafe fn finish(
    isa: Isa,
    epilogue: &EpilogueView<'_>,
    columns: usize,
    first: usize,
    sums: &mut [f32],
    output: &Output<'_>,
) {
    // SAFETY: the caller's promise.
    let out = unsafe { output.part(first, sums.len()) };
    let (store, dtype) = (&epilogue.store, epilogue.store.dtype);
    // A row at a time, where each of them has the same bias.
    let width = if epilogue.bias.is_some() { columns } else { sums.len().max(1) };
    let stays = if store.scale == 1.0 { (ViewMut { dtype, bytes: &mut *out }).floats() } else { None };
    if let Some(out) = stays {
        for (row, (sums, out)) in sums.chunks(width).zip(out.chunks_mut(width)).enumerate() {
            let [bias, residual] = addends(epilogue, columns, first + row * width, sums.len());
            let [next, last] = if bias.is_some() { [bias, residual] } else { [residual, None] };
            match next.and_then(View::floats) {
                Some(values) => canonical_plus(isa, epilogue.alpha, sums, values, out),
                None => {
                    canonical_to(isa, epilogue.alpha, sums, out);
                    add_codes(isa, next, out);
                }
            }
            add_codes(isa, last, out);
            activate(isa, epilogue.activation, out);
        }
        return;
    }
    canonical(isa, epilogue.alpha, sums);
    for (row, sums) in sums.chunks_mut(width).enumerate() {
        let [bias, residual] = addends(epilogue, columns, first + row * width, sums.len());
        add_codes(isa, bias, sums);
        add_codes(isa, residual, sums);
    }
    activate(isa, epilogue.activation, sums);
    codec::encode(isa, store, first as u64, sums, out);
}

/// Bias and residual of elements `first ..` of the output, all of one row where there is a bias.
fn addends<'a>(epilogue: &EpilogueView<'a>, columns: usize, first: usize, len: usize) -> [Option<View<'a>>; 2] {
    let bias = epilogue.bias.map(|bias| bias.part(first % columns, len));
    [bias, epilogue.residual.map(|residual| residual.part(first, len))]
}

fn activate(isa: Isa, activation: Activation, x: &mut [f32]) {
    if activation == Activation::Relu {
        relu(isa, x);
    }
}

/// sums += codes, if there are any.
fn add_codes(isa: Isa, codes: Option<View<'_>>, sums: &mut [f32]) {
    let Some(codes) = codes else { return };
    if let Some(values) = codes.floats() {
        return add(isa, sums, values);
    }
    let mut values = [0.0; 256];
    for (i, sums) in sums.chunks_mut(values.len()).enumerate() {
        let values = &mut values[..sums.len()];
        codec::decode(isa, codes.dtype, codes.part(256 * i, sums.len()).bytes, values);
        add(isa, sums, values);
    }
}

per_isa! {
    /// x = alpha x, and one and the same NaN for all, as instruction sets make different ones.
    fn canonical(alpha: f32, x: &mut [f32]) {
        for x in x {
            *x = math::canonical(alpha * *x);
        }
    }

    /// y = the same.
    fn canonical_to(alpha: f32, x: &[f32], y: &mut [f32]) {
        for (x, y) in x.iter().zip(y) {
            *y = math::canonical(alpha * *x);
        }
    }

    /// y = the same, plus z.
    fn canonical_plus(alpha: f32, x: &[f32], z: &[f32], y: &mut [f32]) {
        for ((x, z), y) in x.iter().zip(z).zip(y) {
            *y = math::canonical(alpha * *x + z);
        }
    }
}
