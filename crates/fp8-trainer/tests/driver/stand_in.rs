//! A library in the place of NVIDIA's driver that fails as `STAND_IN` says, for tests of what is told then. It computes nothing.
#![allow(non_snake_case, reason = "the driver's names")]

use std::ffi::{c_char, c_int, c_uint, c_void};
use std::ptr::null_mut;

/// A number of `CUresult`, its name and what it means.
type Failure = (c_int, &'static [u8], &'static [u8]);

const FAILURES: [Failure; 4] = [
    (2, b"CUDA_ERROR_OUT_OF_MEMORY\0", b"out of memory\0"),
    (100, b"CUDA_ERROR_NO_DEVICE\0", b"no CUDA-capable device is detected\0"),
    (700, b"CUDA_ERROR_ILLEGAL_ADDRESS\0", b"an illegal memory access was encountered\0"),
    (803, b"CUDA_ERROR_SYSTEM_DRIVER_MISMATCH\0", b"system has unsupported display driver / cuda driver combination\0"),
];

fn is(what: &str) -> bool {
    std::env::var("STAND_IN").is_ok_and(|mode| mode == what)
}

/// `number` where the mode is this one.
fn fails(what: &str, number: c_int) -> c_int {
    if is(what) { number } else { 0 }
}

/// Writes a result.
fn give<T>(place: *mut T, value: T) -> c_int {
    // SAFETY: the caller gives a place for it.
    unsafe { place.write(value) };
    0
}

/// Any address that is not 0.
fn something<T>() -> *mut T {
    std::ptr::dangling_mut()
}

fn text(number: c_int, place: *mut *const c_char, pick: fn(&Failure) -> &'static [u8]) -> c_int {
    match FAILURES.iter().find(|failure| failure.0 == number) {
        Some(failure) => give(place, pick(failure).as_ptr().cast()),
        None => 1,
    }
}

#[unsafe(no_mangle)]
extern "C" fn cuGetErrorName(number: c_int, name: *mut *const c_char) -> c_int {
    text(number, name, |failure| failure.1)
}

#[unsafe(no_mangle)]
extern "C" fn cuGetErrorString(number: c_int, string: *mut *const c_char) -> c_int {
    text(number, string, |failure| failure.2)
}

#[unsafe(no_mangle)]
extern "C" fn cuDriverGetVersion(version: *mut c_int) -> c_int {
    give(version, if is("old driver") { 11_040 } else { 13_000 })
}

#[unsafe(no_mangle)]
extern "C" fn cuInit(_flags: c_uint) -> c_int {
    fails("no card", 100) + fails("mismatch", 803)
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGetCount(count: *mut c_int) -> c_int {
    give(count, 1)
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGet(device: *mut c_int, ordinal: c_int) -> c_int {
    give(device, ordinal)
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGetName(name: *mut c_char, len: c_int, _device: c_int) -> c_int {
    let text = b"Stand-in\0";
    assert!(len as usize >= text.len());
    // SAFETY: the caller has room for `len`.
    unsafe { name.copy_from_nonoverlapping(text.as_ptr().cast(), text.len()) };
    0
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGetAttribute(value: *mut c_int, attribute: c_int, _device: c_int) -> c_int {
    give(
        value,
        match attribute {
            // Multiprocessors; compute capability, major and minor; shared memory of a block; memory pools.
            16 => 80,
            75 if is("old card") => 7,
            75 => 8,
            76 if is("old card") => 5,
            97 => 99 << 10,
            115 => 1,
            _ => 0,
        },
    )
}

#[unsafe(no_mangle)]
extern "C" fn cuDevicePrimaryCtxRetain(context: *mut *mut c_void, _device: c_int) -> c_int {
    give(context, something())
}

#[unsafe(no_mangle)]
extern "C" fn cuDevicePrimaryCtxRelease_v2(_device: c_int) -> c_int {
    0
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxSetCurrent(_context: *mut c_void) -> c_int {
    0
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxGetCurrent(context: *mut *mut c_void) -> c_int {
    give(context, null_mut())
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGetDefaultMemPool(pool: *mut *mut c_void, _device: c_int) -> c_int {
    give(pool, something())
}

#[unsafe(no_mangle)]
extern "C" fn cuMemPoolSetAttribute(_pool: *mut c_void, _attribute: c_int, _value: *mut c_void) -> c_int {
    0
}

#[unsafe(no_mangle)]
extern "C" fn cuMemPoolTrimTo(_pool: *mut c_void, _bytes: usize) -> c_int {
    0
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamCreate(stream: *mut *mut c_void, _flags: c_uint) -> c_int {
    give(stream, something())
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamDestroy_v2(_stream: *mut c_void) -> c_int {
    0
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamSynchronize(_stream: *mut c_void) -> c_int {
    fails("failed kernel", 700)
}

#[unsafe(no_mangle)]
extern "C" fn cuMemAllocAsync(address: *mut u64, _bytes: usize, _stream: *mut c_void) -> c_int {
    if is("full") { 2 } else { give(address, 256) }
}

#[unsafe(no_mangle)]
extern "C" fn cuMemFreeAsync(_address: u64, _stream: *mut c_void) -> c_int {
    fails("failed kernel", 700)
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxSynchronize() -> c_int {
    0
}

#[unsafe(no_mangle)]
extern "C" fn cuMemHostAlloc(place: *mut *mut c_void, bytes: usize, _flags: c_uint) -> c_int {
    give(place, Box::leak(vec![0_u8; bytes].into_boxed_slice()).as_mut_ptr().cast())
}

#[unsafe(no_mangle)]
extern "C" fn cuMemFreeHost(_place: *mut c_void) -> c_int {
    0
}

#[unsafe(no_mangle)]
extern "C" fn cuEventCreate(event: *mut *mut c_void, _flags: c_uint) -> c_int {
    give(event, something())
}

#[unsafe(no_mangle)]
extern "C" fn cuEventDestroy_v2(_event: *mut c_void) -> c_int {
    0
}

#[unsafe(no_mangle)]
extern "C" fn cuEventRecord(_event: *mut c_void, _stream: *mut c_void) -> c_int {
    0
}

#[unsafe(no_mangle)]
extern "C" fn cuEventQuery(_event: *mut c_void) -> c_int {
    0
}

#[unsafe(no_mangle)]
extern "C" fn cuEventSynchronize(_event: *mut c_void) -> c_int {
    fails("failed kernel", 700)
}

#[unsafe(no_mangle)]
extern "C" fn cuMemcpyHtoDAsync_v2(_to: u64, _from: *const c_void, _bytes: usize, _stream: *mut c_void) -> c_int {
    // What every call says once a kernel has failed.
    fails("failed kernel", 700)
}
