// parts (z, rows, columns) = sums of parts of k of A B on Hopper's tensor cores, for factors whose lines lie beside each other across k: gradients of weights. A
// is dense, k by rows; B dense, k by columns, or the elements of windows of images, whose pixels are k.
//
// Tensor cores take 16-bit operands that lie so, 8-bit ones they do not: these are widened, exactly, on their way. A group of four warps widens from one ring of stages
// into another, two groups multiply. Sums are FP32 throughout.
#define FACTOR_A NARROW
#define FACTOR_B NARROW
#define ACROSS 1
#include "hopper.cuh"

// k of a stage; lines of a block of a tile, and its bytes as copied and as multiplied.
const u32 STEP = 64, LINES = 64, RAW_BYTES = STEP * LINES * sizeof(A::Code), BLOCK_BYTES = STEP * LINES * 2;
// Blocks of A and of both. A group of warps has 64 rows and all columns, or all rows and half the columns.
const u32 A_BLOCKS = TILE_M / LINES, BLOCKS = A_BLOCKS + TILE_N / LINES, THREADS = 384, WIDTH = TILE_M == 128 ? TILE_N : TILE_N / 2;

struct Shape {
    u32 rows, columns, steps, steps_of_part;
    Windows windows;
};

__device__ inline void copy_b(const TensorMap& map, const Shape& shape, u32 to, u32 barrier, u32 block, u32 k) {
#if IMAGES
    load_windows<LINES>(to, map, barrier, shape.windows, k, block);
#else
    load_box(to, map, barrier, block * LINES, k);
#endif
}

// Blocks of a tile that exist: past the last line there is nothing to copy.
__device__ inline u32 blocks_of(u32 lines, u32 first, u32 most) { return min(most, (lines - first + LINES - 1) / LINES); }

struct Factors {
    const TensorMap &a, &b;
};

// Addresses in shared memory: stages of what is multiplied and of what is copied and not yet widened, and their barriers.
struct Stages {
    u32 multiplied, full, empty, copied, copied_full, copied_empty;
};

// Copies the tiles of one step.
__device__ inline void copy(const Factors& factors, const Shape& shape, u32 to, u32 barrier, u32 step) {
    u32 row = blockIdx.x * TILE_M, column = blockIdx.y * TILE_N;
    u32 a_blocks = blocks_of(shape.rows, row, A_BLOCKS), b_blocks = blocks_of(shape.columns, column, BLOCKS - A_BLOCKS);
    expect_bytes(barrier, (a_blocks + b_blocks) * RAW_BYTES);
    for (u32 block = 0; block < a_blocks; block++) load_box(to + block * RAW_BYTES, factors.a, barrier, row + block * LINES, step * STEP);
    for (u32 block = 0; block < b_blocks; block++) copy_b(factors.b, shape, to + (A_BLOCKS + block) * RAW_BYTES, barrier, column / LINES + block, step * STEP);
}

// Two codes of 8 bits, the lower half of `codes`, as two of 16.
template <class T>
__device__ inline u32 widened(u32 codes);

template <>
__device__ inline u32 widened<E5M2>(u32 codes) {
    return __byte_perm(codes, 0, 0x1404);
}

template <>
__device__ inline u32 widened<E4M3>(u32 codes) {
    u32 halves;
    asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(halves) : "h"(u16(codes)));
    return halves;
}

// Runs of sixteen lines of one k: of A, of both; how many a thread has in registers.
const u32 A_RUNS = A_BLOCKS * STEP * LINES / 16, ALL_RUNS = BLOCKS * STEP * LINES / 16, TOGETHER = 8;

__device__ inline void load_run(uint4& run, u32 from) {
    asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(run.x), "=r"(run.y), "=r"(run.z), "=r"(run.w) : "r"(from));
}

// Widens run `index` of the blocks from `block` on. Neighbours in memory stay neighbours, and banks do not meet on either side.
template <class T>
__device__ inline void store_run(const uint4& run, u32 index, u32 block) {
    u32 k = index / 4 % STEP, chunk = index % 4 * 2, row = block + index / (STEP * 4) * BLOCK_BYTES + k * 128;
    u32 to = row + (chunk ^ k % 8) * 16, after = row + ((chunk + 1) ^ k % 8) * 16;
    asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(to), "r"(widened<T>(run.x)), "r"(widened<T>(run.x >> 16)), "r"(widened<T>(run.y)), "r"(widened<T>(run.y >> 16)) : "memory");
    asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(after), "r"(widened<T>(run.z)), "r"(widened<T>(run.z >> 16)), "r"(widened<T>(run.w)), "r"(widened<T>(run.w >> 16)) : "memory");
}

// Threads of a group that widen; one of the others has what they widen copied.
const u32 FEEDERS = 96;

#if COPIED > 0
__device__ inline void feed(const Factors& factors, const Shape& shape, const Stages& stages, u32 first, u32 end) {
    Ring<COPIED> from;
    Ring<STAGES> ring;
    if (threadIdx.x % 128 >= FEEDERS) {
        for (u32 step = first; threadIdx.x % 128 == FEEDERS && step < end; step++, from.advance()) {
            wait(stages.copied_empty + 8 * from.stage, from.phase ^ 1);
            copy(factors, shape, stages.copied + BLOCKS * RAW_BYTES * from.stage, stages.copied_full + 8 * from.stage, step);
        }
        return;
    }
    for (u32 step = first; step < end; step++, from.advance(), ring.advance()) {
        u32 raw = stages.copied + BLOCKS * RAW_BYTES * from.stage, to = stages.multiplied + BLOCKS * BLOCK_BYTES * ring.stage;
        wait(stages.copied_full + 8 * from.stage, from.phase);
        wait(stages.empty + 8 * ring.stage, ring.phase ^ 1);
        // Loads come before stores, as many as registers hold: each takes its time.
#pragma unroll
        for (u32 before = 0; before < ALL_RUNS; before += TOGETHER * FEEDERS) {
            uint4 runs[TOGETHER];
#pragma unroll
            for (u32 i = 0; i < TOGETHER; i++) {
                u32 run = before + threadIdx.x % 128 + FEEDERS * i;
                if (run < ALL_RUNS) load_run(runs[i], raw + 16 * run);
            }
#pragma unroll
            for (u32 i = 0; i < TOGETHER; i++) {
                u32 run = before + threadIdx.x % 128 + FEEDERS * i;
                if (run < A_RUNS) store_run<A>(runs[i], run, to);
                else if (run < ALL_RUNS) store_run<B>(runs[i], run, to);
            }
        }
        publish_stores();
        arrive(stages.full + 8 * ring.stage);
        arrive(stages.copied_empty + 8 * from.stage);
    }
}
#else
// One thread of a group has what is multiplied copied.
__device__ inline void feed(const Factors& factors, const Shape& shape, const Stages& stages, u32 first, u32 end) {
    Ring<STAGES> ring;
    for (u32 step = first; threadIdx.x % 128 == 0 && step < end; step++, ring.advance()) {
        wait(stages.empty + 8 * ring.stage, ring.phase ^ 1);
        copy(factors, shape, stages.multiplied + BLOCKS * BLOCK_BYTES * ring.stage, stages.full + 8 * ring.stage, step);
    }
}
#endif

__device__ inline void sum(float (&sums)[WIDTH / 2], const Stages& stages, u32 group, u32 steps) {
    Ring<STAGES> ring;
    u32 before = 0, a_block = TILE_M == 128 ? group : 0, b_block = A_BLOCKS + (TILE_M == 128 ? 0 : group * WIDTH / LINES);
    for (u32 step = 0; step < steps; step++, ring.advance()) {
        wait(stages.full + 8 * ring.stage, ring.phase);
        u32 stage = stages.multiplied + BLOCKS * BLOCK_BYTES * ring.stage;
        hold(sums);
        products_begin();
#pragma unroll
        for (u32 k = 0; k < STEP; k += 16) {
            multiply(sums, tile_across_k<STEP>(stage + a_block * BLOCK_BYTES + k * 128), tile_across_k<STEP>(stage + b_block * BLOCK_BYTES + k * 128), step + k > 0);
        }
        products_commit();
        hold(sums);
        products_wait<1>();
        if (step > 0 && threadIdx.x % 128 == 0) arrive(stages.empty + 8 * before);
        before = ring.stage;
    }
    products_wait<0>();
    hold(sums);
}

// Stores what a group of warps has: a thread has pairs of columns in two rows of every sixteen.
__device__ inline void store(const float (&sums)[WIDTH / 2], const Shape& shape, u32 group, float* parts) {
    u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32 % 4;
    u32 row = blockIdx.x * TILE_M + (TILE_M == 128 ? group * 64 : 0) + warp * 16 + lane / 4;
    u32 column = blockIdx.y * TILE_N + (TILE_M == 128 ? 0 : group * WIDTH) + lane % 4 * 2;
    parts += u64(blockIdx.z) * shape.rows * shape.columns;
#pragma unroll
    for (u32 i = 0; i < WIDTH / 2; i += 2) {
        u32 r = row + i % 4 / 2 * 8, c = column + i / 4 * 8;
        if (r < shape.rows && c < shape.columns) *reinterpret_cast<float2*>(parts + u64(r) * shape.columns + c) = make_float2(sums[i], sums[i + 1]);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, 1) across(const __grid_constant__ TensorMap map_a, const __grid_constant__ TensorMap map_b, Shape shape, float* parts) {
    extern __shared__ u8 memory[];
    __shared__ alignas(8) u64 barriers[2 * STAGES + 2 * COPIED];
    u32 base = (shared_address(memory) + 1023) & ~1023u, full = shared_address(barriers), copied_full = full + 16 * STAGES;
    Stages stages = {base, full, full + 8 * STAGES, base + STAGES * BLOCKS * BLOCK_BYTES, copied_full, copied_full + 8 * COPIED};
    u32 group = threadIdx.x / 128, first = blockIdx.z * shape.steps_of_part, end = min(shape.steps, first + shape.steps_of_part);
    if (threadIdx.x == 0) {
        for (u32 stage = 0; stage < STAGES; stage++) {
            init_barrier(stages.full + 8 * stage, COPIED > 0 ? FEEDERS : 1);
            init_barrier(stages.empty + 8 * stage, 2);
        }
        for (u32 stage = 0; stage < COPIED; stage++) {
            init_barrier(stages.copied_full + 8 * stage, 1);
            init_barrier(stages.copied_empty + 8 * stage, FEEDERS);
        }
        publish_barriers();
    }
    __syncthreads();
    if (group == 2) {
        give_registers<88>();
        feed({map_a, map_b}, shape, stages, first, end);
    } else {
        take_registers<208>();
        float sums[WIDTH / 2];
        sum(sums, stages, group, end - first);
        store(sums, shape, group, parts);
    }
}
