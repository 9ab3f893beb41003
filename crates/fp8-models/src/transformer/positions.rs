//! Sinusoidal positions, by operations that IEEE 754 defines to the bit (those of C libraries differ).

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use fp8_autograd::Tensor;
use fp8_kernels::Backend;

use crate::Result;

/// The positions of a width: computed, and sent to the device, once for all steps.
pub(super) struct Positions {
    width: usize,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// From the first position on.
    values: Vec<f32>,
    /// The same on the device that was last asked for them.
    tensor: Option<(Arc<dyn Backend>, Tensor)>,
}

impl Positions {
    pub fn new(width: usize) -> Self {
        Self { width, known: Mutex::default() }
    }

    /// (count or more, width), positions from `first` on.
    pub fn from(&self, first: usize, count: usize, backend: &Arc<dyn Backend>) -> Result<Tensor> {
        let (width, end) = (self.width, first + count);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.values.len() < end * width {
            let some = end.next_power_of_two().max(64);
            *known = Known { values: sinusoids(0, some, width), tensor: None };
        }
        if first > 0 {
            let values = &known.values[first * width..end * width];
            return Ok(Tensor::from_f32(&**backend, vec![count, width], values)?);
        }
        match &known.tensor {
            Some((of, tensor)) if Arc::ptr_eq(of, backend) => Ok(tensor.clone()),
            _ => {
                let shape = vec![known.values.len() / width, width];
                let tensor = Tensor::from_f32(&**backend, shape, &known.values)?;
                known.tensor = Some((backend.clone(), tensor.clone()));
                Ok(tensor)
            }
        }
    }
}

impl fmt::Debug for Positions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Positions({})", self.width)
    }
}

/// (count, width), positions from `first` on: element (t, 2i) is sin(t w_i) and (t, 2i + 1) is cos(t w_i), w_i = 10000^(-2i / width).
fn sinusoids(first: usize, count: usize, width: usize) -> Vec<f32> {
    let ratio = exp(-2.0 / width as f64 * LN_10000);
    let mut out = vec![0.0; count * width];
    let mut frequency = 1.0;
    for column in (0..width).step_by(2) {
        let (step, mut now) = ([sin(frequency), cos(frequency)], [0.0, 1.0]);
        for position in 0..first + count {
            if let Some(t) = position.checked_sub(first) {
                out[t * width + column] = now[0] as f32;
                out[t * width + column + 1] = now[1] as f32;
            }
            now = [now[0] * step[1] + now[1] * step[0], now[1] * step[1] - now[0] * step[0]];
        }
        frequency *= ratio;
    }
    out
}

const LN_10000: f64 = 9.210_340_371_976_184;

/// e^x for -10 <= x <= 0: the Taylor series at x / 16, to the 16th power.
fn exp(x: f64) -> f64 {
    let x = x / 16.0;
    let mut power = (1..24).rev().fold(1.0, |sum, k| 1.0 + sum * x / f64::from(k));
    for _ in 0..4 {
        power *= power;
    }
    power
}

/// sin x for 0 <= x <= 1, by its Taylor series.
fn sin(x: f64) -> f64 {
    x * (1..12).rev().fold(1.0, |sum, k| 1.0 - sum * x * x / f64::from(2 * k * (2 * k + 1)))
}

/// cos x for 0 <= x <= 1, by its Taylor series.
fn cos(x: f64) -> f64 {
    (1..12).rev().fold(1.0, |sum, k| 1.0 - sum * x * x / f64::from((2 * k - 1) * 2 * k))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_sines_and_cosines() {
        for width in [2, 6, 512] {
            let all = sinusoids(0, 300, width);
            for (i, found) in all.iter().enumerate() {
                let (t, column) = (i / width, i % width);
                let angle = t as f64 * 10_000_f64.powf(-((column / 2 * 2) as f64) / width as f64);
                let exact = if column % 2 == 0 { angle.sin() } else { angle.cos() };
                assert!((f64::from(*found) - exact).abs() < 1e-7, "{t}, {column} of {width}: {found} not {exact}");
            }
            assert_eq!(sinusoids(7, 5, width), all[7 * width..12 * width]);
        }
    }
}
