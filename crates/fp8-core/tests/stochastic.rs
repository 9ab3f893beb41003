//! Stochastic rounding: exactly by counting, and statistically with the random bits that training uses.

use fp8_core::{Format, Overflow, Rounding, Stream, decode, encode};

fn stochastic(format: Format, x: f64, bits: u8, random: u32) -> f64 {
    decode(format, encode(format, x, Rounding::Stochastic { bits }, Overflow::Infinity, random))
}

/// Points inside intervals between neighbours, as (lower neighbour, position, value): at the bottom of the subnormals, at
/// their top, across the first normal binades and around one.
fn points(format: Format, positions: &[f64]) -> Vec<(f64, f64, f64)> {
    let normal = 1 << format.mantissa_bits;
    let one = encode(format, 1.0, Rounding::NearestEven, Overflow::Infinity, 0);
    let lows = [0, 1, normal - 1, normal, 2 * normal - 1, one - 1, one, one + 1];
    let point = |low: u16, f: f64| {
        let (low, high) = (decode(format, low), decode(format, low + 1));
        (low, f, low + f * (high - low))
    };
    lows.iter().flat_map(|&low| positions.iter().map(move |&f| point(low, f))).collect()
}

/// Of all 2^N random numbers exactly floor(f 2^N) round away from zero, subnormals included, on both sides of zero.
#[test]
fn counts_are_exact() {
    let positions: Vec<f64> = [0.0, 1.0 / 4096.0, 1.0 / 3.0, 0.5, 0.7, 1.0 - 1.0 / 4096.0].into();
    for format in Format::FP8 {
        for (low, f, x) in points(format, &positions) {
            for bits in 1..=11 {
                for sign in [1.0, -1.0] {
                    let away = (0..1 << bits).filter(|&r| stochastic(format, sign * x, bits, r).abs() > low).count();
                    assert_eq!(away, (f * f64::from(1 << bits)).floor() as usize, "{format} {x:e} {bits}");
                }
            }
        }
    }
}

/// The largest draw alone rounds up what lies just above 2^-N of the way, at every N.
#[test]
fn many_bits_reach_tiny_positions() {
    for format in Format::FP8 {
        let unit = decode(format, 1);
        for bits in 1..=32 {
            let (last, step) = (u32::MAX >> (32 - bits), unit * 2_f64.powi(-i32::from(bits)));
            assert_eq!(stochastic(format, step, bits, last), unit, "{format} {bits}");
            assert_eq!(stochastic(format, step, bits, last - 1), 0.0, "{format} {bits}");
            assert_eq!(stochastic(format, step * 0.999, bits, last), 0.0, "{format} {bits}");
            assert_eq!(stochastic(format, unit - step, bits, 0), 0.0, "{format} {bits}");
            assert_eq!(stochastic(format, unit - step, bits, 1), unit, "{format} {bits}");
        }
    }
}

/// The share that rounds up is f within the noise of 2^16 draws: z-scores within 4.5, and their squares a chi-square.
#[test]
fn is_unbiased() {
    const DRAWS: u64 = 1 << 16;
    let positions = [0.03, 0.25, 1.0 / 3.0, 0.5, 0.61803, 0.97];
    for format in Format::FP8 {
        let mut chi_square = 0.0;
        let points = points(format, &positions);
        for (i, &(low, f, x)) in points.iter().enumerate() {
            let stream = Stream { seed: 20_190_529, step: i as u32, id: Stream::id(format.name) };
            let away = (0..DRAWS).filter(|&index| stochastic(format, x, 16, stream.draw(index, 16)) > low).count();
            let p = (f * 65536.0).floor() / 65536.0;
            let z = (away as f64 - p * DRAWS as f64) / (p * (1.0 - p) * DRAWS as f64).sqrt();
            assert!(z.abs() < 4.5, "{format} {x:e}: z = {z}");
            chi_square += z * z;
        }
        // Mean n, standard deviation sqrt(2 n).
        let n = points.len() as f64;
        assert!((chi_square - n).abs() < 4.0 * (2.0 * n).sqrt(), "{format}: chi-square {chi_square} of {n}");
    }
}

/// Draws of neighbouring elements, steps, tensors and seeds have nothing to do with each other.
#[test]
fn streams_are_uncorrelated() {
    const DRAWS: u64 = 1 << 15;
    let base = Stream { seed: 7, step: 100, id: Stream::id("a") };
    let others = [
        (base, 1),
        (base, 8),
        (Stream { step: 101, ..base }, 0),
        (Stream { id: Stream::id("b"), ..base }, 0),
        (Stream { seed: 8, ..base }, 0),
    ];
    let centred = |stream: &Stream, index| (f64::from(stream.draw(index, 16)) + 0.5) / 65536.0 - 0.5;
    for (other, lag) in others {
        let sum: f64 = (0..DRAWS).map(|i| centred(&base, i) * centred(&other, i + lag)).sum();
        let z = sum * 12.0 / (DRAWS as f64).sqrt();
        assert!(z.abs() < 4.0, "{other:?} {lag}: z = {z}");
    }
}
