//! Element types of buffers.

use fp8_core::Format;

/// What one element of a [`Buffer`](crate::Buffer) is. FP8 is one byte in memory, always.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// IEEE binary32.
    F32,
    /// IEEE binary16.
    F16,
    /// bfloat16.
    Bf16,
    /// FP8 E5M2.
    E5M2,
    /// FP8 E4M3 (OCP "fn").
    E4M3,
    /// FP8 E5M2 "fnuz".
    E5M2Fnuz,
    /// FP8 E4M3 "fnuz".
    E4M3Fnuz,
    /// FP8 E3M4.
    E3M4,
    /// Unsigned 32-bit integers: class labels, token ids.
    U32,
    /// Bytes: pooling indices, masks.
    U8,
}

impl DType {
    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            Self::F32 | Self::U32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::E5M2 | Self::E4M3 | Self::E5M2Fnuz | Self::E4M3Fnuz | Self::E3M4 | Self::U8 => 1,
        }
    }

    /// The format of the 8- and 16-bit floating types; `None` for f32 and integers.
    pub const fn format(self) -> Option<Format> {
        match self {
            Self::F16 => Some(Format::F16),
            Self::Bf16 => Some(Format::BF16),
            Self::E5M2 => Some(Format::E5M2),
            Self::E4M3 => Some(Format::E4M3),
            Self::E5M2Fnuz => Some(Format::E5M2_FNUZ),
            Self::E4M3Fnuz => Some(Format::E4M3_FNUZ),
            Self::E3M4 => Some(Format::E3M4),
            Self::F32 | Self::U32 | Self::U8 => None,
        }
    }

    /// Name as in recipes, files and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::U32 => "u32",
            Self::U8 => "u8",
            _ => match self.format() {
                Some(format) => format.name,
                None => unreachable!(),
            },
        }
    }

    /// Whether elements are floating-point numbers.
    pub const fn is_float(self) -> bool {
        !matches!(self, Self::U32 | Self::U8)
    }
}

impl std::fmt::Display for DType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}
