// From the registers of a tensor core's result to memory: what every kernel of products ends with.
#pragma once
#include "epilogue.cuh"
#include "lines.cuh"

// A warp has 16 rows of a result at a time, a thread of them pairs of columns: of each eight columns, in row lane / 4 and, then, eight rows below. The pairs pass
// through shared memory, so that a thread has runs of eight columns, in the same two rows.

// Floats of a row of COLUMNS on the way, with room against bank conflicts; floats of a warp.
__device__ constexpr u32 pairs_pitch(u32 columns) { return columns + 8; }
__device__ constexpr u32 pairs_room(u32 columns) { return 16 * pairs_pitch(columns); }

// Where the two rows of a thread are stored.
struct PairsRows {
    u64 first[2];
    bool inside[2];

    // The warp's rows begin at `row`; the matrix has `end` of them, of `columns`.
    __device__ PairsRows(const Rows& rows, u32 row, u32 end, u32 columns) {
#pragma unroll
        for (u32 half = 0; half < 2; half++) {
            u32 of_half = row + threadIdx.x % 32 / 4 + 8 * half;
            inside[half] = of_half < end;
            first[half] = u64(rows.place(min(of_half, end - 1))) * columns;
        }
    }
};

// Stores COLUMNS columns of a warp, from `column` on. OCTETS: the matrix has a multiple of eight.
template <class Residual, class Result, int ROUNDING, bool OCTETS, int COLUMNS>
__device__ inline void store_pairs(const float (&pairs)[COLUMNS / 2], float* room, const PairsRows& rows, u32 column, u32 columns, const Epilogue& epilogue, typename Result::Code* y) {
    constexpr u32 PITCH = pairs_pitch(COLUMNS);
    u32 lane = threadIdx.x % 32;
#pragma unroll
    for (u32 j = 0; j < COLUMNS / 8; j++) {
        float* place = room + lane / 4 * PITCH + 8 * j + lane % 4 * 2;
        *reinterpret_cast<float2*>(place) = make_float2(pairs[4 * j], pairs[4 * j + 1]);
        *reinterpret_cast<float2*>(place + 8 * PITCH) = make_float2(pairs[4 * j + 2], pairs[4 * j + 3]);
    }
    __syncwarp();
#pragma unroll 1
    for (u32 first = lane % 4 * 8; first < COLUMNS && column + first < columns; first += 32) {
        if (OCTETS || columns % 8 == 0) {
            // Both rows side by side: one waits while the other computes.
            Eight<typename Result::Code> codes[2];
#pragma unroll
            for (u32 half = 0; half < 2; half++) {
                const float4* sums = reinterpret_cast<const float4*>(room + (lane / 4 + 8 * half) * PITCH + first);
                float4 low = sums[0], high = sums[1];
                float values[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
                u64 index = rows.first[half] + column + first;
                finish8<Residual>(epilogue, values, index, column + first);
                encode8<Result, ROUNDING, false>(epilogue.store, values, index, codes[half]);
            }
#pragma unroll
            for (u32 half = 0; half < 2; half++) {
                u64 index = rows.first[half] + column + first;
                if (rows.inside[half]) codes[half].put(y + index);
            }
        } else {
#pragma unroll 1
            for (u32 half = 0; half < 2; half++) {
                const float* sums = room + (lane / 4 + 8 * half) * PITCH + first;
                u64 index = (half ? rows.first[1] : rows.first[0]) + column + first;
                bool inside = half ? rows.inside[1] : rows.inside[0];
#pragma unroll 1
                for (u32 i = 0; inside && i < 8 && column + first + i < columns; i++) {
                    y[index + i] = encode_at<Result, ROUNDING>(epilogue.store, finished<Residual>(epilogue, sums[i], index + i, column + first + i), index + i);
                }
            }
        }
    }
    __syncwarp();
}
