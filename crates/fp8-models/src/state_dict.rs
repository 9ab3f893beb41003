//! State dicts as safetensors, as PyTorch reads and writes them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use fp8_autograd::{Array, Parameters, Values};
use half::{bf16, f16};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors, View};

use crate::{Error, Mismatch, Result};

/// The weights and running statistics of a model: F32, counters I64.
pub fn save(parameters: &Parameters) -> Result<Vec<u8>> {
    write(&parameters.arrays()?)
}

/// As [`save`], with a line of metadata: a name and a text.
///
/// # Errors
/// As [`save`].
pub fn save_with(parameters: &Parameters, metadata: Option<(&str, &str)>) -> Result<Vec<u8>> {
    let arrays = parameters.arrays()?;
    let metadata = metadata.map(|(name, text)| [(name.to_string(), text.to_string())].into());
    Ok(safetensors::serialize(arrays.iter().map(|array| (&array.name, Stored(array))), metadata)?)
}

/// The metadata of this name in a safetensors file.
///
/// # Errors
/// For damaged files.
pub fn metadata(bytes: &[u8], name: &str) -> Result<Option<String>> {
    let (_, header) = SafeTensors::read_metadata(bytes)?;
    Ok(header.metadata().as_ref().and_then(|metadata| metadata.get(name).cloned()))
}

/// Sets all weights and running statistics from a safetensors file. `num_batches_tracked`, which old files lack, may be
/// missing.
///
/// # Errors
/// [`Error::Mismatch`] lists every missing and unexpected name and every wrong shape; also for types, Inf and NaN, and
/// damaged files. Nothing is changed then.
pub fn load(parameters: &mut Parameters, bytes: &[u8]) -> Result<()> {
    let file = SafeTensors::deserialize(bytes)?;
    let model: BTreeMap<String, Vec<usize>> = parameters.shapes().into_iter().collect();
    let mut mismatch = Mismatch::default();
    for (name, expected) in &model {
        match file.tensor(name) {
            Ok(tensor) if tensor.shape() != expected => {
                mismatch.shapes.push((name.clone(), tensor.shape().to_vec(), expected.clone()));
            }
            Err(_) if !name.ends_with(".num_batches_tracked") => mismatch.missing.push(name.clone()),
            _ => {}
        }
    }
    let names = file.names().into_iter().map(String::from);
    mismatch.unexpected = names.filter(|name| !model.contains_key(name)).collect();
    mismatch.unexpected.sort();
    if !mismatch.is_empty() {
        return Err(Error::Mismatch(mismatch));
    }
    let arrays = file.tensors().into_iter().map(|(name, tensor)| array(name, &tensor)).collect::<Result<Vec<_>>>()?;
    Ok(arrays.iter().try_for_each(|array| parameters.set(array))?)
}

/// The bytes of a safetensors file with these arrays.
pub fn write(arrays: &[Array]) -> Result<Vec<u8>> {
    Ok(safetensors::serialize(arrays.iter().map(|array| (&array.name, Stored(array))), None)?)
}

/// An array of a safetensors file, its numbers finite.
fn array(name: String, tensor: &TensorView<'_>) -> Result<Array> {
    let data = tensor.data();
    let words = || data.chunks_exact(2).map(|code| u16::from_le_bytes([code[0], code[1]]));
    let values = match tensor.dtype() {
        Dtype::F32 => {
            data.chunks_exact(4).map(|code| f32::from_le_bytes([code[0], code[1], code[2], code[3]])).collect()
        }
        Dtype::F16 => words().map(|code| f16::from_bits(code).to_f32()).collect(),
        Dtype::BF16 => words().map(|code| bf16::from_bits(code).to_f32()).collect(),
        Dtype::I64 if name.ends_with(".num_batches_tracked") => {
            let counters = data.as_chunks::<8>().0.iter().map(|&code| i64::from_le_bytes(code)).collect();
            return Ok(Array { name, shape: tensor.shape().to_vec(), values: Values::I64(counters) });
        }
        dtype => return Err(Error::Type { name, dtype: format!("{dtype:?}").to_lowercase() }),
    };
    let values: Vec<f32> = values;
    if let Some(index) = values.iter().position(|value| !value.is_finite()) {
        return Err(Error::NonFinite { name, index, value: values[index] });
    }
    Ok(Array { name, shape: tensor.shape().to_vec(), values: Values::F32(values) })
}

/// An array as the safetensors crate wants it.
struct Stored<'a>(&'a Array);

impl View for Stored<'_> {
    fn dtype(&self) -> Dtype {
        match self.0.values {
            Values::F32(_) => Dtype::F32,
            Values::I64(_) => Dtype::I64,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.0.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        match &self.0.values {
            Values::F32(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Values::I64(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        }
    }

    fn data_len(&self) -> usize {
        match &self.0.values {
            Values::F32(values) => size_of_val(&values[..]),
            Values::I64(values) => size_of_val(&values[..]),
        }
    }
}
