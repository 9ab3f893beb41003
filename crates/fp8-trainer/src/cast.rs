//! Files of tensors, quantised: every floating tensor of a safetensors file to one format, rounded once.
//!
//! E5M2, E4M3, F16, BF16 and F32 have safetensors types of their own. Codes of the other formats are stored as U8; the file's
//! metadata then says which format (`fp8.format`) and which tensors (`fp8.tensors`, a JSON list of names), and this module
//! reads them back. F8_E8M0, powers of two that scale others, is a floating type to read, exact in F32 and BF16, but none to
//! cast to: it has no sign and no zero. Tensors that are not floating stay as they are, and so do complex ones and those of
//! floating types of fewer than 8 bits.
//!
//! Stochastic rounding of a tensor takes the random bits of docs/numerics.md, section 4, with the seed and step given and
//! as stream the 32-bit FNV-1a hash of the tensor's name; element `i` in row-major order takes draw `i`.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use fp8_core::{E8M0, Format, Overflow, Rounding, Stream};
use fp8_kernels::isa::{self, Isa};
use fp8_kernels::{DType, Store, codec};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors, View};
use serde_json::Value;

use crate::{Error, Result, files};

/// The formats that a file can be cast to.
pub const FORMATS: [DType; 8] =
    [DType::E5M2, DType::E4M3, DType::E5M2Fnuz, DType::E4M3Fnuz, DType::E3M4, DType::F16, DType::Bf16, DType::F32];

const FORMAT_KEY: &str = "fp8.format";
const TENSORS_KEY: &str = "fp8.tensors";

/// What becomes of every floating tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cast {
    /// One of [`FORMATS`].
    pub format: DType,
    /// Rounding; from F64 to F32, which alone is inexact, to nearest-even.
    pub rounding: Rounding,
    /// What becomes of values past the largest finite one; from F64 to F32 infinity.
    pub overflow: Overflow,
    /// Seed of stochastic rounding.
    pub seed: u64,
    /// Step of stochastic rounding.
    pub step: u32,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Tensors that were cast.
    pub cast: usize,
    /// Tensors that are not floating, and were copied.
    pub copied: usize,
    /// Bytes read.
    pub bytes_in: usize,
    /// Bytes written.
    pub bytes_out: usize,
}

/// Casts the tensors of the file `input` and writes them to `output`, whole or not at all.
///
/// # Errors
/// [`Error::Content`] when `input` is no safetensors file, a damaged one, or one of F64 that F32 cannot take as asked; [`Error::File`] when one cannot be read or written.
pub fn cast_file(input: &Path, output: &Path, cast: &Cast) -> Result<Summary> {
    let isa = isa::select()?;
    let bytes = files::read(input)?;
    let damaged = |error: safetensors::SafeTensorError| {
        Error::content(input, format!("not a valid safetensors file ({} bytes): {error}", bytes.len()))
    };
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(damaged)?;
    let mut metadata = header.metadata().clone().unwrap_or_default();
    let coded = Coded::take(&mut metadata).map_err(|reason| Error::content(input, reason))?;
    let mut summary = Summary { bytes_in: bytes.len(), ..Summary::default() };
    let mut tensors = BTreeMap::new();
    let mut as_bytes = Vec::new();
    for (name, tensor) in SafeTensors::deserialize(&bytes).map_err(damaged)?.tensors() {
        match coded.format(&name, tensor.dtype()) {
            Some(source) => {
                cast.check(&name, source).map_err(|reason| Error::content(input, reason))?;
                summary.cast += 1;
                let data = cast.codes(isa, &name, source, tensor.data());
                let dtype = stored_as(cast.format);
                if dtype == Dtype::U8 {
                    as_bytes.push(name.clone());
                }
                tensors.insert(name, Stored { dtype, shape: tensor.shape().to_vec(), data: data.into() });
            }
            None => {
                summary.copied += 1;
                tensors.insert(name, Stored::from(tensor));
            }
        }
    }
    as_bytes.sort();
    metadata.extend(cast.metadata(as_bytes));
    let bytes = safetensors::serialize(&tensors, Some(metadata))
        .and_then(|bytes| sorted_header(&bytes))
        .map_err(|error| Error::content(output, error))?;
    files::write(output, &bytes)?;
    Ok(Summary { bytes_out: bytes.len(), ..summary })
}

/// A floating type of a file.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Source {
    F64,
    Codes(DType),
    /// Codes of E8M0.
    Scales,
}

impl Cast {
    /// What cannot be done with a tensor: F32 takes all other formats as they are, but F64 to nearest-even only.
    fn check(&self, name: &str, source: Source) -> std::result::Result<(), String> {
        let by_default = (self.rounding, self.overflow) == (Rounding::NearestEven, Overflow::Infinity);
        if self.format == DType::F32 && source == Source::F64 && !by_default {
            return Err(format!("{name} is F64, which is cast to f32 with rounding rne and overflow infinity only"));
        }
        Ok(())
    }

    /// The codes of a tensor, from its bytes.
    fn codes(&self, isa: Isa, name: &str, source: Source, data: &[u8]) -> Vec<u8> {
        let random = Stream { seed: self.seed, step: self.step, id: Stream::id(name) };
        match source {
            Source::F64 => {
                let values = data.as_chunks().0.iter().map(|&code| f64::from_le_bytes(code));
                values.zip(0..).flat_map(|(value, index)| self.code(value, random, index)).collect()
            }
            Source::Codes(dtype) => {
                let mut values = vec![0.0; data.len() / dtype.size()];
                codec::decode(isa, dtype, data, &mut values);
                self.encode(isa, random, &values)
            }
            Source::Scales => {
                let values: Vec<f32> = data.iter().map(|&code| E8M0::from_bits(code).to_f32()).collect();
                self.encode(isa, random, &values)
            }
        }
    }

    /// The codes of f32s, rounded once.
    fn encode(&self, isa: Isa, random: Stream, values: &[f32]) -> Vec<u8> {
        let Self { format, rounding, overflow, .. } = *self;
        let mut codes = vec![0; values.len() * format.size()];
        let store = Store { dtype: format, rounding, overflow, scale: 1.0, random };
        codec::encode(isa, &store, 0, values, &mut codes);
        codes
    }

    /// The code of an f64, rounded once.
    fn code(&self, value: f64, random: Stream, index: u64) -> impl Iterator<Item = u8> + use<> {
        let draw = match self.rounding {
            Rounding::Stochastic { bits } => random.draw(index, bits),
            _ => 0,
        };
        let code = match self.format.format() {
            None => (value as f32).to_bits(),
            Some(format) => fp8_core::encode(format, value, self.rounding, self.overflow, draw).into(),
        };
        code.to_le_bytes().into_iter().take(self.format.size())
    }

    /// What the file says of the cast; `as_bytes` are the tensors whose codes have no type of their own.
    fn metadata(&self, as_bytes: Vec<String>) -> HashMap<String, String> {
        let mut metadata = HashMap::from([(FORMAT_KEY.to_string(), self.format.to_string())]);
        if self.format != DType::F32 {
            metadata.insert("fp8.rounding".into(), self.rounding.to_string());
            metadata.insert("fp8.overflow".into(), self.overflow.to_string());
        }
        if !as_bytes.is_empty() {
            metadata.insert(TENSORS_KEY.into(), Value::from(as_bytes).to_string());
        }
        metadata
    }
}

/// The tensors of a file whose type says U8 but which hold codes of a format.
struct Coded {
    format: Option<DType>,
    names: Vec<String>,
}

impl Coded {
    /// Takes what an earlier cast wrote out of the metadata.
    fn take(metadata: &mut HashMap<String, String>) -> std::result::Result<Self, String> {
        let [format, names] = [FORMAT_KEY, TENSORS_KEY].map(|key| metadata.remove(key));
        metadata.retain(|key, _| !key.starts_with("fp8."));
        let Some(names) = names else { return Ok(Self { format: None, names: Vec::new() }) };
        let names =
            serde_json::from_str::<Vec<String>>(&names).map_err(|error| format!("metadata {TENSORS_KEY}: {error}"))?;
        let format = format.unwrap_or_default();
        let known = format.parse::<Format>().map_err(|error| format!("metadata {FORMAT_KEY}: {format:?}: {error}"))?;
        let dtype = FORMATS.into_iter().find(|dtype| dtype.format() == Some(known));
        match dtype {
            Some(dtype) if dtype.size() > 1 => {
                Err(format!("metadata {TENSORS_KEY}: {names:?} as U8, in which no codes of {FORMAT_KEY} {dtype} fit"))
            }
            format => Ok(Self { format, names }),
        }
    }

    /// The format of a floating tensor; `None` where it is not floating.
    fn format(&self, name: &str, dtype: Dtype) -> Option<Source> {
        let codes = match dtype {
            Dtype::F64 => return Some(Source::F64),
            Dtype::F8_E8M0 => return Some(Source::Scales),
            Dtype::F32 => DType::F32,
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::Bf16,
            Dtype::F8_E5M2 => DType::E5M2,
            Dtype::F8_E4M3 => DType::E4M3,
            Dtype::F8_E5M2FNUZ => DType::E5M2Fnuz,
            Dtype::F8_E4M3FNUZ => DType::E4M3Fnuz,
            Dtype::U8 if self.names.iter().any(|coded| coded == name) => self.format?,
            _ => return None,
        };
        Some(Source::Codes(codes))
    }
}

/// The safetensors type of a format's codes.
fn stored_as(format: DType) -> Dtype {
    match format {
        DType::F32 => Dtype::F32,
        DType::F16 => Dtype::F16,
        DType::Bf16 => Dtype::BF16,
        DType::E5M2 => Dtype::F8_E5M2,
        DType::E4M3 => Dtype::F8_E4M3,
        _ => Dtype::U8,
    }
}

/// A tensor to be written.
struct Stored<'a> {
    dtype: Dtype,
    shape: Vec<usize>,
    data: Cow<'a, [u8]>,
}

impl<'a> From<TensorView<'a>> for Stored<'a> {
    fn from(tensor: TensorView<'a>) -> Self {
        Self { dtype: tensor.dtype(), shape: tensor.shape().to_vec(), data: tensor.data().into() }
    }
}

impl View for &Stored<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.data)
    }

    fn data_len(&self) -> usize {
        self.data.len()
    }
}

/// The same file with its header's names in order: the library writes metadata in the order of a hash map, which differs
/// from run to run.
fn sorted_header(bytes: &[u8]) -> std::result::Result<Vec<u8>, safetensors::SafeTensorError> {
    let (len, _) = SafeTensors::read_metadata(bytes)?;
    let (header, data) = bytes[8..].split_at(len);
    let sorted: BTreeMap<String, BTreeMap<String, Value>> = serde_json::from_slice(header)?;
    let mut header = serde_json::to_vec(&sorted)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok([&(header.len() as u64).to_le_bytes(), &header[..], data].concat())
}
