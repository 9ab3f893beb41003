//! One test body for each operation, over any [`Backend`]: what a backend writes must be the bytes that another writes.
//!
//! The CPU's instruction sets and numbers of threads are compared in `tests/conformance.rs`; the tests of other backends compare with the CPU.
//!
//! ```
//! use fp8_kernels::{CpuBackend, conformance, isa::Isa};
//!
//! let [one, other] = [1, 2].map(|threads| CpuBackend::with(Isa::available()[0], threads).unwrap());
//! for case in conformance::cases().iter().filter(|case| case.name.starts_with("add")) {
//!     assert_eq!(conformance::difference(case, &one, &other), None);
//! }
//! ```

mod casts;
mod elementwise;
mod inputs;
mod normalisation;
mod pooling;
mod products;
mod reductions;
mod sequences;

pub use casts::{all_inputs, every_mode};

use crate::isa::Isa;
use crate::{Backend, Buffer, DType, Result, codec};

/// Makes operands on a backend and calls it: what it wrote.
type Run = dyn Fn(&dyn Backend) -> Result<Vec<Buffer>>;

/// An operation with its arguments.
pub struct Case {
    /// Operation and variant.
    pub name: String,
    run: Box<Run>,
}

impl Case {
    fn new(name: impl Into<String>, run: impl Fn(&dyn Backend) -> Result<Vec<Buffer>> + 'static) -> Self {
        Self { name: name.into(), run: Box::new(run) }
    }

    /// The bytes of all that the operation wrote.
    ///
    /// # Errors
    /// Those of the backend.
    pub fn outputs(&self, backend: &dyn Backend) -> Result<Vec<Vec<u8>>> {
        (self.run)(backend)?.iter().map(|buffer| downloaded(backend, buffer)).collect()
    }
}

/// Every case: each operation with operands of several types and shapes, odd ones too, and what may be absent there and not.
pub fn cases() -> Vec<Case> {
    [
        elementwise::cases(),
        reductions::cases(),
        products::cases(),
        normalisation::cases(),
        pooling::cases(),
        sequences::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What a case says of two backends that do not write the same bytes, or of which one fails.
pub fn difference(case: &Case, found: &dyn Backend, expected: &dyn Backend) -> Option<String> {
    let outputs = [found, expected]
        .map(|backend| case.outputs(backend).map_err(|error| format!("{}: on {}: {error}", case.name, backend.name())));
    match outputs {
        [Ok(found), Ok(expected)] => {
            let outputs = found.iter().zip(&expected).enumerate();
            let wrong = outputs.filter_map(|(i, (a, b))| {
                let wrong = a.iter().zip(b).filter(|(a, b)| a != b).count();
                (a != b).then(|| format!("{}: output {i}: {wrong} of {} bytes differ", case.name, b.len()))
            });
            wrong.reduce(|all, more| format!("{all}; {more}"))
        }
        [Err(error), _] | [_, Err(error)] => Some(error),
    }
}

/// Of each output, how far what `found` writes is from what `expected` writes: the norm of the difference over the norm of the latter. Infinity where one has
/// NaN or an infinity that the other has not.
///
/// # Errors
/// Those of the backends.
pub fn distances(case: &Case, found: &dyn Backend, expected: &dyn Backend) -> Result<Vec<f64>> {
    let [found, expected] = [found, expected].map(|backend| {
        let values = |buffer: &Buffer| Ok((buffer.dtype(), downloaded(backend, buffer)?));
        (case.run)(backend)?.iter().map(values).collect::<Result<Vec<_>>>()
    });
    Ok(found?.iter().zip(&expected?).map(|(found, expected)| distance(found, expected)).collect())
}

fn distance(found: &(DType, Vec<u8>), expected: &(DType, Vec<u8>)) -> f64 {
    let [found, expected] = [found, expected].map(|(dtype, bytes)| {
        if !dtype.is_float() {
            return bytes.iter().map(|byte| f32::from(*byte)).collect();
        }
        let mut values = vec![0.0; bytes.len() / dtype.size()];
        codec::decode(Isa::Scalar, *dtype, bytes, &mut values);
        values
    });
    let (mut differences, mut squares) = (0.0, 0.0);
    for (found, expected) in
        found.into_iter().zip(expected).map(|(found, expected)| (f64::from(found), f64::from(expected)))
    {
        let same = found == expected || (found.is_nan() && expected.is_nan());
        differences += if same { 0.0 } else { (found - expected).powi(2) };
        squares += if expected.is_finite() { expected.powi(2) } else { 0.0 };
    }
    match differences {
        0.0 => 0.0,
        _ if differences.is_finite() => (differences / squares).sqrt(),
        _ => f64::INFINITY,
    }
}

fn downloaded(backend: &dyn Backend, buffer: &Buffer) -> Result<Vec<u8>> {
    let mut bytes = vec![0; buffer.bytes()];
    backend.download(buffer, &mut bytes)?;
    Ok(bytes)
}
