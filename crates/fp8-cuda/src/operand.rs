//! Buffers as kernels take them.

use std::borrow::Cow;
use std::ffi::c_void;

use fp8_kernels::check::{self, Place};
use fp8_kernels::{Buffer, DType, Result};

use crate::codec::type_name;
use crate::device::Device;
use crate::kernels::Argument;
use crate::memory::DeviceMemory;

/// Where elements are, and what they are; the default is an operand that is not there.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Operand {
    pub dtype: Option<DType>,
    pub address: u64,
}

impl Operand {
    /// Its type in codec.cuh.
    pub fn type_name(self) -> &'static str {
        type_name(self.dtype)
    }

    /// From element `first` on.
    pub fn from(self, first: usize) -> Self {
        let size = self.dtype.map_or(0, DType::size);
        Self { address: self.address + (first * size) as u64, ..self }
    }
}

// SAFETY: a kernel takes a pointer of 64 bits.
unsafe impl Argument for Operand {
    fn value(&self) -> *const c_void {
        (&raw const self.address).cast()
    }

    fn bytes(&self) -> usize {
        size_of::<u64>()
    }
}

/// The place of a card's buffers.
#[derive(Clone, Copy)]
pub(crate) struct Card<'d>(pub &'d Device);

/// The arguments of an operation.
pub(crate) type Op<'d> = check::Op<Card<'d>>;

impl Device {
    /// Names the operation in messages.
    pub fn op(&self, name: &'static str) -> Op<'_> {
        Op { name, place: Card(self) }
    }
}

impl Card<'_> {
    fn memory(self, buffer: &Buffer) -> Option<&DeviceMemory> {
        buffer.storage().as_any().downcast_ref::<DeviceMemory>().filter(|memory| memory.is_of(self.0))
    }
}

impl Place for Card<'_> {
    type Input<'a> = Operand;
    type Output<'a> = Operand;

    fn backend(self) -> String {
        self.0.name.clone()
    }

    fn input(self, buffer: &Buffer) -> Option<Operand> {
        let address = self.memory(buffer)?.address();
        Some(Operand { dtype: Some(buffer.dtype()), address })
    }

    fn output(self, buffer: &mut Buffer) -> Option<Operand> {
        self.input(buffer)
    }

    fn numbers<'a>(self, buffer: &'a Buffer) -> Result<Cow<'a, [u32]>> {
        let Some(memory) = self.memory(buffer) else { return Ok(Cow::default()) };
        if let Some(numbers) = &memory.numbers {
            return Ok(Cow::from(numbers));
        }
        let mut bytes = vec![0; buffer.bytes()];
        memory.read(&mut bytes)?;
        Ok(numbers_of(&bytes).into())
    }
}

/// Little-endian U32.
pub(crate) fn numbers_of(bytes: &[u8]) -> Vec<u32> {
    bytes.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect()
}
