// The steps of an LSTM on tensor cores, for a state, errors and recurrent weights in E5M2. A block has ROWS sequences and UNITS of the state; all steps of a
// launch run in one kernel, in which a warp keeps its part of the weights in registers, and blocks that share sequences wait for each other between steps.
#pragma once
#include "approximate.cuh"
#include "warp.cuh"

// Steps whose last cell state is kept.
const u32 SEGMENT = 8;
const u32 ROWS = 32, UNITS = 32, THREADS = 256, WARPS = 8, GATES = 4;
// k that a warp sums: of 4 gates two warps each share the state, or eight the gates' errors.
const u32 DEPTH = HIDDEN / 2;
// k whose copies are awaited together.
const u32 GROUP = DEPTH % 128 == 0 ? 128 : 64, GROUPS = DEPTH / GROUP;

// Bytes from line to line in shared memory, so that eight lanes that read 16 bytes each, four of one line, meet no bank twice.
__device__ constexpr u32 pitch(u32 width) { return width % 128 == 0 ? width + 64 : width; }

struct Steps {
    u32 batch, steps, reverse;
    // The steps of this launch, in the order in which they are computed, and its first sequence.
    u32 first, end, first_row;
    // Of the products.
    float factor;
    u32 unused;
    // Steps of each sequence, or null.
    const u32* lengths;

    __device__ u32 time(u32 i) const { return reverse ? steps - 1 - i : i; }
    // The earliest time of this launch.
    __device__ u32 first_time() const { return reverse ? steps - end : first; }
    __device__ bool ended(u32 row, u32 time) const { return lengths && time >= lengths[row]; }
    // Elements of the state.
    __device__ u64 state() const { return u64(batch) * HIDDEN; }
};

// Four floats, or codes, that stand together.
template <class C>
struct alignas(4 * sizeof(C)) Four {
    C of[4];
};

__device__ inline Four<float> zeros() { return {0, 0, 0, 0}; }

template <class C>
__device__ inline const Four<C>& four(const C* at) {
    return *reinterpret_cast<const Four<C>*>(at);
}

// Random bits of four elements from `index`, a multiple of four, on.
struct Draws {
    u32 words[2];

    __device__ void draw(const Stream& stream, u64 index) {
        if constexpr (Y_ROUNDING == SR) {
            uint4 block = philox(stream, index / 8);
            words[0] = index % 8 ? block.z : block.x, words[1] = index % 8 ? block.w : block.y;
        }
    }
};

// Their codes.
__device__ inline u32 encode4(const Store& store, const Four<float>& values, const Draws& draws, u64 index) {
    u32 codes = 0;
#pragma unroll
    for (u32 j = 0; j < 4; j++) {
        u32 random = Y_ROUNDING == SR ? draws.words[j / 2] >> (16 * (j % 2)) & 0xFFFF : Y_ROUNDING == SR_WIDE ? draw32(store.random, index + j) : 0;
        codes |= u32(encode<E5M2, Y_ROUNDING>(store, canonical(values.of[j]), random)) << (8 * j);
    }
    return codes;
}

// A warp's part of the weights: 32 lines of DEPTH codes. A word has four k; which they are does not matter where both factors agree: a lane takes 16
// codes in a row of each line, for four products.
typedef u32 Weights[4][DEPTH / 64][4];

__device__ inline void load(Weights& weights, const u8* lines, u32 step) {
    u32 g = threadIdx.x % 32 / 4, c = threadIdx.x % 4;
#pragma unroll
    for (u32 n = 0; n < 4; n++)
#pragma unroll
        for (u32 q = 0; q < DEPTH / 64; q++) {
            uint4 codes = *reinterpret_cast<const uint4*>(lines + u64(8 * n + g) * step + 64 * q + 16 * c);
            weights[n][q][0] = codes.x, weights[n][q][1] = codes.y, weights[n][q][2] = codes.z, weights[n][q][3] = codes.w;
        }
}

typedef float Sums[2][4][4];

// sums (32, 32) += 64 k from 64 q on of 32 lines in shared memory, times weights.
__device__ inline void add_products(Sums& sums, const u8* lines, u32 line_step, const Weights& weights, u32 q) {
    u32 g = threadIdx.x % 32 / 4, c = threadIdx.x % 4;
    u32 codes[2][2][4];
#pragma unroll
    for (u32 m = 0; m < 4; m++) {
        uint4 sixteen = *reinterpret_cast<const uint4*>(lines + (8 * m + g) * line_step + 64 * q + 16 * c);
        u32(&to)[4] = codes[m / 2][m % 2];
        to[0] = sixteen.x, to[1] = sixteen.y, to[2] = sixteen.z, to[3] = sixteen.w;
    }
#pragma unroll
    for (u32 s = 0; s < 4; s++) {
        u32 left[2][4];
#pragma unroll
        for (u32 m = 0; m < 2; m++) {
            left[m][0] = first_two(codes[m][0][s]), left[m][1] = first_two(codes[m][1][s]);
            left[m][2] = last_two(codes[m][0][s]), left[m][3] = last_two(codes[m][1][s]);
        }
#pragma unroll
        for (u32 n = 0; n < 4; n++) {
            u32 right = first_two(weights[n][q][s]), further = last_two(weights[n][q][s]);
#pragma unroll
            for (u32 m = 0; m < 2; m++) multiply<F16>(sums[m][n], left[m], right, further);
        }
    }
}

// Leaves a warp's sums in shared memory, where lines are `line_step` floats apart: 8 more than a multiple of 32.
__device__ inline void leave(const Sums& sums, float* to, u32 line_step) {
    u32 g = threadIdx.x % 32 / 4, c = threadIdx.x % 4;
#pragma unroll
    for (u32 m = 0; m < 2; m++)
#pragma unroll
        for (u32 n = 0; n < 4; n++) {
            float* at = to + (16 * m + g) * line_step + 8 * n + 2 * c;
            *reinterpret_cast<float2*>(at) = make_float2(sums[m][n][0], sums[m][n][1]);
            *reinterpret_cast<float2*>(at + 8 * line_step) = make_float2(sums[m][n][2], sums[m][n][3]);
        }
}

// The elements of this thread: four units of a sequence.
struct Place {
    // In the block.
    u32 line, column;
    // In all.
    u32 row, unit;
    bool there;

    __device__ Place(const Steps& of) {
        line = threadIdx.x / 8, column = threadIdx.x % 8 * 4;
        row = of.first_row + blockIdx.y * ROWS + line, unit = blockIdx.x * UNITS + column;
        there = row < of.batch;
    }
    // In (batch, HIDDEN).
    __device__ u64 element() const { return u64(row) * HIDDEN + unit; }
};

__device__ inline void await_step(const u32* arrived, u32 steps) {
    if (threadIdx.x % 32 == 0) await_blocks(arrived + blockIdx.y, steps * gridDim.x);
    __syncwarp();
}

__device__ inline void count_step(u32* arrived) {
    __syncthreads();
    if (threadIdx.x == 0) count_block(arrived + blockIdx.y);
}
