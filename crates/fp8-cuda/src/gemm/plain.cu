// C (rows, columns) = epilogue(A B) for factors of any type and kind, with the CPU's order of sums: blocks of BLOCK k, in each fused multiply-adds in ascending
// order from zero, blocks added in ascending order. A block of threads computes TILE x TILE elements, a thread 4 x 4 of them.
#include "epilogue.cuh"
#include "lines.cuh"

const u32 BLOCK = 576, TILE = 64, STEP = 16;

struct Size {
    u32 rows, columns, k;
    // Whether neighbours of a factor in memory are neighbours along k.
    u32 a_along_k, b_along_k;
};

// STEP k of TILE lines from `first` on, zeros past the ends: each thread its share.
template <class T, class Lines>
__device__ inline void load(float (&tile)[STEP][TILE + 4], const Lines& lines, const typename T::Code* codes, u32 first, u32 end, u32 k, u32 k_end, bool along_k) {
    for (u32 i = threadIdx.x; i < TILE * STEP; i += blockDim.x) {
        u32 line = along_k ? i / STEP : i % TILE, step = along_k ? i % STEP : i / TILE;
        bool inside = first + line < end && k + step < k_end;
        tile[step][line] = inside ? element<T>(lines, codes, first + line, k + step) : 0;
    }
}

// The sums of one block of k, to `sums`.
template <class T, class U, class LinesA, class LinesB>
__device__ inline void block_sums(const Size& size, const LinesA& lines_a, const typename T::Code* a, const LinesB& lines_b, const typename U::Code* b, u32 block, float (&sums)[4][4]) {
    __shared__ float tile_a[STEP][TILE + 4], tile_b[STEP][TILE + 4];
    u32 row = threadIdx.x / 16 * 4, column = threadIdx.x % 16 * 4;
    u32 end = min(size.k, (block + 1) * BLOCK);
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) sums[i][j] = 0;
    for (u32 k = block * BLOCK; k < end; k += STEP) {
        load<T>(tile_a, lines_a, a, blockIdx.y * TILE, size.rows, k, end, size.a_along_k);
        load<U>(tile_b, lines_b, b, blockIdx.x * TILE, size.columns, k, end, size.b_along_k);
        __syncthreads();
        u32 steps = min(STEP, end - k);
        for (u32 step = 0; step < steps; step++) {
            float left[4], right[4];
            for (int i = 0; i < 4; i++) left[i] = tile_a[step][row + i], right[i] = tile_b[step][column + i];
            for (int i = 0; i < 4; i++)
                for (int j = 0; j < 4; j++) sums[i][j] = __fmaf_rn(left[i], right[j], sums[i][j]);
        }
        __syncthreads();
    }
}

// Calls `write` with the row, the column and the place in a thread's sums of each of its elements.
template <class F>
__device__ inline void each(const Size& size, F write) {
    for (u32 i = 0; i < 4; i++) {
        u32 row = blockIdx.y * TILE + threadIdx.x / 16 * 4 + i;
        for (u32 j = 0; j < 4; j++) {
            u32 column = blockIdx.x * TILE + threadIdx.x % 16 * 4 + j;
            if (row < size.rows && column < size.columns) write(row, column, i, j);
        }
    }
}

extern "C" __global__ void __launch_bounds__(256) whole(Size size, LINES_A lines_a, const A::Code* a, LINES_B lines_b, const B::Code* b, Rows rows, Epilogue epilogue, Y::Code* y) {
    float totals[4][4] = {}, sums[4][4];
    for (u32 block = 0; block * BLOCK < size.k; block++) {
        block_sums<A, B>(size, lines_a, a, lines_b, b, block, sums);
        for (int i = 0; i < 4; i++)
            for (int j = 0; j < 4; j++) totals[i][j] = block == 0 ? sums[i][j] : totals[i][j] + sums[i][j];
    }
    each(size, [&](u32 row, u32 column, u32 i, u32 j) {
        u64 index = u64(rows.place(row)) * size.columns + column;
        y[index] = encode_at<Y, Y_ROUNDING>(epilogue.store, finished<R>(epilogue, totals[i][j], index, column), index);
    });
}

// parts (z, rows, columns): the sums of blocks first_block + z.
extern "C" __global__ void __launch_bounds__(256) parts(Size size, LINES_A lines_a, const A::Code* a, LINES_B lines_b, const B::Code* b, u32 first_block, float* parts) {
    float sums[4][4];
    block_sums<A, B>(size, lines_a, a, lines_b, b, first_block + blockIdx.z, sums);
    each(size, [&](u32 row, u32 column, u32 i, u32 j) {
        parts[(u64(blockIdx.z) * size.rows + row) * size.columns + column] = sums[i][j];
    });
}
