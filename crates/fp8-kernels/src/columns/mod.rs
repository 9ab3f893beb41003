//! Columns of matrices beside each other.

use rayon::prelude::*;

use crate::arithmetic::add;
use crate::blocks::CHUNK;
use crate::isa::Isa;
use crate::{Store, View, ViewMut, codec};

/// y (rows, sum of widths) = store(the parts (rows, width) side by side).
pub fn join(isa: Isa, rows: usize, parts: &[(View<'_>, usize)], store: &Store, y: ViewMut<'_>) {
    let width: usize = parts.iter().map(|(_, width)| width).sum();
    each_row(rows, width, y, |row, line, y| {
        let mut rest = &mut *line;
        for (part, width) in parts {
            let (here, after) = rest.split_at_mut(*width);
            codec::decode(isa, part.dtype, part.part(row * width, *width).bytes, here);
            rest = after;
        }
        codec::encode(isa, store, (row * width) as u64, line, y);
    });
}

/// y (rows, count) = store(columns first .. first + count of x (rows, total), plus residual).
pub fn part(
    isa: Isa,
    [rows, total]: [usize; 2],
    [first, count]: [usize; 2],
    x: View<'_>,
    residual: Option<View<'_>>,
    store: &Store,
    y: ViewMut<'_>,
) {
    each_row(rows, count, y, |row, line, y| {
        codec::decode(isa, x.dtype, x.part(row * total + first, count).bytes, line);
        if let Some(residual) = residual {
            let mut addend = vec![0.0; count];
            codec::decode(isa, residual.dtype, residual.part(row * count, count).bytes, &mut addend);
            add(isa, line, &addend);
        }
        codec::encode(isa, store, (row * count) as u64, line, y);
    });
}

/// Calls `body` with each row's number, room for its values, and its codes.
fn each_row(rows: usize, width: usize, y: ViewMut<'_>, body: impl Fn(usize, &mut [f32], &mut [u8]) + Sync) {
    let (size, together) = (y.dtype.size(), (CHUNK / 4 / width.max(1)).max(1));
    debug_assert_eq!(y.len(), rows * width);
    y.bytes.par_chunks_mut((together * width * size).max(1)).enumerate().for_each(|(chunk, y)| {
        let mut line = vec![0.0; width];
        for (row, y) in (chunk * together..).zip(y.chunks_mut((width * size).max(1))) {
            body(row, &mut line, y);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::{join, part};
    use crate::testing::{Codes, encoded, numbers, on_every_path, stores};
    use crate::{DType, ViewMut};

    #[test]
    fn parts_stand_side_by_side_and_come_back() {
        let (rows, widths) = (700, [3, 40, 1]);
        let types = [DType::E5M2, DType::F16, DType::F32];
        let parts: Vec<Codes> = (1..)
            .zip(widths)
            .zip(types)
            .map(|((seed, width), dtype)| Codes::new(dtype, &numbers(seed, rows * width)))
            .collect();
        let values: Vec<Vec<f32>> = parts.iter().map(Codes::values).collect();
        let joined: Vec<f32> = (0..rows)
            .flat_map(|row| {
                values.iter().zip(widths).flat_map(move |(part, width)| part[row * width..][..width].to_vec())
            })
            .collect();
        for store in stores() {
            let found = on_every_path(|isa| {
                let views: Vec<_> = parts.iter().map(Codes::view).zip(widths).collect();
                let mut y = vec![0xaa; rows * 44 * store.dtype.size()];
                join(isa, rows, &views, &store, ViewMut { dtype: store.dtype, bytes: &mut y });
                y
            });
            assert!(found == encoded(&store, &joined), "{store:?}");
        }
        let whole = Codes::new(DType::F16, &joined);
        let residual = Codes::new(DType::E5M2, &numbers(9, rows * 40));
        for (store, with_residual) in stores().into_iter().zip([true, false, true]) {
            let (x, addend) = (whole.values(), residual.values());
            let element = |i: usize| match (x[i / 40 * 44 + 3 + i % 40], with_residual) {
                (x, true) => x + addend[i],
                (x, false) => x,
            };
            let found = on_every_path(|isa| {
                let mut y = vec![0xaa; rows * 40 * store.dtype.size()];
                let out = ViewMut { dtype: store.dtype, bytes: &mut y };
                part(isa, [rows, 44], [3, 40], whole.view(), with_residual.then(|| residual.view()), &store, out);
                y
            });
            assert!(found == encoded(&store, &(0..rows * 40).map(element).collect::<Vec<_>>()), "{store:?}");
        }
    }
}
