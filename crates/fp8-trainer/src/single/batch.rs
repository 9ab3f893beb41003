//! Batches from safetensors files; what is wrong with one is a text.

use std::ops::Range;

use fp8_autograd::layout;
use fp8_data::text::{BOS, Dropped, EOS, PAD};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::run::images::{ImageBatch, Pixels, Shape};
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

    /// Whole numbers from 0 on and below `end`; `what` they are.
    fn numbers(&self, name: &str, axes: usize, what: &str, end: usize) -> Result<(Vec<usize>, Vec<u32>), String> {
        let tensor = self.tensor(name, Dtype::I64, axes)?;
        let numbers = tensor.data().as_chunks().0.iter().map(|&code| i64::from_le_bytes(code));
        let columns = tensor.shape()[1..].iter().product::<usize>();
        let number = |(place, number): (usize, i64)| {
            let below = u32::try_from(number).ok().filter(|&number| (number as usize) < end);
            below.ok_or_else(|| {
                format!("{name:?}: row {} has {number}, which is no {what}: they are 0 to {}", place / columns, end - 1)
            })
        };
        Ok((tensor.shape().to_vec(), numbers.enumerate().map(number).collect::<Result<_, _>>()?))
    }
}

/// `input` (N, C, H, W), finite, and `target` (N), for a network of this shape.
pub fn images(file: &BatchFile<'_>, network: Shape) -> Result<ImageBatch, String> {
    let input = file.tensor("input", Dtype::F32, 4)?;
    let values: Vec<f32> = input.data().as_chunks().0.iter().map(|&code| f32::from_le_bytes(code)).collect();
    if let Some(index) = values.iter().position(|value| !value.is_finite()) {
        return Err(format!("\"input\": element {index} is {}", values[index]));
    }
    let (shape, images) = layout::channels_last(input.shape(), &values);
    let shape: [usize; 4] =
        shape.try_into().map_err(|shape: Vec<usize>| format!("\"input\" has {} axes", shape.len()))?;
    if shape[3] != network.channels {
        return Err(format!("\"input\" is {:?}: images of {} channels are wanted", input.shape(), network.channels));
    }
    let (_, labels) = file.numbers("target", 1, "class", network.classes)?;
    if labels.len() != shape[0] {
        return Err(format!("\"input\" is {:?}, \"target\" [{}]", input.shape(), labels.len()));
    }
    Ok(ImageBatch { shape, pixels: Pixels::Values(images), labels, skipped: Vec::new() })
}

/// `source` (N, S) and `target` (N, T + 1), of a vocabulary of so many tokens.
pub fn tokens(file: &BatchFile<'_>, vocabulary: usize) -> Result<TokenBatch, String> {
    let (source_shape, source) = file.numbers("source", 2, "token", vocabulary)?;
    let (target_shape, target) = file.numbers("target", 2, "token", vocabulary)?;
    let ([batch, steps], [rows, columns]) = (pair(&source_shape), pair(&target_shape));
    if batch != rows || columns < 2 {
        return Err(format!(
            "\"source\" is {source_shape:?}, \"target\" {target_shape:?}; a target has two tokens at least"
        ));
    }
    let lengths = lengths("source", &source, steps)?;
    check_targets(&target, columns)?;
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

/// Tokens of each row, the padding left out.
fn lengths(name: &str, tokens: &[u32], columns: usize) -> Result<Vec<u32>, String> {
    let length = |(number, row): (usize, &[u32])| {
        let wrong = |reason: &str| Err(format!("{name:?}: row {number} {reason}"));
        let length = row.iter().rposition(|&token| token != PAD).map_or(0, |last| last + 1);
        match row[..length].last() {
            None => wrong("is padding alone"),
            Some(_) if row[..length].contains(&PAD) => wrong("has padding before its end"),
            Some(&last) if last != EOS => wrong(&format!("does not end with {EOS}")),
            Some(_) => Ok(length as u32),
        }
    };
    tokens.chunks_exact(columns).enumerate().map(length).collect()
}

/// Refuses targets that do not begin and end as sentences do.
fn check_targets(target: &[u32], columns: usize) -> Result<(), String> {
    lengths("target", target, columns)?;
    match target.chunks_exact(columns).position(|row| row[0] != BOS) {
        Some(row) => Err(format!("\"target\": row {row} does not begin with {BOS}")),
        None => Ok(()),
    }
}

fn pair(shape: &[usize]) -> [usize; 2] {
    [shape[0], shape[1]]
}
