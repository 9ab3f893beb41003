//! Batches from safetensors files; what is wrong with one is a text.

use std::ops::Range;

use fp8_autograd::layout;
use fp8_data::text::{Dropped, PAD};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::run::images::{ImageBatch, Pixels};
use crate::sequence::{TokenBatch, ignoring_padding};

/// The tensors of a batch.
pub struct BatchFile<'a>(SafeTensors<'a>);

impl<'a> BatchFile<'a> {
    pub fn parse(bytes: &'a [u8]) -> Result<Self, String> {
        let file = SafeTensors::deserialize(bytes);
        file.map(Self).map_err(|error| format!("not a valid safetensors file ({} bytes): {error}", bytes.len()))
    }

    /// A tensor of this type with so many axes, none of them empty.
    fn tensor(&self, name: &str, dtype: Dtype, axes: usize) -> Result<TensorView<'_>, String> {
        let tensor = self.0.tensor(name).map_err(|_| format!("has no tensor {name:?}"))?;
        let found = format!("{name:?} is {:?} {:?}", tensor.dtype(), tensor.shape());
        match tensor.dtype() == dtype && tensor.shape().len() == axes {
            true if tensor.shape().contains(&0) => Err(format!("{found}: it is empty")),
            true => Ok(tensor),
            false => Err(format!("{found}; {dtype:?} of {axes} axes is wanted")),
        }
    }

    /// Whole numbers from 0 on; `what` they are.
    fn numbers(&self, name: &str, axes: usize, what: &str) -> Result<(Vec<usize>, Vec<u32>), String> {
        let tensor = self.tensor(name, Dtype::I64, axes)?;
        let numbers = tensor.data().as_chunks().0.iter().map(|&code| i64::from_le_bytes(code));
        let columns = tensor.shape()[1..].iter().product::<usize>();
        let number = |(place, number): (usize, i64)| {
            u32::try_from(number)
                .map_err(|_| format!("{name:?}: row {} is {number}, which is no {what}", place / columns))
        };
        Ok((tensor.shape().to_vec(), numbers.enumerate().map(number).collect::<Result<_, _>>()?))
    }
}

/// `input` (N, C, H, W), finite, and `target` (N).
pub fn images(file: &BatchFile<'_>) -> Result<ImageBatch, String> {
    let input = file.tensor("input", Dtype::F32, 4)?;
    let values: Vec<f32> = input.data().as_chunks().0.iter().map(|&code| f32::from_le_bytes(code)).collect();
    if let Some(index) = values.iter().position(|value| !value.is_finite()) {
        return Err(format!("\"input\": element {index} is {}", values[index]));
    }
    let (shape, images) = layout::channels_last(input.shape(), &values);
    let shape: [usize; 4] =
        shape.try_into().map_err(|shape: Vec<usize>| format!("\"input\" has {} axes", shape.len()))?;
    let (_, labels) = file.numbers("target", 1, "class")?;
    if labels.len() != shape[0] {
        return Err(format!("\"input\" is {:?}, \"target\" [{}]", input.shape(), labels.len()));
    }
    Ok(ImageBatch { shape, pixels: Pixels::Values(images), labels, skipped: Vec::new() })
}

/// `source` (N, S) and `target` (N, T + 1).
pub fn tokens(file: &BatchFile<'_>) -> Result<TokenBatch, String> {
    let (source_shape, source) = file.numbers("source", 2, "token")?;
    let (target_shape, target) = file.numbers("target", 2, "token")?;
    let ([batch, steps], [rows, columns]) = (pair(&source_shape), pair(&target_shape));
    if batch != rows || columns < 2 {
        return Err(format!(
            "\"source\" is {source_shape:?}, \"target\" {target_shape:?}; a target has two tokens at least"
        ));
    }
    let length = |row: &[u32]| row.iter().rposition(|&token| token != PAD).map_or(0, |last| last + 1);
    let lengths: Vec<u32> = source.chunks_exact(steps).map(|row| length(row) as u32).collect();
    if let Some(row) = lengths.iter().position(|&length| length == 0) {
        return Err(format!("\"source\": row {row} is padding alone"));
    }
    let time_major = |tokens: &[u32], columns: usize, steps: Range<usize>| -> Vec<u32> {
        steps.flat_map(|step| (0..batch).map(move |row| tokens[row * columns + step])).collect()
    };
    Ok(TokenBatch {
        batch,
        source: time_major(&source, steps, 0..steps),
        lengths,
        target: time_major(&target, columns, 0..columns - 1),
        labels: time_major(&target, columns, 1..columns).into_iter().map(ignoring_padding).collect(),
        dropped: Dropped::default(),
    })
}

fn pair(shape: &[usize]) -> [usize; 2] {
    [shape[0], shape[1]]
}
