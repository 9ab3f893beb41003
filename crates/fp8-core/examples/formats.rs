//! What a number becomes in every format and rounding: `cargo run -p fp8-core --example formats -- 0.3`.

use fp8_core::{Format, Overflow, Rounding, Stream, decode, encode};

const ROUNDINGS: [Rounding; 6] = [
    Rounding::NearestEven,
    Rounding::NearestAway,
    Rounding::TowardZero,
    Rounding::TowardPositive,
    Rounding::TowardNegative,
    Rounding::STOCHASTIC,
];

fn main() -> Result<(), std::num::ParseFloatError> {
    let x: f64 = std::env::args().nth(1).map_or(Ok(0.3), |text| text.parse())?;
    let stream = Stream { seed: 42, step: 0, id: Stream::id("example") };
    print!("{x:<12}");
    ROUNDINGS.iter().for_each(|rounding| print!("{rounding:>16}"));
    println!("{:>16}", "mean of sr");
    for format in Format::ALL {
        let value = |rounding, random| decode(format, encode(format, x, rounding, Overflow::Infinity, random));
        print!("{format:<12}");
        ROUNDINGS.iter().for_each(|&rounding| print!("{:>16}", value(rounding, stream.draw(0, 16))));
        let mean = (0..65536).map(|i| value(Rounding::STOCHASTIC, stream.draw(i, 16))).sum::<f64>() / 65536.0;
        println!("{mean:>16.6}");
    }
    Ok(())
}
