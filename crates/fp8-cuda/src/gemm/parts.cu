// Sums of parts of k, made side by side, added in ascending order.
#include "epilogue.cuh"
#include "lines.cuh"

// The sum of part 0 .. count of element `i` of `len`.
__device__ inline float added(const float* parts, u32 count, u64 len, u64 i, float total) {
    for (u32 part = 1; part < count; part++) total = total + parts[part * len + i];
    return total;
}

// totals += the `count` parts; `first`: they are the first.
extern "C" __global__ void add_parts(const float* parts, u32 count, u32 first, float* totals, u64 len) {
    u64 i = u64(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < len) totals[i] = added(parts, count, len, i, first ? parts[i] : totals[i] + parts[i]);
}

// y = epilogue(sum of the `count` parts (rows, columns)): a thread has SUMMED of them, which are in one row.
extern "C" __global__ void finish(const float* parts, u32 count, u64 runs, u32 columns, Rows rows, Epilogue epilogue, Y::Code* y) {
    u64 run = u64(blockIdx.x) * blockDim.x + threadIdx.x;
    if (run >= runs) return;
    u64 i = SUMMED * run, len = SUMMED * runs;
    u32 row = u32(i / columns), column = u32(i % columns);
    u64 index = u64(rows.place(row)) * columns + column;
    if constexpr (SUMMED == 8) {
        Eight<float> sums = Eight<float>::at(parts + i);
#pragma unroll 4
        for (u32 part = 1; part < count; part++) {
            Eight<float> more = Eight<float>::at(parts + part * len + i);
#pragma unroll
            for (u32 j = 0; j < 8; j++) sums.codes[j] = sums.codes[j] + more.codes[j];
        }
        finish8<R>(epilogue, sums.codes, index, column);
        Eight<Y::Code> codes;
        encode8<Y, Y_ROUNDING, true>(epilogue.store, sums.codes, index, codes);
        codes.put(y + index);
    } else {
        y[index] = encode_at<Y, Y_ROUNDING>(epilogue.store, finished<R>(epilogue, added(parts, count, len, i, parts[i]), index, column), index);
    }
}
