// From the registers of a tensor core's result to memory: what every kernel of products ends with.
#pragma once
#include "epilogue.cuh"
#include "lines.cuh"

// A warp has 16 rows of a result at a time, a thread of them pairs of columns: of each eight columns, in row lane / 4 and, then, eight rows below. The pairs pass
// through shared memory, so that a thread has runs of eight columns, in the same two rows; or the columns have been multiplied in such an order that a thread's pairs
// are runs of the result.

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
            float values[2][8];
            u64 index[2];
            u32 columns_of[2] = {column + first, column + first};
            Eight<typename Result::Code> codes[2];
#pragma unroll
            for (u32 half = 0; half < 2; half++) {
                const float4* sums = reinterpret_cast<const float4*>(room + (lane / 4 + 8 * half) * PITCH + first);
                float4 low = sums[0], high = sums[1];
                values[half][0] = low.x, values[half][1] = low.y, values[half][2] = low.z, values[half][3] = low.w;
                values[half][4] = high.x, values[half][5] = high.y, values[half][6] = high.z, values[half][7] = high.w;
                index[half] = rows.first[half] + column + first;
            }
            finish8<Residual>(epilogue, values, index, columns_of);
            encode8<Result, ROUNDING, false>(epilogue.store, values, index, codes);
#pragma unroll
            for (u32 half = 0; half < 2; half++) {
                if (rows.inside[half]) codes[half].put(y + index[half]);
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

// Stores OCTETS times eight codes of a row, as whole sectors: two threads beside each other exchange halves of what takes two instructions.
template <class C, int OCTETS>
__device__ inline void put_run(const Eight<C>* codes, C* place, bool inside) {
    if constexpr (sizeof(C) == 1 && OCTETS == 2) {
        if (inside) put_words(codes[0].words[0], codes[0].words[1], codes[1].words[0], codes[1].words[1], place);
    } else if constexpr (sizeof(C) == 4) {
        static_assert(OCTETS == 1);
        u32 first[4], second[4];
        bool odd = threadIdx.x % 2;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            u32 low = codes->words[i], high = codes->words[4 + i], theirs = __shfl_xor_sync(~0u, odd ? low : high, 1);
            first[i] = odd ? theirs : low, second[i] = odd ? high : theirs;
        }
        place -= odd ? 4 : 0;
        if (inside) put_words(first[0], first[1], first[2], first[3], place), put_words(second[0], second[1], second[2], second[3], place + 8);
    } else {
        static_assert(OCTETS == 1);
        if (inside) codes->put(place);
    }
}

// Stores runs of OCTETS times eight columns, from `column` on, of the rows of a thread: those of the first row, then those of the second. All threads of a warp do.
template <class Residual, class Result, int ROUNDING, int OCTETS>
__device__ inline void store_runs(float (&values)[2 * OCTETS][8], const PairsRows& rows, u32 column, const Epilogue& epilogue, typename Result::Code* y) {
    u64 index[2 * OCTETS];
    u32 columns[2 * OCTETS];
    Eight<typename Result::Code> codes[2 * OCTETS];
#pragma unroll
    for (u32 n = 0; n < 2 * OCTETS; n++) {
        columns[n] = column + n % OCTETS * 8;
        // Runs begin at multiples of their length.
        index[n] = (rows.first[n / OCTETS] + column) | n % OCTETS * 8;
    }
    finish8<Residual>(epilogue, values, index, columns);
    encode8<Result, ROUNDING, false>(epilogue.store, values, index, codes);
#pragma unroll
    for (u32 half = 0; half < 2; half++) put_run<typename Result::Code, OCTETS>(codes + half * OCTETS, y + index[half * OCTETS], rows.inside[half]);
}
