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
