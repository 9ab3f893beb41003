//! Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).

/// Philox4x32 with 10 rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Philox {
    key: [u32; 2],
}

impl Philox {
    /// Multipliers of the two lanes.
    pub const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
    /// Weyl increments of the key.
    pub const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

    /// The generator of `seed`: low half first in the key.
    pub const fn new(seed: u64) -> Self {
        Self { key: [seed as u32, (seed >> 32) as u32] }
    }

    /// The four words of `counter`.
    #[inline(always)]
    pub const fn block(&self, counter: [u32; 4]) -> [u32; 4] {
        const LOW: u64 = u32::MAX as u64;
        // In 64-bit lanes whose upper halves are ignored: so the loop over blocks of a caller vectorises.
        let [mut c0, mut c1, mut c2, mut c3] =
            [counter[0] as u64, counter[1] as u64, counter[2] as u64, counter[3] as u64];
        let [mut k0, mut k1] = self.key;
        let mut round = 0;
        while round < 10 {
            let p0 = (c0 & LOW) * Self::MULTIPLIERS[0] as u64;
            let p1 = (c2 & LOW) * Self::MULTIPLIERS[1] as u64;
            (c0, c1, c2, c3) = ((p1 >> 32) ^ c1 ^ k0 as u64, p1, (p0 >> 32) ^ c3 ^ k1 as u64, p0);
            k0 = k0.wrapping_add(Self::WEYL[0]);
            k1 = k1.wrapping_add(Self::WEYL[1]);
            round += 1;
        }
        [c0 as u32, c1 as u32, c2 as u32, c3 as u32]
    }
}

/// The random bits of one tensor at one step: element index -> bits, and nothing else.
///
/// `bits <= 16`: element `i` takes half `i % 2` (low first) of word `(i % 8) / 2` of the block with counter
/// `[i / 8, (i / 8) >> 32, step, stream]`. `bits > 16`: word `i % 4` of the block with counter `i / 4`.
/// Of the half or word the topmost `bits` are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    /// Seed of the run: the key.
    pub seed: u64,
    /// Training step.
    pub step: u32,
    /// Stable id of the tensor and its role: see [`Stream::id`].
    pub id: u32,
}

impl Stream {
    /// A stable id of a tensor and its role: 32-bit FNV-1a of the name's bytes, e.g. `layer1.0.conv1.weight/gradient`.
    pub const fn id(name: &str) -> u32 {
        let bytes = name.as_bytes();
        let mut hash = 0x811C_9DC5_u32;
        let mut i = 0;
        while i < bytes.len() {
            hash = (hash ^ bytes[i] as u32).wrapping_mul(0x0100_0193);
            i += 1;
        }
        hash
    }

    /// The random number in `0..2^bits` of element `index`; `bits` is 1 to 32.
    pub const fn draw(&self, index: u64, bits: u8) -> u32 {
        let philox = Philox::new(self.seed);
        if bits <= 16 {
            let block = index / 8;
            let words = philox.block([block as u32, (block >> 32) as u32, self.step, self.id]);
            let half = (words[(index % 8 / 2) as usize] >> (16 * (index % 2))) & 0xFFFF;
            half >> (16 - bits)
        } else {
            let block = index / 4;
            let words = philox.block([block as u32, (block >> 32) as u32, self.step, self.id]);
            words[(index % 4) as usize] >> (32 - bits)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers of Random123 (kat_vectors, philox4x32 10).
    #[test]
    fn known_answers() {
        let seed = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        let all = u32::MAX;
        for (counter, key, expected) in [
            ([0; 4], seed(0, 0), [0x6627_E8D5, 0xE169_C58D, 0xBC57_AC4C, 0x9B00_DBD8]),
            ([all; 4], seed(all, all), [0x408F_276D, 0x41C8_3B0E, 0xA20B_C7C6, 0x6D54_51FD]),
            (
                [0x243F_6A88, 0x85A3_08D3, 0x1319_8A2E, 0x0370_7344],
                seed(0xA409_3822, 0x299F_31D0),
                [0xD16C_FE09, 0x94FD_CCEB, 0x5001_E420, 0x2412_6EA1],
            ),
        ] {
            assert_eq!(Philox::new(key).block(counter), expected);
        }
    }

    #[test]
    fn draws_are_laid_out_as_documented() {
        let stream = Stream { seed: 0x1234_5678_9ABC_DEF0, step: 3, id: 4 };
        let block = |n: u64| Philox::new(stream.seed).block([n as u32, (n >> 32) as u32, 3, 4]);
        for index in [0_u64, 1, 6, 7, 8, 1 << 35, (1 << 35) + 3] {
            let word = block(index / 8)[(index % 8 / 2) as usize];
            let half = if index % 2 == 0 { word & 0xFFFF } else { word >> 16 };
            assert_eq!(stream.draw(index, 16), half);
            assert_eq!(stream.draw(index, 3), half >> 13);
            assert_eq!(stream.draw(index, 32), block(index / 4)[(index % 4) as usize]);
            assert_eq!(stream.draw(index, 17), stream.draw(index, 32) >> 15);
        }
    }

    /// The published test value of 32-bit FNV-1a.
    #[test]
    fn ids_are_fnv1a() {
        assert_eq!(Stream::id(""), 0x811C_9DC5);
        assert_eq!(Stream::id("foobar"), 0xBF9C_F968);
    }
}
