//! Casts against ml_dtypes on a dense subset of f32; `cargo run --release -p fp8-kernels --example exhaustive_casts` does all.

mod reference;

use fp8_kernels::isa::Isa;

/// Every upper half with these lower halves: all rounding boundaries of 8-bit formats and the values next to them.
const LOWER_HALVES: [u32; 8] = [0x0000, 0x0001, 0x5555, 0x7FFF, 0x8000, 0x8001, 0xAAAA, 0xFFFF];

#[test]
fn casts_equal_ml_dtypes_at_every_boundary() {
    let bits = (0..1 << 16).flat_map(|upper: u32| LOWER_HALVES.map(|lower| upper << 16 | lower));
    let x: Vec<f32> = bits.map(f32::from_bits).collect();
    for isa in Isa::available() {
        for dtype in reference::TYPES {
            assert_eq!([reference::digest(isa, dtype, &x)], *reference::expected(dtype, "subset"), "{isa} {dtype}");
        }
    }
}
