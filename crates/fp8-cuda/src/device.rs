//! One card: its context, the stream that all work runs on in order, its memory and its compiled kernels.

use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::{CudaContext, CudaStream, result, sys};
use fp8_kernels::{Error as KernelError, Result as KernelResult};

use crate::accumulation::Accumulation;
use crate::cache::Cache;
use crate::driver;
use crate::error::{Context, Error, Result};
use crate::kernels::Kernels;
use crate::memory::Accounts;
use crate::staging::Staging;

/// A card and what we keep for it.
pub(crate) struct Device {
    pub context: Arc<CudaContext>,
    pub stream: Arc<CudaStream>,
    /// For people: `cuda:0 (NVIDIA H200, promoted sums)`.
    pub name: String,
    /// `sm_90a` and the like.
    pub architecture: String,
    /// The compute capability that kernels are chosen by.
    pub capability: (u32, u32),
    pub multiprocessors: u32,
    /// Bytes of shared memory that a block may have.
    pub shared: u32,
    pub accumulation: Accumulation,
    pub memory: Accounts,
    pub staging: Staging,
    pub kernels: Kernels,
    /// Wait for each kernel, so that a failure is told of the kernel that failed.
    pub wait: bool,
    /// The kernel that was started last.
    last: Mutex<&'static str>,
}

impl Device {
    /// Card `ordinal`, as the driver counts them, with the kernels of a card of capability `like`, if that is older.
    pub fn open(
        ordinal: usize,
        accumulation: Accumulation,
        cache: Cache,
        like: Option<(u32, u32)>,
    ) -> Result<Arc<Self>> {
        driver::load()?;
        let count = CudaContext::device_count().context(|| "asking the driver for its cards".into())?;
        let count = usize::try_from(count).unwrap_or(0);
        if ordinal >= count {
            return Err(Error::NoDevice { ordinal, count });
        }
        let opening = || format!("opening card {ordinal}");
        let context = CudaContext::new(ordinal).context(opening)?;
        let card = context.name().context(opening)?;
        let attribute = |attribute| context.attribute(attribute).context(opening).map(|value| value as u32);
        use sys::CUdevice_attribute as Attribute;
        let major = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
        let minor = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
        if major < 8 {
            return Err(Error::Unsupported { name: card, major, minor });
        }
        let multiprocessors = attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?;
        let shared = attribute(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?;
        let capability = like.map_or((major, minor), |like| like.clamp((8, 0), (major, minor)));
        let (shared, like) = match capability == (major, minor) {
            true => (shared, String::new()),
            false => (shared.min(shared_of_older(capability)), format!(" as {}.{}", capability.0, capability.1)),
        };
        let stream = context.new_stream().context(opening)?;
        keep_freed_memory(&context).context(opening)?;
        Ok(Arc::new(Self {
            stream,
            name: format!("cuda:{ordinal} ({card}{like}, {accumulation} sums)"),
            architecture: architecture((major, minor)),
            capability,
            multiprocessors,
            shared,
            accumulation,
            memory: Accounts::default(),
            staging: Staging::default(),
            kernels: Kernels::new(cache),
            wait: std::env::var_os("FP8_CUDA_WAIT").is_some_and(|value| value != "0"),
            last: Mutex::new("none"),
            context,
        }))
    }

    /// Makes the context that of this thread.
    pub fn bind(&self) -> KernelResult<()> {
        self.told(self.context.bind_to_thread().context(|| "taking up the card in a thread".into()))
    }

    /// Waits until all has been computed.
    pub fn synchronize(&self) -> KernelResult<()> {
        self.bind()?;
        self.told(self.stream.synchronize().context(|| self.computing()))
    }

    /// What the card does while it is waited for, as in messages.
    pub fn computing(&self) -> String {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let which = if self.wait { "the kernel was" } else { "FP8_CUDA_WAIT=1 finds the kernel; the last started was" };
        format!("computing ({which} {last})")
    }

    /// Remembers a kernel that was started, and waits for it where that was asked for.
    pub fn started(&self, kernel: &'static str) -> KernelResult<()> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = kernel;
        if self.wait { self.synchronize() } else { Ok(()) }
    }

    /// An error of this card, in the terms of a backend.
    pub fn told<T>(&self, result: Result<T>) -> KernelResult<T> {
        result.map_err(|error| self.failed(error.to_string()))
    }

    pub fn failed(&self, reason: String) -> KernelError {
        KernelError::Backend { backend: self.name.clone(), reason }
    }
}

/// Bytes of shared memory that a block may have, of the generations before 9.0.
fn shared_of_older(capability: (u32, u32)) -> u32 {
    if matches!(capability, (8, 0 | 7)) { 163 << 10 } else { 99 << 10 }
}

/// What kernels are compiled for. `a`: with the instructions that only this generation has.
pub(crate) fn architecture((major, minor): (u32, u32)) -> String {
    format!("sm_{major}{minor}{}", if major >= 9 { "a" } else { "" })
}

/// Freed memory stays with the program: it serves the next buffer without asking the system.
fn keep_freed_memory(context: &CudaContext) -> std::result::Result<(), cudarc::driver::DriverError> {
    context.bind_to_thread()?;
    let mut most = u64::MAX;
    let threshold = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    // SAFETY: the pool is that of an open device; the attribute is a 64-bit number.
    unsafe {
        let pool = result::device::get_default_mem_pool(context.cu_device())?;
        result::mem_pool::set_attribute(pool, threshold, (&raw mut most).cast())
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // Work that still runs uses modules and memory that are about to go. An error has no one to be told to.
        if self.context.bind_to_thread().is_ok() {
            let _ = self.stream.synchronize();
            let _ = self.memory.free(self);
            self.staging.free();
        }
    }
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Device").field("name", &self.name).field("architecture", &self.architecture).finish()
    }
}
