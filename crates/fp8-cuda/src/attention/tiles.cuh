// Attention on tensor cores, by tiles of steps of a task that lie in shared memory as 16-bit values; a block has 64 lines of the result, a warp 16 of them.
// Operands are exact in 16 bits. Probabilities and errors of scores, which are not, are two 16-bit values each, whose sum has 16 bits (bfloat16; 22 of binary16).
#pragma once
#include "approximate.cuh"
#include "attention.cuh"
#include "warp.cuh"

const u32 THREADS = 128, LINES = 64;
// The width of a tile (that of a head, or of a part of a wider one) with room for whole products; elements from line to line: eight lines that a warp reads 16
// bytes of meet no bank twice.
const u32 PADDED = (WIDTH + 15) / 16 * 16, PITCH = PADDED + 8;
// Lines of the other side that are there at a time in the backward pass.
const u32 FEWER = WIDTH > 64 ? 32 : 64;
// Blocks that a multiprocessor has registers for.
const u32 BESIDE = WIDTH > 64 ? 2 : 4;
const float LOG2_E = 1.44269504088896340736f;

// A head of a sequence, or its part from `column` on that a tile is wide enough for.
struct Task {
    u64 first, step;
    // Eights of columns.
    u32 queries, keys, ahead, runs;

    __device__ Task(const Shape& shape, u32 task, u32 width = WIDTH, u32 column = 0)
        : first(u64(shape.first_task + task) * width + column), step(u64(shape.batch) * shape.heads * width), queries(shape.queries), keys(shape.keys_of(task)), ahead(shape.causal ? 1 + shape.keys - shape.queries : shape.keys), runs(min(width - column, u32(WIDTH)) / 8) {}

    // The first element of a step.
    __device__ u64 at(u32 t) const { return first + t * step; }
    // How many keys query t sees: none where there is no such query.
    __device__ u32 seen(u32 t) const { return t < queries ? min(keys, t + ahead) : 0; }
};

// COUNT lines on their way from memory to a tile: those of the steps from `first` on, zeros from `end` on.
template <class T, u32 COUNT>
struct Fetched {
    static constexpr u32 RUNS = PADDED / 8, ALL = COUNT * RUNS, EACH = (ALL + THREADS - 1) / THREADS;
    Eight<typename T::Code> runs[EACH];

    __device__ void fetch(const Task& task, const typename T::Code* codes, u32 first, u32 end) {
#pragma unroll
        for (u32 n = 0; n < EACH; n++) {
            u32 i = threadIdx.x + n * THREADS, t = first + i / RUNS, run = i % RUNS;
            runs[n] = {};
            if (i < ALL && t < end && run < task.runs) runs[n] = *reinterpret_cast<const Eight<typename T::Code>*>(codes + task.at(t) + 8 * run);
        }
    }

    __device__ void keep(u16* tile) const {
#pragma unroll
        for (u32 n = 0; n < EACH; n++) {
            u32 i = threadIdx.x + n * THREADS;
            if (i < ALL) *reinterpret_cast<Eight<u16>*>(tile + i / RUNS * PITCH + i % RUNS * 8) = narrow<HALF, T>(runs[n]);
        }
    }
};

// 16 lines of a tile as left factors: KEPT in registers, or read each time.
template <bool KEPT>
struct Left {
    const u16* place;
    u32 words[KEPT ? PADDED / 16 : 1][4];

    __device__ void load(const u16* lines) {
        u32 lane = threadIdx.x % 32;
        place = lines + lane % 16 * PITCH + lane / 16 * 8;
        if constexpr (KEPT) {
#pragma unroll
            for (u32 k = 0; k < PADDED / 16; k++) load_matrices(words[k], place + 16 * k);
        }
    }
    __device__ const u32 (&at(u32 k))[4] {
        if constexpr (!KEPT) load_matrices(words[0], place + 16 * k);
        return words[KEPT ? k : 0];
    }
};

// scores (16, 8 N) += products of lines.
template <u32 N, bool KEPT>
__device__ inline void add_products(float (&scores)[N][4], Left<KEPT>& left, const u16* right) {
    u32 lane = threadIdx.x % 32;
    const u16* place = right + (lane % 8 + lane / 16 * 8) * PITCH + lane / 8 % 2 * 8;
#pragma unroll
    for (u32 k = 0; k < PADDED / 16; k++) {
        const u32(&a)[4] = left.at(k);
#pragma unroll
        for (u32 n = 0; n < N; n += 2) {
            u32 b[4];
            load_matrices(b, place + 8 * n * PITCH + 16 * k);
            multiply<HALF>(scores[n], a, b[0], b[1]);
            multiply<HALF>(scores[n + 1], a, b[2], b[3]);
        }
    }
}

// scores (16, 8 N) = products of lines.
template <u32 N, bool KEPT>
__device__ inline void line_products(float (&scores)[N][4], Left<KEPT>& left, const u16* right) {
#pragma unroll
    for (u32 n = 0; n < N; n++)
#pragma unroll
        for (u32 i = 0; i < 4; i++) scores[n][i] = 0;
    add_products(scores, left, right);
}

// Two values as two of type HALF each.
__device__ inline void split(float a, float b, u32& high, u32& low) {
    float high_a, high_b;
    high = pair<HALF>(a, b);
    if constexpr (HALF::LIKE_F32) high_a = float_of(high << 16), high_b = float_of(high & 0xFFFF0000);
    else from_halves(high, high_a, high_b);
    low = pair<HALF>(a - high_a, b - high_b);
}

// A result of 16 lines.
typedef float Sums[PADDED / 8][4];

// sums += scores (16, 8 N) times the 8 N lines of a tile.
template <u32 N>
__device__ inline void add_lines(Sums& sums, const float (&scores)[N][4], const u16* right) {
    u32 lane = threadIdx.x % 32;
    const u16* place = right + lane % 16 * PITCH + lane / 16 * 8;
#pragma unroll
    for (u32 n = 0; n < N; n += 2) {
        u32 high[4], low[4];
#pragma unroll
        for (u32 i = 0; i < 4; i++) split(scores[n + i / 2][i % 2 * 2], scores[n + i / 2][i % 2 * 2 + 1], high[i], low[i]);
#pragma unroll
        for (u32 column = 0; column < PADDED / 8; column += 2) {
            u32 b[4];
            load_transposed(b, place + 8 * n * PITCH + 8 * column);
            multiply<HALF>(sums[column], high, b[0], b[1]);
            multiply<HALF>(sums[column + 1], high, b[2], b[3]);
            multiply<HALF>(sums[column], low, b[0], b[1]);
            multiply<HALF>(sums[column + 1], low, b[2], b[3]);
        }
    }
}

// The largest, and the sum, of what the four lanes of a line have.
__device__ inline float line_most(float x) {
    x = fmaxf(x, __shfl_xor_sync(~0u, x, 1));
    return fmaxf(x, __shfl_xor_sync(~0u, x, 2));
}

__device__ inline float line_sum(float x) {
    x = x + __shfl_xor_sync(~0u, x, 1);
    return x + __shfl_xor_sync(~0u, x, 2);
}

// Stores the lines of a warp, the first of which is step `first` of `end`, plus residual; `room`, of all warps, is for LINES lines of PITCH floats.
template <class Residual, class Result, int ROUNDING>
__device__ inline void store_lines(const Task& task, const Sums& sums, float* room, u32 first, u32 end, const typename Residual::Code* residual, const Store& store, typename Result::Code* y) {
    u32 lane = threadIdx.x % 32;
    room += threadIdx.x / 32 * 16 * PITCH;
#pragma unroll
    for (u32 n = 0; n < PADDED / 8; n++) {
        float* place = room + lane / 4 * PITCH + 8 * n + lane % 4 * 2;
        *reinterpret_cast<float2*>(place) = make_float2(sums[n][0], sums[n][1]);
        *reinterpret_cast<float2*>(place + 8 * PITCH) = make_float2(sums[n][2], sums[n][3]);
    }
    __syncwarp();
#pragma unroll 1
    for (u32 i = lane; i < 16 * (WIDTH / 8); i += 32) {
        u32 line = i / (WIDTH / 8), column = i % (WIDTH / 8) * 8;
        if (first + line >= end) break;
        if (column >= 8 * task.runs) continue;
        float values[8], more[8];
#pragma unroll
        for (u32 j = 0; j < 8; j++) values[j] = room[line * PITCH + column + j];
        u64 index = task.at(first + line) + column;
        if constexpr (Residual::PRESENT) {
            load8<Residual>(residual, index, ~0ull, more);
#pragma unroll
            for (u32 j = 0; j < 8; j++) values[j] = values[j] + more[j];
        }
        store8<Result, ROUNDING, true>(store, y, index, ~0ull, values);
    }
    __syncwarp();
}
