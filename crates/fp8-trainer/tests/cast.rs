//! Files cast: every value against the scalar conversions of fp8-core, and the files as others read them.

use std::fs;
use std::path::Path;

use fp8_core::{E8M0, Format, Overflow, Rounding, Stream, decode, encode};
use fp8_kernels::DType;
use fp8_trainer::cast::{Cast, FORMATS, cast_file};
use half::{bf16, f16};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

/// Numbers over the whole range of the formats, ties, subnormals, infinities and NaN among them.
fn numbers() -> Vec<f64> {
    let stream = Stream { seed: 3, step: 0, id: 0 };
    let random = (0..2000).map(|i| {
        let (magnitude, exponent) = (1.0 + f64::from(stream.draw(i, 32)) / 4294967296.0, (i % 40) as i32 - 22);
        magnitude * 2_f64.powi(exponent) * if i % 3 == 0 { -1.0 } else { 1.0 }
    });
    let special =
        [0.0, -0.0, 1.125, 1.125 + 2_f64.powi(-12), 1.125 + 2_f64.powi(-40), 57344.0, 61440.0, -61439.9, 448.0];
    let extreme = [1e-10, 5e-324, -1e300, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 65520.0, 2_f64.powi(-17), 240.0];
    random.chain(special).chain(extreme).collect()
}

fn bytes<T, const N: usize>(values: impl IntoIterator<Item = T>, code: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    values.into_iter().flat_map(code).collect()
}

/// One tensor of each floating type, and two of others. What the values of a tensor are exactly.
fn write_input(path: &Path) -> Vec<(&'static str, Vec<f64>)> {
    let numbers = numbers();
    let narrow = |convert: &dyn Fn(f64) -> f64| -> Vec<f64> { numbers.iter().map(|&x| convert(x)).collect() };
    let exact = vec![
        ("double", numbers.clone()),
        ("layer.weight", narrow(&|x| f64::from(x as f32))),
        ("half", narrow(&|x| f16::from_f64(x).to_f64())),
        ("brain", narrow(&|x| bf16::from_f64(x).to_f64())),
        ("e5m2", (0..=255).map(|code| decode(Format::E5M2, code)).collect()),
        ("scale", (0..=255).map(|code| E8M0::from_bits(code).to_f64()).collect()),
    ];
    let data = [
        (Dtype::F64, bytes(exact[0].1.iter(), |x| x.to_le_bytes())),
        (Dtype::F32, bytes(exact[1].1.iter(), |x| (*x as f32).to_le_bytes())),
        (Dtype::F16, bytes(exact[2].1.iter(), |x| f16::from_f64(*x).to_le_bytes())),
        (Dtype::BF16, bytes(exact[3].1.iter(), |x| bf16::from_f64(*x).to_le_bytes())),
        (Dtype::F8_E5M2, (0..=255).collect()),
        (Dtype::F8_E8M0, (0..=255).collect()),
    ];
    let mut views: Vec<_> = exact
        .iter()
        .zip(&data)
        .map(|((name, values), (dtype, data))| (*name, TensorView::new(*dtype, vec![values.len()], data).unwrap()))
        .collect();
    let (counters, flags) = ([7_u8; 16], [1_u8, 0, 1]);
    views.push(("counter", TensorView::new(Dtype::I64, vec![2], &counters).unwrap()));
    views.push(("flags", TensorView::new(Dtype::U8, vec![3], &flags).unwrap()));
    let metadata = [("format".to_string(), "pt".to_string())].into();
    fs::write(path, safetensors::serialize(views, Some(metadata)).unwrap()).unwrap();
    exact
}

const ROUNDINGS: [Rounding; 8] = [
    Rounding::NearestEven,
    Rounding::NearestAway,
    Rounding::TowardZero,
    Rounding::TowardPositive,
    Rounding::TowardNegative,
    Rounding::STOCHASTIC,
    Rounding::Stochastic { bits: 3 },
    Rounding::Stochastic { bits: 24 },
];

#[test]
fn every_value_is_rounded_once() {
    let folder = tempfile::tempdir().unwrap();
    let [input, output] = ["in", "out"].map(|name| folder.path().join(name));
    let exact = write_input(&input);
    for dtype in FORMATS {
        let Some(format) = dtype.format() else { continue };
        for (rounding, overflow) in
            ROUNDINGS.into_iter().zip([Overflow::Infinity, Overflow::Saturate].into_iter().cycle())
        {
            let cast = Cast { format: dtype, rounding, overflow, seed: 5, step: 9 };
            let summary = cast_file(&input, &output, &cast).unwrap();
            assert_eq!((summary.cast, summary.copied), (6, 2));
            let bytes = fs::read(&output).unwrap();
            let file = SafeTensors::deserialize(&bytes).unwrap();
            for (name, values) in &exact {
                let stream = Stream { seed: 5, step: 9, id: Stream::id(name) };
                let code = |(value, index): (&f64, u64)| {
                    let draw = match rounding {
                        Rounding::Stochastic { bits } => stream.draw(index, bits),
                        _ => 0,
                    };
                    encode(format, *value, rounding, overflow, draw)
                };
                let expected: Vec<u8> = values
                    .iter()
                    .zip(0..)
                    .flat_map(|(value, index)| code((value, index)).to_le_bytes().into_iter().take(dtype.size()))
                    .collect();
                assert!(file.tensor(name).unwrap().data() == expected, "{name} {dtype} {rounding} {overflow}");
            }
            assert_eq!(file.tensor("flags").unwrap().data(), [1, 0, 1]);
            assert_eq!(file.tensor("counter").unwrap().dtype(), Dtype::I64);
        }
    }
}

/// To every format and back to F32; what has no type of its own is known by the metadata.
#[test]
fn files_go_back() {
    let folder = tempfile::tempdir().unwrap();
    let [input, output, back] = ["in", "out", "back"].map(|name| folder.path().join(name));
    let exact = write_input(&input);
    for format in FORMATS {
        // F64 becomes F32 in one way.
        let overflow = if format == DType::F32 { Overflow::Infinity } else { Overflow::Saturate };
        let cast = |format| Cast { format, rounding: Rounding::NearestEven, overflow, seed: 0, step: 0 };
        cast_file(&input, &output, &cast(format)).unwrap();
        let bytes = fs::read(&output).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let metadata = header.metadata().as_ref().unwrap();
        assert_eq!((metadata["format"].as_str(), metadata["fp8.format"].as_str()), ("pt", format.name()));
        let as_bytes = matches!(format, DType::E5M2Fnuz | DType::E4M3Fnuz | DType::E3M4);
        assert_eq!(metadata.contains_key("fp8.tensors"), as_bytes);
        let dtype = SafeTensors::deserialize(&bytes).unwrap().tensor("half").unwrap().dtype();
        assert_eq!(dtype == Dtype::U8, as_bytes, "{dtype:?}");

        cast_file(&output, &back, &cast(DType::F32)).unwrap();
        let bytes = fs::read(&back).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        for (name, values) in &exact {
            assert_eq!(file.tensor(name).unwrap().dtype(), Dtype::F32, "{name} {format}");
            let found = file.tensor(name).unwrap().data().as_chunks().0.iter().map(|&code| f32::from_le_bytes(code));
            for (found, value) in found.zip(values) {
                let expected = match format.format() {
                    None => *value as f32,
                    Some(format) => {
                        let code = encode(format, *value, Rounding::NearestEven, Overflow::Saturate, 0);
                        decode(format, code) as f32
                    }
                };
                let same = found.to_bits() == expected.to_bits() || (found.is_nan() && expected.is_nan());
                assert!(same, "{name} {format}: {value} to {found}, not {expected}");
            }
        }
        assert_eq!(file.tensor("flags").unwrap().dtype(), Dtype::U8);
        // The same file again, byte by byte: nothing in it depends on chance or time.
        let first = fs::read(&output).unwrap();
        cast_file(&input, &output, &cast(format)).unwrap();
        assert!(fs::read(&output).unwrap() == first, "{format}");
    }
}

#[test]
fn damaged_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let [input, output] = ["in", "out"].map(|name| folder.path().join(name));
    write_input(&input);
    let whole = fs::read(&input).unwrap();
    let cast =
        Cast { format: DType::E5M2, rounding: Rounding::NearestEven, overflow: Overflow::Infinity, seed: 0, step: 0 };
    for cut in [0, 4, 8, 100, 600, whole.len() - 1] {
        fs::write(&input, &whole[..cut]).unwrap();
        let error = cast_file(&input, &output, &cast).unwrap_err().to_string();
        assert!(error.contains(&format!("in: not a valid safetensors file ({cut} bytes)")), "{error}");
    }
    let huge = [&u64::MAX.to_le_bytes()[..], b"{}"].concat();
    fs::write(&input, huge).unwrap();
    cast_file(&input, &output, &cast).unwrap_err();
    let data = [0; 4];
    let view = [("w", TensorView::new(Dtype::U8, vec![4], &data).unwrap())];
    let metadata = [("fp8.tensors", "[\"w\"]"), ("fp8.format", "e9m9")].map(|(key, value)| (key.into(), value.into()));
    fs::write(&input, safetensors::serialize(view, Some(metadata.into())).unwrap()).unwrap();
    let error = cast_file(&input, &output, &cast).unwrap_err().to_string();
    assert!(error.contains("metadata fp8.format: \"e9m9\": unknown format"), "{error}");
    let metadata = [("fp8.tensors", "[\"w\"]"), ("fp8.format", "f16")].map(|(key, value)| (key.into(), value.into()));
    let data = [0; 3];
    let view = [("w", TensorView::new(Dtype::U8, vec![3], &data).unwrap())];
    fs::write(&input, safetensors::serialize(view, Some(metadata.into())).unwrap()).unwrap();
    let error = cast_file(&input, &output, &Cast { format: DType::F32, ..cast }).unwrap_err().to_string();
    assert!(
        error.contains("in: metadata fp8.tensors: [\"w\"] as U8, in which no codes of fp8.format f16 fit"),
        "{error}"
    );
    assert!(!output.exists());
}
