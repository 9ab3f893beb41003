use super::{Backward, Forward, backward, forward};
use crate::testing::{Codes, encoded, numbers, on_every_path, stores};
use crate::{DType, Embedding, ViewMut};

const EMBEDDING: Embedding = Embedding { rows: 900, entries: 37, width: 21, positions: 5, repeat: 3, padding: Some(2) };

fn tokens() -> Vec<u32> {
    (0..EMBEDDING.rows as u32).map(|row| row * row % 37).collect()
}

#[test]
fn rows_are_the_table_s() {
    let Embedding { rows, entries, width, positions, repeat, .. } = EMBEDDING;
    let (tokens, table) = (tokens(), Codes::new(DType::F32, &numbers(2, positions * width)));
    for (dtype, store) in [DType::E5M2, DType::F16, DType::F32].into_iter().zip(stores()) {
        let w = Codes::new(dtype, &numbers(1, entries * width));
        for with_positions in [false, true] {
            let (entry, position) = (w.values(), table.values());
            let element = |i: usize| {
                let (row, j) = (i / width, i % width);
                let x = 3.0 * entry[tokens[row] as usize * width + j];
                if with_positions { x + position[row / repeat % positions * width + j] } else { x }
            };
            let expected = encoded(&store, &(0..rows * width).map(element).collect::<Vec<_>>());
            let found = on_every_path(|isa| {
                let mut y = vec![0xaa; expected.len()];
                let out = ViewMut { dtype: store.dtype, bytes: &mut y };
                let positions = with_positions.then(|| table.view());
                let arguments = Forward { tokens: &tokens, w: w.view(), factor: 3.0, positions };
                forward(isa, &EMBEDDING, &arguments, &store, out);
                y
            });
            assert!(found == expected, "{dtype}, {store:?}, {with_positions}");
        }
    }
}

#[test]
fn gradients_are_sums_over_ascending_rows() {
    let Embedding { rows, entries, width, padding, .. } = EMBEDDING;
    let tokens = tokens();
    let arrived = Codes::new(DType::E5M2, &numbers(2, entries * width));
    for (dtype, store) in [DType::E5M2, DType::F16, DType::F32].into_iter().zip(stores()) {
        let dy = Codes::new(dtype, &numbers(1, rows * width));
        for with_residual in [false, true] {
            let (errors, residual) = (dy.values(), arrived.values());
            let mut sums = vec![0.0_f32; entries * width];
            for (row, token) in tokens.iter().enumerate().filter(|(_, token)| Some(**token) != padding) {
                for j in 0..width {
                    sums[*token as usize * width + j] += errors[row * width + j];
                }
            }
            let finished = sums.iter().zip(&residual);
            let finished = finished.map(|(sum, residual)| 0.3 * sum + if with_residual { *residual } else { 0.0 });
            let expected = encoded(&store, &finished.collect::<Vec<_>>());
            let found = on_every_path(|isa| {
                let mut dw = vec![0xaa; expected.len()];
                let out = ViewMut { dtype: store.dtype, bytes: &mut dw };
                let residual = with_residual.then(|| arrived.view());
                let arguments = Backward { tokens: &tokens, dy: dy.view(), factor: 0.3, residual };
                backward(isa, &EMBEDDING, &arguments, &store, out);
                dw
            });
            assert!(found == expected, "{dtype}, {store:?}, {with_residual}");
        }
    }
}
