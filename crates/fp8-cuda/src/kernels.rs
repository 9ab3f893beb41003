//! Kernels: sources beside their launchers, compiled for the types they are used with, started with arguments that are checked against their signature.

use std::collections::HashMap;
use std::ffi::{CString, c_void};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use cudarc::driver::{DriverError, result, sys};
use fp8_kernels::Result as KernelResult;

use crate::cache::Cache;
use crate::device::Device;
use crate::error::{Context, Error, Result};
use crate::nvrtc::{Nvrtc, Unit};

/// A .cu file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    /// As in messages.
    pub name: &'static str,
    /// Its text.
    pub text: &'static str,
}

/// The source of this path below `src/`.
macro_rules! source {
    ($path:literal) => {
        $crate::kernels::Source { name: $path, text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/", $path)) }
    };
}
pub(crate) use source;

/// What sources may include.
pub(crate) const HEADERS: &[(&str, &str)] = &[
    ("approximate.cuh", include_str!("codec/approximate.cuh")),
    ("codec.cuh", include_str!("codec/codec.cuh")),
    ("eight_codes.cuh", include_str!("codec/eight_codes.cuh")),
    ("instructions.cuh", include_str!("codec/instructions.cuh")),
    ("math.cuh", include_str!("codec/math.cuh")),
    ("philox.cuh", include_str!("codec/philox.cuh")),
    ("warp.cuh", include_str!("codec/warp.cuh")),
    ("additive.cuh", include_str!("additive_attention/additive.cuh")),
    ("attention.cuh", include_str!("attention/attention.cuh")),
    ("tiles.cuh", include_str!("attention/tiles.cuh")),
    ("loss.cuh", include_str!("cross_entropy/loss.cuh")),
    ("eight.cuh", include_str!("elementwise/eight.cuh")),
    ("octets.cuh", include_str!("elementwise/octets.cuh")),
    ("hopper.cuh", include_str!("gemm/hopper.cuh")),
    ("epilogue.cuh", include_str!("gemm/epilogue.cuh")),
    ("mma.cuh", include_str!("gemm/mma.cuh")),
    ("pairs.cuh", include_str!("gemm/pairs.cuh")),
    ("lines.cuh", include_str!("gemm/lines.cuh")),
    ("recurrent.cuh", include_str!("lstm/recurrent.cuh")),
    ("pool.cuh", include_str!("pool/pool.cuh")),
    ("columns.cuh", include_str!("reduce/columns.cuh")),
    ("lanes.cuh", include_str!("reduce/lanes.cuh")),
];

/// Options of every kernel: results are those of IEEE 754, operation by operation, as on the CPU. Kernels fuse where they say so.
const OPTIONS: [&str; 5] = ["--std=c++17", "--fmad=false", "--ftz=false", "--prec-div=true", "--prec-sqrt=true"];

/// What a source is compiled with: names and values of its macros.
pub(crate) type Defines<'a> = &'a [(&'static str, &'a str)];

/// The machine code of a source.
pub(crate) fn compile(nvrtc: &Nvrtc, source: &Source, defines: Defines<'_>, architecture: &str) -> Result<Vec<u8>> {
    let options = options(defines);
    let unit = Unit { name: source.name, text: source.text, headers: HEADERS, architecture, options: &options };
    nvrtc.compile(&unit)
}

fn options(defines: Defines<'_>) -> Vec<String> {
    let defines = defines.iter().map(|(name, value)| format!("-D{name}={value}"));
    OPTIONS.into_iter().map(String::from).chain(defines).collect()
}

/// A function of a loaded module.
pub(crate) struct Kernel {
    name: &'static str,
    function: sys::CUfunction,
    /// Bytes of each parameter.
    parameters: Vec<usize>,
}

// SAFETY: a handle; the driver's functions on it may be called from any thread.
unsafe impl Send for Kernel {}
// SAFETY: as above.
unsafe impl Sync for Kernel {}

/// The most arguments that a kernel has.
const MOST_ARGUMENTS: usize = 32;

/// How the driver starts a function: with blocks, threads, shared memory, stream and arguments.
///
/// # Safety
/// Number and sizes of the arguments are those of the function.
type Launch = unsafe fn(
    sys::CUfunction,
    (u32, u32, u32),
    (u32, u32, u32),
    u32,
    sys::CUstream,
    &mut [*mut c_void],
) -> std::result::Result<(), DriverError>;

/// Blocks, threads of each, and bytes of dynamic shared memory of each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    pub blocks: [u32; 3],
    pub threads: u32,
    pub shared: u32,
}

impl Grid {
    /// Threads of a block of kernels that need no other number.
    pub const THREADS: u32 = 256;

    /// At least `threads` threads, in a row.
    pub fn over(threads: usize) -> Self {
        Self::blocks([threads.div_ceil(Self::THREADS as usize) as u32, 1, 1])
    }

    /// Blocks of [`Self::THREADS`].
    pub const fn blocks(blocks: [u32; 3]) -> Self {
        Self { blocks, threads: Self::THREADS, shared: 0 }
    }
}

/// A value that a kernel takes.
///
/// # Safety
/// The kernel's parameter has the same layout.
pub(crate) unsafe trait Argument {
    /// Where the value stands.
    fn value(&self) -> *const c_void {
        (&raw const *self).cast()
    }

    /// Its size.
    fn bytes(&self) -> usize {
        size_of_val(self)
    }
}

// SAFETY: the layout of both sides is that of the C type.
unsafe impl Argument for u32 {}
// SAFETY: as above.
unsafe impl Argument for u64 {}
// SAFETY: as above.
unsafe impl Argument for f32 {}

impl Device {
    /// The function `name` of a source compiled with `defines`: loaded, or from the cache, or compiled.
    pub fn kernel(&self, source: &Source, name: &'static str, defines: Defines<'_>) -> KernelResult<Arc<Kernel>> {
        let key = key(source, name, defines);
        let is_it = |loaded: &&Loaded| loaded.is(source, name, defines);
        if let Some(loaded) = self.kernels.loaded().get(&key).and_then(|all| all.iter().find(is_it)) {
            return Ok(loaded.kernel.clone());
        }
        let kernel = Arc::new(self.told(self.load(source, name, defines))?);
        let owned = defines.iter().map(|(name, value)| (*name, value.to_string())).collect();
        let loaded = Loaded { source: source.name, name, defines: owned, kernel: kernel.clone() };
        self.kernels.loaded().entry(key).or_default().push(loaded);
        Ok(kernel)
    }

    fn load(&self, source: &Source, name: &'static str, defines: Defines<'_>) -> Result<Kernel> {
        let image = self.kernels.image(source, defines, &self.architecture)?;
        let loading = || format!("loading {name} of {}", source.name);
        self.context.bind_to_thread().context(loading)?;
        // SAFETY: the image is what NVRTC made for this architecture; the module stays loaded as long as the context.
        unsafe {
            let module = result::module::load_data(image.as_ptr().cast()).context(loading)?;
            let c_name = CString::new(name).unwrap_or_default();
            let function = result::module::get_function(module, c_name).context(loading)?;
            self.allow_shared(function).context(loading)?;
            Ok(Kernel { name, function, parameters: parameters(function) })
        }
    }

    /// Lets a function have all the dynamic shared memory that the card has for a block.
    ///
    /// # Safety
    /// The function is loaded.
    unsafe fn allow_shared(&self, function: sys::CUfunction) -> std::result::Result<(), DriverError> {
        use sys::CUfunction_attribute_enum as Attribute;
        let mut fixed = 0;
        // SAFETY: the function is loaded.
        unsafe {
            sys::cuFuncGetAttribute(&mut fixed, Attribute::CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES, function).result()?;
            let most = self.shared as i32 - fixed;
            let attribute = Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            result::function::set_function_attribute(function, attribute, most)
        }
    }

    /// How many blocks of a kernel the card runs at a time; none where one asks for more shared memory than there is.
    pub fn resident(&self, kernel: &Kernel, Grid { threads, shared, .. }: Grid) -> KernelResult<u32> {
        if shared > self.shared {
            return Ok(0);
        }
        self.bind()?;
        let mut blocks = 0;
        // SAFETY: the function is loaded.
        let asked = unsafe {
            let (threads, shared) = (threads as i32, shared as usize);
            sys::cuOccupancyMaxActiveBlocksPerMultiprocessor(&mut blocks, kernel.function, threads, shared).result()
        };
        self.told(asked.context(|| format!("asking how many blocks of {} run at a time", kernel.name)))?;
        Ok(blocks as u32 * self.multiprocessors)
    }

    /// Starts a kernel; it runs when what was started before has ended.
    ///
    /// # Errors
    /// Where the driver refuses, and where the arguments are not those of the kernel's signature.
    pub fn launch(&self, kernel: &Kernel, grid: Grid, arguments: &[&dyn Argument]) -> KernelResult<()> {
        self.start(kernel, grid, arguments, result::launch_kernel)
    }

    /// The same of a kernel whose blocks wait for each other: all run at a time, or the driver refuses.
    ///
    /// # Errors
    /// As [`Device::launch`], and where the blocks are more than [`Device::resident`].
    pub fn launch_together(&self, kernel: &Kernel, grid: Grid, arguments: &[&dyn Argument]) -> KernelResult<()> {
        self.start(kernel, grid, arguments, result::launch_cooperative_kernel)
    }

    fn start(&self, kernel: &Kernel, grid: Grid, arguments: &[&dyn Argument], how: Launch) -> KernelResult<()> {
        // No vector, no lock but one: this is done thousands of times a second.
        let mut values = [std::ptr::null_mut(); MOST_ARGUMENTS];
        let found = || arguments.iter().map(|argument| argument.bytes());
        if !found().eq(kernel.parameters.iter().copied()) || arguments.len() > values.len() {
            let (Kernel { name, parameters, .. }, found) = (kernel, found().collect::<Vec<_>>());
            return Err(self.failed(format!("{name} takes parameters of {parameters:?} bytes, not {found:?}")));
        }
        if grid.blocks.contains(&0) {
            return Ok(());
        }
        self.bind()?;
        values.iter_mut().zip(arguments).for_each(|(value, argument)| *value = argument.value().cast_mut());
        let (blocks, threads) = (grid.blocks.into(), (grid.threads, 1, 1));
        let stream = self.stream.cu_stream();
        // SAFETY: number and sizes of the arguments are those of the kernel, which the driver copies before it returns.
        let launched =
            unsafe { how(kernel.function, blocks, threads, grid.shared, stream, &mut values[..arguments.len()]) };
        self.told(launched.context(|| format!("starting {} with {grid:?}", kernel.name)))?;
        self.started(kernel.name)
    }
}

/// Bytes of each parameter.
///
/// # Safety
/// The function is loaded.
unsafe fn parameters(function: sys::CUfunction) -> Vec<usize> {
    let size = |index: usize| {
        let (mut offset, mut size) = (0, 0);
        // SAFETY: the function is loaded; the driver refuses an index that is too large.
        unsafe { sys::cuFuncGetParamInfo(function, index, &mut offset, &mut size) }.result().ok().map(|()| size)
    };
    (0..).map_while(size).collect()
}

/// Kernels of one card.
pub(crate) struct Kernels {
    cache: Cache,
    nvrtc: OnceLock<Result<Nvrtc>>,
    /// By [`key`].
    loaded: Mutex<ByKey>,
}

type ByKey = HashMap<u64, Vec<Loaded>>;

/// A kernel and what it was made of.
struct Loaded {
    source: &'static str,
    name: &'static str,
    defines: Vec<(&'static str, String)>,
    kernel: Arc<Kernel>,
}

impl Loaded {
    fn is(&self, source: &Source, name: &str, defines: Defines<'_>) -> bool {
        let same = |((a, x), (b, y)): (&(&str, String), &(&str, &str))| a == b && x == y;
        let number = self.defines.len() == defines.len();
        number && self.name == name && self.source == source.name && self.defines.iter().zip(defines).all(same)
    }
}

/// A number of a source, a function and definitions: FNV-1a, a word at a time.
fn key(source: &Source, name: &str, defines: Defines<'_>) -> u64 {
    let texts = [source.name, name].into_iter().chain(defines.iter().flat_map(|(name, value)| [*name, *value]));
    texts.fold(0xcbf2_9ce4_8422_2325, |key, text| {
        let (words, rest) = text.as_bytes().as_chunks();
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        let words = words.iter().chain([&last]).map(|word| u64::from_le_bytes(*word));
        words.chain([text.len() as u64]).fold(key, |key, word| (key ^ word).wrapping_mul(0x0000_0100_0000_01b3))
    })
}

impl Kernels {
    pub fn new(cache: Cache) -> Self {
        Self { cache, nvrtc: OnceLock::new(), loaded: Mutex::default() }
    }

    fn loaded(&self) -> std::sync::MutexGuard<'_, ByKey> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From the cache, or compiled.
    fn image(&self, source: &Source, defines: Defines<'_>, architecture: &str) -> Result<Vec<u8>> {
        let options = options(defines).join("\n");
        let texts = HEADERS.iter().flat_map(|(name, text)| [*name, *text]);
        let key: Vec<&str> = [source.name, source.text, &options, architecture].into_iter().chain(texts).collect();
        self.cache.get(&key, || {
            tracing::info!("compiling {} for {architecture}: {defines:?}", source.name);
            match self.nvrtc.get_or_init(Nvrtc::find) {
                Ok(nvrtc) => compile(nvrtc, source, defines, architecture),
                Err(error) => Err(Error::clone(error)),
            }
        })
    }
}
