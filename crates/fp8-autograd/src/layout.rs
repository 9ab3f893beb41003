//! Between the layouts of PyTorch (channels first) and ours (channels last). The one place that permutes.

/// (N, C, H, W) to (N, H, W, C), or (O, I, KH, KW) to (O, KH, KW, I): the second axis becomes the last. Other than four
/// axes: unchanged.
pub fn channels_last<T: Copy>(shape: &[usize], values: &[T]) -> (Vec<usize>, Vec<T>) {
    match *shape {
        [n, c, h, w] => (vec![n, h, w, c], transposed(n, c, h * w, values)),
        _ => (shape.to_vec(), values.to_vec()),
    }
}

/// The inverse of [`channels_last`].
pub fn channels_first<T: Copy>(shape: &[usize], values: &[T]) -> (Vec<usize>, Vec<T>) {
    let values = match *shape {
        [n, h, w, c] => transposed(n, h * w, c, values),
        _ => values.to_vec(),
    };
    (channels_first_shape(shape), values)
}

/// The shape that [`channels_first`] gives.
pub fn channels_first_shape(shape: &[usize]) -> Vec<usize> {
    match *shape {
        [n, h, w, c] => vec![n, c, h, w],
        _ => shape.to_vec(),
    }
}

/// (batch, rows, columns) to (batch, columns, rows).
fn transposed<T: Copy>(batch: usize, rows: usize, columns: usize, values: &[T]) -> Vec<T> {
    let matrices = (0..batch).map(|n| &values[n * rows * columns..][..rows * columns]);
    matrices
        .flat_map(|matrix| (0..columns).flat_map(move |c| (0..rows).map(move |r| matrix[r * columns + c])))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_move() {
        let values: Vec<u32> = (0..12).collect();
        let (shape, last) = channels_last(&[1, 3, 2, 2], &values);
        assert_eq!(shape, [1, 2, 2, 3]);
        assert_eq!(last, [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]);
        assert_eq!(channels_first(&shape, &last), (vec![1, 3, 2, 2], values));
        assert_eq!(channels_last(&[2], &[7, 8]), (vec![2], vec![7, 8]));
    }
}
