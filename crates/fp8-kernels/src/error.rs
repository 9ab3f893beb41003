//! What can go wrong in a call of a kernel.

use crate::DType;

/// A call that cannot be carried out. Nothing was written.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// A buffer has another number of elements than the shape asks for.
    #[error("{op}: {what} has {found} elements, the shape asks for {expected}")]
    Length {
        /// Operation.
        op: &'static str,
        /// Which operand.
        what: &'static str,
        /// Elements that the shape asks for.
        expected: usize,
        /// Elements of the buffer.
        found: usize,
    },
    /// A buffer holds a type that the operation does not take.
    #[error("{op}: {what} is {found}, which this operation does not take")]
    Type {
        /// Operation.
        op: &'static str,
        /// Which operand.
        what: &'static str,
        /// Type of the buffer.
        found: DType,
    },
    /// A shape that makes no sense (a kernel larger than its padded input, a zero stride).
    #[error("{op}: {reason}")]
    Shape {
        /// Operation.
        op: &'static str,
        /// What is wrong, with the numbers.
        reason: String,
    },
    /// A buffer of another device.
    #[error("{op}: {what} lives on another device than {backend}")]
    Device {
        /// Operation.
        op: &'static str,
        /// Which operand.
        what: &'static str,
        /// Name of the backend.
        backend: String,
    },
    /// An instruction set asked for by name (`FP8_ISA`) that does not exist or that this CPU lacks.
    #[error("instruction set {asked:?} is not available on this CPU; choose one of: {available}")]
    Isa {
        /// The name asked for.
        asked: String,
        /// The names that would do.
        available: String,
    },
    /// The device has too little memory.
    #[error("out of memory on {backend}: {bytes} bytes asked for, with {held} held by buffers")]
    OutOfMemory {
        /// Name of the backend.
        backend: String,
        /// Bytes asked for.
        bytes: usize,
        /// Bytes of the buffers of this backend.
        held: usize,
    },
    /// The device refused or failed.
    #[error("{backend}: {reason}")]
    Backend {
        /// Name of the backend.
        backend: String,
        /// What it said.
        reason: String,
    },
}

/// Result of a kernel call.
pub type Result<T> = std::result::Result<T, Error>;
