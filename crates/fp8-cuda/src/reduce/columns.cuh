// Sums over rows, FP64: over the rows of a chunk, ascending, then over chunks, ascending.
#pragma once
#include "codec.cuh"

struct Chunks {
    u32 rows, columns, rows_of_chunk;
};

// parts (sum, chunk, column) of SUMS sums: `term(row, column, terms)` gives what is added. A thread has a chunk and a column.
template <int SUMS, class F>
__device__ inline void column_parts(const Chunks& chunks, double* parts, F term) {
    u64 i = u64(blockIdx.x) * blockDim.x + threadIdx.x;
    u32 count = (chunks.rows + chunks.rows_of_chunk - 1) / chunks.rows_of_chunk;
    if (i >= u64(count) * chunks.columns) return;
    u32 chunk = u32(i / chunks.columns), column = u32(i % chunks.columns);
    u32 first = chunk * chunks.rows_of_chunk, end = min(chunks.rows, first + chunks.rows_of_chunk);
    double sums[SUMS] = {};
    float terms[SUMS];
    for (u32 row = first; row < end; row++) {
        term(row, column, terms);
#pragma unroll
        for (int sum = 0; sum < SUMS; sum++) sums[sum] = sums[sum] + double(terms[sum]);
    }
#pragma unroll
    for (int sum = 0; sum < SUMS; sum++) parts[u64(sum) * count * chunks.columns + i] = sums[sum];
}

// The total of sum `sum` for a column.
__device__ inline double column_total(const Chunks& chunks, const double* parts, u32 sum, u32 column) {
    u32 count = (chunks.rows + chunks.rows_of_chunk - 1) / chunks.rows_of_chunk;
    const double* part = parts + u64(sum) * count * chunks.columns + column;
    double total = 0;
#pragma unroll 16
    for (u32 chunk = 0; chunk < count; chunk++) total = total + part[u64(chunk) * chunks.columns];
    return total;
}
