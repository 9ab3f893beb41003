// C (rows, columns) = epilogue(A B) on Hopper's tensor cores, for factors whose lines lie along k: A dense or windows of images, B dense.
//
// A block has two groups of four warps that multiply, 64 rows each, and one thread that copies tiles into a ring of stages ahead of them. Blocks stay and take
// tile after tile. CLUSTER blocks, below each other, have the columns in common: each copies a part of B to all. KEPT: a block takes tiles below each other, and
// what they need of B, copied with the first, stays in shared memory.
#define FACTOR_A A
#define FACTOR_B B
#define ACROSS 0
#include "hopper.cuh"
#include "pairs.cuh"

// What the tensor cores sum before the sums are added to registers: nothing but what follows the other (0), one product (1), a stage (2).
enum { FAST, EXACT, PROMOTED };
// RESIDENT blocks share a multiprocessor: one stores while another multiplies.
const u32 TILE_M = 128, THREADS = 384;
// Bytes of a stage's tiles. A stage has DEPTH bytes of k, of B only where that is not kept.
const u32 A_BYTES = TILE_M * DEPTH, B_BYTES = TILE_N * DEPTH, STAGE_BYTES = A_BYTES + (KEPT ? 0 : B_BYTES);
// Products of a stage, 32 bytes of k each; elements of k of a stage.
const u32 STEPS = DEPTH / 32, K_BLOCK = DEPTH / sizeof(A::Code);
// Columns of one product: with a sum apart, two of 128 columns find room in the registers one after the other.
const u32 PART = SUMS != FAST && TILE_N > 128 ? 128 : TILE_N, PARTS = TILE_N / PART;
// Blocks of rows whose tiles are computed together, so that what they read stays in the cache.
const u32 TOGETHER = 8;

struct Shape {
    u32 rows, columns, k_blocks, lag;
    Windows windows;
};

struct Tile {
    u32 row, column;
};

__device__ inline u32 tile_count(const Shape& shape) {
    return (shape.rows + TILE_M * CLUSTER - 1) / (TILE_M * CLUSTER) * ((shape.columns + TILE_N - 1) / TILE_N);
}

// Tile `index` of clusters.
__device__ inline Tile tile_at(const Shape& shape, u32 index) {
    u32 down = (shape.rows + TILE_M * CLUSTER - 1) / (TILE_M * CLUSTER), across = (shape.columns + TILE_N - 1) / TILE_N;
    // There are as many blocks as tiles across, or a multiple: so each keeps its column, and those beside each other read the same rows.
    if (KEPT) return {index / across * TILE_M, index % across * TILE_N};
    u32 group = index / (TOGETHER * across), rest = index % (TOGETHER * across);
    u32 height = min(TOGETHER, down - group * TOGETHER);
    return {(group * TOGETHER + rest % height) * TILE_M * CLUSTER, rest / height * TILE_N};
}

// Where the tile of B of a stage and a block of k is.
__device__ inline u32 place_of_b(u32 stages, u32 stage, u32 k_block) {
    return KEPT ? stages + STAGE_BYTES * STAGES + B_BYTES * k_block : stages + STAGE_BYTES * stage + A_BYTES;
}

__device__ inline void copy_a(const TensorMap& map, const Shape& shape, u32 to, u32 barrier, u32 row, u32 k_block) {
#if IMAGES
    load_windows<K_BLOCK>(to, map, barrier, shape.windows, row, k_block);
#else
    load_box(to, map, barrier, k_block * K_BLOCK, row);
#endif
}

__device__ inline void copy_b(const TensorMap& map, u32 to, u32 barrier, u32 rank, u32 column, u32 k_block) {
    const u32 SHARE = TILE_N / CLUSTER, ALL = (1 << CLUSTER) - 1;
    u32 first = column + rank * SHARE;
    to += rank * SHARE * DEPTH;
#if RUN == 2
    if (CLUSTER > 1) load_box_to(to, map, barrier, k_block * K_BLOCK, first, ALL);
    else load_box(to, map, barrier, k_block * K_BLOCK, first);
#else
    if (CLUSTER > 1) load_groups_to(to, map, barrier, k_block * K_BLOCK, first / (4 * RUN), ALL);
    else load_groups(to, map, barrier, k_block * K_BLOCK, first / (4 * RUN));
#endif
}

__device__ inline void copy(const TensorMap& map_a, const TensorMap& map_b, const Shape& shape, u32 stages, u32 full, u32 empty) {
    Ring<STAGES> ring;
    u32 rank = CLUSTER > 1 ? block_of_cluster() : 0;
    for (u32 index = blockIdx.x / CLUSTER; index < tile_count(shape); index += gridDim.x / CLUSTER) {
        Tile tile = tile_at(shape, index);
        bool needs_b = !KEPT || index == blockIdx.x;
        for (u32 k_block = 0; k_block < shape.k_blocks; k_block++, ring.advance()) {
            u32 barrier = full + 8 * ring.stage;
            wait(empty + 8 * ring.stage, ring.phase ^ 1);
            expect_bytes(barrier, needs_b ? A_BYTES + B_BYTES : A_BYTES);
            copy_a(map_a, shape, stages + STAGE_BYTES * ring.stage, barrier, tile.row + rank * TILE_M, k_block);
            if (needs_b) copy_b(map_b, place_of_b(stages, ring.stage, k_block), barrier, rank, tile.column, k_block);
        }
    }
}

// Tells all that copy here that a stage has been read.
__device__ inline void release(u32 barrier) {
    if (threadIdx.x % 128 != 0) return;
    if (CLUSTER == 1) {
        arrive(barrier);
    } else {
#pragma unroll
        for (u32 block = 0; block < CLUSTER; block++) arrive_at(barrier, block);
    }
}

// Of a tile the second group begins when the first has multiplied `lag` stages, which a ring must have: so one multiplies while the other stores. The first goes so far
// in a tile when the second has begun the one before, so that no announcement meets another; nobody waits for the last.
enum { AHEAD = 1, BEGUN = 2 };

__device__ inline void begin(const Shape& shape, u32 group) {
    if (shape.lag == 0 || group == 0) return;
    await(AHEAD);
    announce(BEGUN);
}

__device__ inline void multiplied(const Shape& shape, u32 group, u32 k_blocks) {
    if (k_blocks != shape.lag || group == 1) return;
    await(BEGUN);
    announce(AHEAD);
}

// Where the tiles of A and B of a block of k are.
struct Factors {
    u32 a, b;
};

__device__ inline Factors factors(u32 stages, u32 stage, u32 k_block) { return {stages + STAGE_BYTES * stage, place_of_b(stages, stage, k_block)}; }

// sums (64, PART): the product of one step; `part`: which columns.
__device__ inline void step(float (&sums)[PART / 2], Factors factors, u32 group, u32 part, u32 k, u32 add) {
    u64 a = tile_along_k<DEPTH>(factors.a + group * 64 * DEPTH + 32 * k), b = tile_along_k<DEPTH>(factors.b + part * PART * DEPTH + 32 * k);
    multiply(sums, a, b, add);
}

template <int N>
__device__ inline void add(float (&totals)[TILE_N / 2], u32 first, const float (&sums)[N]) {
#pragma unroll
    for (int i = 0; i < N; i++) totals[first + i] += sums[i];
}

// The sums of a tile, 64 rows of a group of warps; `ring` goes on.
__device__ inline void sum(float (&totals)[TILE_N / 2], const Shape& shape, u32 stages, u32 full, u32 empty, u32 group, Ring<STAGES>& ring) {
#if SUMS == 0
    u32 before = 0;
    for (u32 k_block = 0; k_block < shape.k_blocks; k_block++, ring.advance()) {
        wait(full + 8 * ring.stage, ring.phase);
        hold(totals);
        products_begin();
#pragma unroll
        for (u32 k = 0; k < STEPS; k++) step(totals, factors(stages, ring.stage, k_block), group, 0, k, k_block + k > 0);
        products_commit();
        hold(totals);
        products_wait<1>();
        if (k_block > 0) release(empty + 8 * before);
        before = ring.stage;
        multiplied(shape, group, k_block + 1);
    }
    products_wait<0>();
    hold(totals);
    release(empty + 8 * before);
#elif SUMS == 1
    // While one product is added to the totals, the next is computed.
    float sums[2][PART / 2];
#pragma unroll
    for (int i = 0; i < TILE_N / 2; i++) totals[i] = 0;
    for (u32 k_block = 0; k_block < shape.k_blocks; k_block++, ring.advance()) {
        wait(full + 8 * ring.stage, ring.phase);
#pragma unroll
        for (u32 k = 0; k <= STEPS; k++) {
            if (k < STEPS) {
                hold(sums[k % 2]);
                products_begin();
                step(sums[k % 2], factors(stages, ring.stage, k_block), group, 0, k, 0);
                products_commit();
            }
            if (k == 0) continue;
            if (k < STEPS) {
                products_wait<1>();
            } else {
                products_wait<0>();
                release(empty + 8 * ring.stage);
            }
            hold(sums[1 - k % 2]);
            add(totals, 0, sums[1 - k % 2]);
        }
        multiplied(shape, group, k_block + 1);
    }
#else
    float sums[PART / 2];
#pragma unroll
    for (int i = 0; i < TILE_N / 2; i++) totals[i] = 0;
#pragma unroll 1
    for (u32 k_block = 0; k_block < shape.k_blocks; k_block++, ring.advance()) {
        wait(full + 8 * ring.stage, ring.phase);
#pragma unroll
        for (u32 part = 0; part < PARTS; part++) {
            hold(sums);
            products_begin();
#pragma unroll
            for (u32 k = 0; k < STEPS; k++) step(sums, factors(stages, ring.stage, k_block), group, part, k, k > 0);
            products_commit();
            hold(sums);
            products_wait<0>();
            hold(sums);
            if (part + 1 == PARTS) release(empty + 8 * ring.stage);
            add(totals, part * PART / 2, sums);
        }
        multiplied(shape, group, k_block + 1);
    }
#endif
}

#if RUN == 2
// Columns of a warp that are stored together; floats of all warps on the way.
const u32 STORED = TILE_N == 64 ? 64 : 32, ROOM = 8 * pairs_room(STORED);
#else
const u32 STORED = 4 * RUN, ROOM = 1;
#endif

// Stores 64 rows of a tile; a warp has 16 of them.
__device__ inline void store(const float (&totals)[TILE_N / 2], const Shape& shape, Tile tile, u32 group, float* room, const Rows& rows, const Epilogue& epilogue, Y::Code* y) {
    u32 warp = group * 4 + threadIdx.x / 32 % 4;
    PairsRows of_thread(rows, tile.row + warp * 16, shape.rows, shape.columns);
#if RUN == 2
    // Once in the code, as it is long: the registers are picked by comparing.
#pragma unroll 1
    for (u32 first = 0; first < TILE_N; first += STORED) {
        float pairs[STORED / 2];
#pragma unroll
        for (u32 known = 0; known < TILE_N; known += STORED)
            if (first == known)
#pragma unroll
                for (u32 i = 0; i < STORED / 2; i++) pairs[i] = totals[known / 2 + i];
        store_pairs<R, Y, Y_ROUNDING, true, STORED>(pairs, room + warp * pairs_room(STORED), of_thread, tile.column + first, shape.columns, epilogue, y);
    }
#else
#pragma unroll
    for (u32 first = 0; first < TILE_N; first += STORED) {
        if (tile.column + first >= shape.columns) break;
        float values[RUN / 4][8];
#pragma unroll
        for (u32 i = 0; i < STORED / 2; i++) values[i / 2 % 2 * (RUN / 8) + i / 16][i / 4 % 4 * 2 + i % 2] = totals[first / 2 + i];
        store_runs<R, Y, Y_ROUNDING, RUN / 8>(values, of_thread, tile.column + first + threadIdx.x % 4 * RUN, epilogue, y);
    }
#endif
}

extern "C" __global__ void __launch_bounds__(THREADS, RESIDENT) __cluster_dims__(CLUSTER, 1, 1) hopper(const __grid_constant__ TensorMap map_a, const __grid_constant__ TensorMap map_b, Shape shape, Rows rows, Epilogue epilogue, Y::Code* y) {
    extern __shared__ u8 memory[];
    __shared__ alignas(8) u64 barriers[2 * STAGES];
    __shared__ alignas(16) float room[ROOM];
    u32 stages = (shared_address(memory) + 1023) & ~1023u, full = shared_address(barriers), empty = full + 8 * STAGES;
    u32 group = threadIdx.x / 128;
    if (threadIdx.x == 0) {
        for (u32 stage = 0; stage < STAGES; stage++) {
            init_barrier(full + 8 * stage, 1);
            init_barrier(empty + 8 * stage, 2 * CLUSTER);
        }
        publish_barriers();
    }
    if (CLUSTER > 1) {
        cluster_sync();
    } else {
        __syncthreads();
    }
    if (group == 2) {
        give_registers<RESIDENT == 2 ? 24 : 40>();
        if (threadIdx.x == 256) copy(map_a, map_b, shape, stages, full, empty);
    } else {
        take_registers<RESIDENT == 2 ? 104 : 232>();
        Ring<STAGES> ring;
        u32 rank = CLUSTER > 1 ? block_of_cluster() : 0;
        // Before the first tile there is none.
        if (shape.lag > 0 && group == 1) announce(BEGUN);
        for (u32 index = blockIdx.x / CLUSTER; index < tile_count(shape); index += gridDim.x / CLUSTER) {
            float totals[TILE_N / 2];
            Tile tile = tile_at(shape, index);
            tile.row += rank * TILE_M;
            begin(shape, group);
            sum(totals, shape, stages, full, empty, group, ring);
            store(totals, shape, tile, group, room, rows, epilogue, y);
        }
    }
    // No block ends while another may still write to it.
    if (CLUSTER > 1) cluster_sync();
}
