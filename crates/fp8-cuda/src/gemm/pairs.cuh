// From the registers of a tensor core's result to memory: what every kernel of products ends with.
#pragma once
#include "epilogue.cuh"
#include "lines.cuh"

// Floats of a row on the way, with room against bank conflicts; floats of a warp.
const u32 PAIRS_ROW = 40, PAIRS_ROOM = 16 * PAIRS_ROW;

// Stores 16 rows by 32 columns of a warp, from (row, column) of a matrix (end, columns) on. A thread has pairs of columns: of each group of eight columns, in row
// lane / 4 and, then, eight rows below. They pass through `room` of the warp, so that a thread has whole runs of eight.
template <class Residual, class Result, int ROUNDING>
__device__ inline void store_pairs(const float (&pairs)[16], float* room, u32 row, u32 column, u32 end, u32 columns, const Rows& rows, const Epilogue& epilogue, typename Result::Code* y) {
    u32 lane = threadIdx.x % 32;
#pragma unroll
    for (u32 j = 0; j < 4; j++) {
        float* place = room + lane / 4 * PAIRS_ROW + 8 * j + lane % 4 * 2;
        *reinterpret_cast<float2*>(place) = make_float2(pairs[4 * j], pairs[4 * j + 1]);
        *reinterpret_cast<float2*>(place + 8 * PAIRS_ROW) = make_float2(pairs[4 * j + 2], pairs[4 * j + 3]);
    }
    __syncwarp();
    u32 first = column + lane % 4 * 8;
#pragma unroll
    for (u32 half = 0; half < 2; half++) {
        u32 within = lane / 4 + 8 * half;
        const float* sums = room + within * PAIRS_ROW + lane % 4 * 8;
        if (row + within >= end || first >= columns) continue;
        u64 index = u64(rows.place(row + within)) * columns + first;
        if (columns % 8 == 0) {
            float4 low = reinterpret_cast<const float4*>(sums)[0], high = reinterpret_cast<const float4*>(sums)[1];
            float values[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
            finish8<Residual>(epilogue, values, index, first);
            store8<Result, ROUNDING>(epilogue.store, y, index, index + 8, values);
        } else {
#pragma unroll 1
            for (u32 i = 0; i < 8 && first + i < columns; i++) {
                y[index + i] = encode_at<Result, ROUNDING>(epilogue.store, finished<Residual>(epilogue, sums[i], index + i, first + i), index + i);
            }
        }
    }
    __syncwarp();
}
