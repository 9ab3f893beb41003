//! Tensors as bulk copies of Hopper see them: what the driver makes of address, shape, box and swizzle.

use cudarc::driver::sys;
use fp8_kernels::{DType, Result};

use super::lines::Patches;
use crate::device::Device;
use crate::kernels::Argument;
use crate::operand::Operand;

/// `TensorMap` of hopper.cuh.
#[derive(Clone, Copy)]
pub(crate) struct Map(sys::CUtensorMap);

// SAFETY: the layout is that of the C struct.
unsafe impl Argument for Map {}

impl Map {
    /// For copies of boxes of a matrix `[inner, outer]` whose rows are `pitch` elements apart. `swizzle`: over how many bytes the box's rows, as long, are
    /// swizzled.
    pub fn of_matrix(
        device: &Device,
        operand: Operand,
        size: [usize; 2],
        pitch: usize,
        box_size: [usize; 2],
        swizzle: Option<usize>,
    ) -> Result<Self> {
        Self::tiled(device, operand, size, [pitch], box_size, swizzle)
    }

    /// The same of a matrix whose rows, a multiple of `4 * run`, are taken in another order: of each so many, `run * b + 2 * a + e` becomes `8 * a + 2 * b + e`.
    pub fn of_runs(
        device: &Device,
        operand: Operand,
        [inner, outer]: [usize; 2],
        pitch: usize,
        [box_inner, box_outer]: [usize; 2],
        swizzle: Option<usize>,
        run: usize,
    ) -> Result<Self> {
        let size = [inner, 2, 4, run / 2, outer / (4 * run)];
        let pitches = [1, run, 2, 4 * run].map(|rows| rows * pitch);
        let box_size = [box_inner, 2, 4, run / 2, box_outer / (4 * run)];
        Self::tiled(device, operand, size, pitches, box_size, swizzle)
    }

    /// `pitches`: elements from one to the next in all directions but the first.
    fn tiled<const RANK: usize, const PITCHES: usize>(
        device: &Device,
        operand: Operand,
        size: [usize; RANK],
        pitches: [usize; PITCHES],
        box_size: [usize; RANK],
        swizzle: Option<usize>,
    ) -> Result<Self> {
        const { assert!(RANK == PITCHES + 1, "the first direction has no pitch") };
        let element_size = operand.dtype.map_or(1, DType::size);
        let (size, strides) = (size.map(|size| size as u64), pitches.map(|pitch| (pitch * element_size) as u64));
        let (box_size, steps) = (box_size.map(|size| size as u32), [1_u32; RANK]);
        let mut map = Self::empty();
        // SAFETY: all arrays have the rank's length; the driver checks what is in them.
        let status = unsafe {
            sys::cuTensorMapEncodeTiled(
                &mut map.0,
                element(operand.dtype),
                RANK as u32,
                operand.address as *mut _,
                size.as_ptr(),
                strides.as_ptr(),
                box_size.as_ptr(),
                steps.as_ptr(),
                sys::CUtensorMapInterleave::CU_TENSOR_MAP_INTERLEAVE_NONE,
                kind_of(swizzle),
                sys::CUtensorMapL2promotion::CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                sys::CUtensorMapFloatOOBfill::CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
            )
        };
        map.made(device, status, || format!("a matrix {size:?}, boxes of {box_size:?}"))
    }

    /// For copies of `[channels, pixels]` of windows that begin at `pixels` pixels in all.
    pub fn of_windows(
        device: &Device,
        patches: &Patches,
        operand: Operand,
        pixels: usize,
        box_size: [usize; 2],
        swizzle: Option<usize>,
    ) -> Result<Self> {
        let size = operand.dtype.map_or(1, DType::size);
        let [grid_y, grid_x] = patches.grid.map(|grid| grid.divisor());
        let channels = patches.channels.divisor();
        let (height, width) = (patches.height as usize, patches.width as usize);
        let dims = [channels, width, height, pixels / (grid_y * grid_x)].map(|dim| dim as u64);
        let strides = [channels * size, width * channels * size, height * width * channels * size];
        let strides = strides.map(|stride| stride as u64);
        let [corner_y, corner_x] = patches.corner;
        let [step_y, step_x] = patches.step;
        let last = |corner: i32, grid: usize, step: i32, size: i32| corner + (grid as i32 - 1) * step + 1 - size;
        let lower = [corner_x, corner_y];
        let upper = [last(corner_x, grid_x, step_x, patches.width), last(corner_y, grid_y, step_y, patches.height)];
        let steps = [1, step_x as u32, step_y as u32, 1];
        let mut map = Self::empty();
        // SAFETY: all arrays have the rank's length; the driver checks what is in them.
        let status = unsafe {
            sys::cuTensorMapEncodeIm2col(
                &mut map.0,
                element(operand.dtype),
                4,
                operand.address as *mut _,
                dims.as_ptr(),
                strides.as_ptr(),
                lower.as_ptr(),
                upper.as_ptr(),
                box_size[0] as u32,
                box_size[1] as u32,
                steps.as_ptr(),
                sys::CUtensorMapInterleave::CU_TENSOR_MAP_INTERLEAVE_NONE,
                kind_of(swizzle),
                sys::CUtensorMapL2promotion::CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                sys::CUtensorMapFloatOOBfill::CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
            )
        };
        map.made(device, status, || format!("images {dims:?}, corners {lower:?} and {upper:?}, steps {steps:?}"))
    }

    fn empty() -> Self {
        Self(sys::CUtensorMap { opaque: [0; 16] })
    }

    fn made(self, device: &Device, status: sys::CUresult, what: impl Fn() -> String) -> Result<Self> {
        match status {
            sys::CUresult::CUDA_SUCCESS => Ok(self),
            status => Err(device.failed(format!("the driver describes no copies of {}: {status:?}", what()))),
        }
    }
}

fn element(dtype: Option<DType>) -> sys::CUtensorMapDataType {
    use sys::CUtensorMapDataType as Type;
    match dtype {
        Some(DType::F32) => Type::CU_TENSOR_MAP_DATA_TYPE_FLOAT32,
        Some(DType::F16) => Type::CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
        Some(DType::Bf16) => Type::CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
        _ => Type::CU_TENSOR_MAP_DATA_TYPE_UINT8,
    }
}

fn kind_of(swizzle: Option<usize>) -> sys::CUtensorMapSwizzle {
    match swizzle {
        None => sys::CUtensorMapSwizzle::CU_TENSOR_MAP_SWIZZLE_NONE,
        Some(64) => sys::CUtensorMapSwizzle::CU_TENSOR_MAP_SWIZZLE_64B,
        Some(_) => sys::CUtensorMapSwizzle::CU_TENSOR_MAP_SWIZZLE_128B,
    }
}
