//! Sinusoidal positions, by operations that IEEE 754 defines to the bit (those of C libraries differ).

/// (count, width), positions from `first` on: element (t, 2i) is sin(t w_i) and (t, 2i + 1) is cos(t w_i), w_i = 10000^(-2i / width).
pub(super) fn sinusoids(first: usize, count: usize, width: usize) -> Vec<f32> {
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
