// Sums over rows, FP64 (docs/numerics.md, section 6): over the rows of a chunk, ascending; over the chunks of a group, as a tree; over groups, interleaved sums,
// as a tree.
#pragma once
#include "octets.cuh"

const u32 ROWS_OF_CHUNK = 32, CHUNKS_OF_GROUP = 32, ROWS_OF_GROUP = ROWS_OF_CHUNK * CHUNKS_OF_GROUP, LANES_OF_GROUPS = 32;

struct Columns {
    u32 rows, columns;
};

__device__ inline u32 group_count(const Columns& size) { return (size.rows + ROWS_OF_GROUP - 1) / ROWS_OF_GROUP; }

// Eight columns across of a block that sums.
__device__ inline u32 summing_width() { return blockDim.x / CHUNKS_OF_GROUP; }

// What a block sums: some columns of a group of rows. Blocks of a group are beside each other, so that a line of memory that two of them need is read once.
struct Share {
    u32 group, columns;
};
__device__ inline Share summed_share(const Columns& size) {
    u32 blocks = (size.columns + 8 * summing_width() - 1) / (8 * summing_width()), group = blockIdx.x / blocks;
    return {group, blockIdx.x - group * blocks};
}

// The columns that this thread sums.
__device__ inline Octet summed_octet(const Columns& size) {
    return octet(summed_share(size).columns * summing_width() + threadIdx.x % summing_width(), size.columns);
}

// sums[i] in the first of WAYS threads, a tree of theirs: i with i + WAYS / 2, and so on. A thread's number is `way`, and `line` is that of its tree among the
// `lines` of the block. `room`: SUMS * WAYS / 2 * lines.
template <u32 WAYS, int SUMS>
__device__ inline void block_tree(double (&sums)[SUMS], double* room, u32 way, u32 line, u32 lines) {
#pragma unroll
    for (u32 half = WAYS / 2; half > 0; half /= 2) {
        u32 place = way % half * lines + line;
        if (way >= half && way < 2 * half) {
#pragma unroll
            for (int i = 0; i < SUMS; i++) room[i * (WAYS / 2) * lines + place] = sums[i];
        }
        __syncthreads();
        if (way < half) {
#pragma unroll
            for (int i = 0; i < SUMS; i++) sums[i] = sums[i] + room[i * (WAYS / 2) * lines + place];
        }
        __syncthreads();
    }
}

// parts (sum, group, column) of SUMS sums. A block has some columns of a group; a thread has a chunk of the group and eight columns. `load(row, first)`
// reads what `add(row, loaded, sums)` adds; `first` is the index of the row's first element that is the thread's. COUNT rows are read before they are added.
template <int SUMS, u32 COUNT, class Load, class Add>
__device__ inline void column_parts(const Columns& size, const Octet& octet, double* parts, Load load, Add add) {
    // (chunk, sum, eight columns), a chunk with room against bank conflicts.
    __shared__ double room[CHUNKS_OF_GROUP * (8 * SUMS + 1) * 8];
    Share share = summed_share(size);
    u32 width = summing_width(), chunk = threadIdx.x / width, pitch = (8 * SUMS + 1) * width;
    u32 row = share.group * ROWS_OF_GROUP + chunk * ROWS_OF_CHUNK, end = octet.count > 0 ? min(size.rows, row + ROWS_OF_CHUNK) : 0;
    double sums[8 * SUMS] = {};
    for (; row < end; row += COUNT) {
        decltype(load(row, u64(0))) loaded[COUNT];
#pragma unroll
        for (u32 at = 0; at < COUNT; at++) {
            if (row + at < end) loaded[at] = load(row + at, u64(row + at) * size.columns + octet.column);
        }
#pragma unroll
        for (u32 at = 0; at < COUNT; at++) {
            if (row + at < end) add(row + at, loaded[at], sums);
        }
    }
#pragma unroll
    for (int i = 0; i < 8 * SUMS; i++) room[chunk * pitch + i * width + threadIdx.x % width] = sums[i];
    __syncthreads();
    for (u32 at = threadIdx.x; at < 8 * SUMS * width; at += blockDim.x) {
        u32 i = at / width, column = 8 * (share.columns * width + at % width) + i % 8;
        double tree[CHUNKS_OF_GROUP];
#pragma unroll
        for (u32 from = 0; from < CHUNKS_OF_GROUP; from++) tree[from] = room[from * pitch + at];
#pragma unroll
        for (u32 half = CHUNKS_OF_GROUP / 2; half > 0; half /= 2)
#pragma unroll
            for (u32 from = 0; from < CHUNKS_OF_GROUP / 2; from++)
                if (from < half) tree[from] = tree[from] + tree[from + half];
        if (column < size.columns) parts[(u64(i / 8) * group_count(size) + share.group) * size.columns + column] = tree[0];
    }
}

// The totals of a column, in those threads for which it is true. A block has so many columns as it has threads for each of LANES_OF_GROUPS.
template <int SUMS>
__device__ inline bool column_totals(const Columns& size, const double* parts, u32& column, double (&totals)[SUMS]) {
    const u32 BATCH = 16;
    __shared__ double room[SUMS * LANES_OF_GROUPS / 2 * 8];
    u32 width = blockDim.x / LANES_OF_GROUPS, lane = threadIdx.x / width, count = group_count(size);
    column = blockIdx.x * width + threadIdx.x % width;
#pragma unroll
    for (int sum = 0; sum < SUMS; sum++) totals[sum] = 0;
    for (u32 group = lane; group < count && column < size.columns; group += BATCH * LANES_OF_GROUPS) {
        // All are read before the first is added. A sum is never -0, which 0 would change.
        double batch[BATCH][SUMS];
#pragma unroll
        for (u32 at = 0; at < BATCH; at++)
#pragma unroll
            for (int sum = 0; sum < SUMS; sum++) {
                u32 from = group + at * LANES_OF_GROUPS;
                batch[at][sum] = from < count ? parts[(u64(sum) * count + from) * size.columns + column] : 0;
            }
#pragma unroll
        for (u32 at = 0; at < BATCH; at++)
#pragma unroll
            for (int sum = 0; sum < SUMS; sum++) totals[sum] = totals[sum] + batch[at][sum];
    }
    block_tree<LANES_OF_GROUPS>(totals, room, lane, threadIdx.x % width, width);
    return lane == 0 && column < size.columns;
}
