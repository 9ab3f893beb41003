// C (rows, columns) = epilogue(A B) on the tensor cores of any card, for factors of any types that 16 bits hold exactly, or of codes that a card multiplies as they are,
// and any kinds of lines, whichever way they lie in memory. A block of threads computes TILE x TILE elements, a warp 64 x 32 of them; while one step of k is multiplied,
// the next is on its way.
#include "mma.cuh"
#include "pairs.cuh"

struct Size {
    u32 rows, columns, k;
    // k of a part: a multiple of STEP.
    u32 k_of_part;
};

// Sums of a warp: (4 x 16 rows) x (4 x 8 columns), as tensor cores leave them.
typedef float Sums[4][4][4];

// k of one instruction; instructions whose sum is the tensor cores' own, before an FP32 register adds it. SUMS 0: all; 1: each; 2: those of a step.
const u32 DEPTH = STEP / 2, TOGETHER = SUMS == 2 ? 2 : 1;

__device__ inline void multiply_step(Sums& sums, const Multiplied* a, const Multiplied* b) {
    constexpr u32 HALF_DEPTH = DEPTH / 2;
    u32 warp = threadIdx.x / 32, matrix = threadIdx.x % 32 / 8;
#pragma unroll
    for (u32 k = 0; k < STEP; k += TOGETHER * DEPTH) {
        u32 left[TOGETHER][4][4], right[TOGETHER][2][4];
#pragma unroll
        for (u32 n = 0; n < TOGETHER; n++) {
#pragma unroll
            for (u32 i = 0; i < 4; i++) load_words<A_ALONG_K>(left[n][i], a, warp / 4 * 64 + i * 16 + matrix % 2 * 8, k + n * DEPTH + matrix / 2 * HALF_DEPTH);
#pragma unroll
            for (u32 j = 0; j < 2; j++) load_words<B_ALONG_K>(right[n][j], b, warp % 4 * 32 + j * 16 + matrix / 2 * 8, k + n * DEPTH + matrix % 2 * HALF_DEPTH);
        }
#pragma unroll
        for (u32 i = 0; i < 4; i++)
#pragma unroll
            for (u32 j = 0; j < 4; j++) {
                float apart[4] = {};
                float(&to)[4] = SUMS == 0 ? sums[i][j] : apart;
#pragma unroll
                for (u32 n = 0; n < TOGETHER; n++) multiply<LEFT, RIGHT>(to, left[n][i], right[n][j / 2][j % 2 * 2], right[n][j / 2][j % 2 * 2 + 1]);
#pragma unroll
                for (u32 e = 0; SUMS != 0 && e < 4; e++) sums[i][j][e] += apart[e];
            }
    }
}

// The sums over k .. k_end.
__device__ inline void sum(Sums& sums, Multiplied* tiles, const Size& size, const LINES_A& lines_a, const A::Code* a, const LINES_B& lines_b, const B::Code* b, u32 k, u32 k_end) {
    u32 row = blockIdx.x * TILE, column = blockIdx.y * TILE;
    Runs<A, LINES_A, A_ALONG_K, A_WHOLE> left;
    Runs<B, LINES_B, B_ALONG_K, B_WHOLE> right;
#pragma unroll
    for (u32 i = 0; i < 4; i++)
#pragma unroll
        for (u32 j = 0; j < 16; j++) sums[i][j / 4][j % 4] = 0;
    left.fetch(lines_a, a, row, size.rows, k, k_end);
    right.fetch(lines_b, b, column, size.columns, k, k_end);
    for (u32 odd = 0; k < k_end; k += STEP, odd ^= 1) {
        Multiplied *tile_a = tiles + odd * 2 * TILE_LEN, *tile_b = tile_a + TILE_LEN;
        left.keep(tile_a);
        right.keep(tile_b);
        __syncthreads();
        if (k + STEP < k_end) {
            left.fetch(lines_a, a, row, size.rows, k + STEP, k_end);
            right.fetch(lines_b, b, column, size.columns, k + STEP, k_end);
        }
        multiply_step(sums, tile_a, tile_b);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) whole(Size size, LINES_A lines_a, const A::Code* a, LINES_B lines_b, const B::Code* b, Rows rows, Epilogue epilogue, Y::Code* y) {
    extern __shared__ uint4 memory[];
    Multiplied* tiles = reinterpret_cast<Multiplied*>(memory);
    Sums sums;
    sum(sums, tiles, size, lines_a, a, lines_b, b, 0, size.k);
    __syncthreads();
    u32 warp = threadIdx.x / 32;
    float* room = reinterpret_cast<float*>(tiles) + warp * pairs_room(32);
    // Once in the code, as it is long: the registers are picked by comparing.
#pragma unroll 1
    for (u32 i = 0; i < 4; i++) {
        float pairs[16];
#pragma unroll
        for (u32 known = 0; known < 4; known++)
            if (i == known)
#pragma unroll
                for (u32 j = 0; j < 16; j++) pairs[j] = sums[known][j / 4][j % 4];
        u32 row = blockIdx.x * TILE + warp / 4 * 64 + i * 16, column = blockIdx.y * TILE + warp % 4 * 32;
        store_pairs<R, Y, Y_ROUNDING, false, 32>(pairs, room, PairsRows(rows, row, size.rows, size.columns), column, size.columns, epilogue, y);
    }
}

// parts (z, rows, columns): the sums of k_of_part k.
extern "C" __global__ void __launch_bounds__(THREADS) parts(Size size, LINES_A lines_a, const A::Code* a, LINES_B lines_b, const B::Code* b, float* parts) {
    extern __shared__ uint4 memory[];
    Multiplied* tiles = reinterpret_cast<Multiplied*>(memory);
    Sums sums;
    u32 k = blockIdx.z * size.k_of_part;
    sum(sums, tiles, size, lines_a, a, lines_b, b, k, min(size.k, k + size.k_of_part));
    u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    parts += u64(blockIdx.z) * size.rows * size.columns;
#pragma unroll
    for (u32 i = 0; i < 4; i++)
#pragma unroll
        for (u32 j = 0; j < 16; j++) {
            u32 row = blockIdx.x * TILE + warp / 4 * 64 + i * 16 + lane / 4 + j % 4 / 2 * 8;
            u32 column = blockIdx.y * TILE + warp % 4 * 32 + j / 4 * 8 + lane % 4 * 2 + j % 2;
            if (row < size.rows && column < size.columns) parts[u64(row) * size.columns + column] = sums[i][j / 4][j % 4];
        }
}
