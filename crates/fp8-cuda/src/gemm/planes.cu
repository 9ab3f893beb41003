// planes (rows, PRODUCTS, columns), bfloat16, of a matrix (rows, columns) of FP32: of each run of columns, one plane of it after the other, as a factor of a product has them.
//
// An FP32 number is the sum of three of bfloat16, to the last bit: planes. Of the nine products of two such numbers the six largest are summed, the smallest first: the
// others are below the last bit of the largest. Or, where PRODUCTS is 3, the three largest: as if both numbers had 16 bits.
#include "lines.cuh"

// The planes of the left factor, and of the right one.
__device__ constexpr u32 PLANES[2][6] = {{1, 0, 2, 0, 1, 0}, {1, 2, 0, 1, 0, 0}};

// The part of `rest` that bfloat16 holds, to the nearest unless that is infinite, which goes from it. Infinities and NaNs have one part.
__device__ inline u16 take_plane(float& rest) {
    u32 bits = bits_of(rest);
    if ((bits & INFINITY_BITS) == INFINITY_BITS) {
        rest = 0;
        return u16(bits >> 16 | (bits << 9 ? 0x40 : 0));
    }
    u16 plane = u16((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
    if ((plane & 0x7F80) == 0x7F80) plane--;
    rest -= float_of(u32(plane) << 16);
    return plane;
}

extern "C" __global__ void split(const float* x, u32 runs, Divisor runs_of_row, u32 side, u16* planes) {
    constexpr u32 RUN = SPLIT_WHOLE ? 8 : 1;
    u32 run = blockIdx.x * blockDim.x + threadIdx.x;
    if (run >= runs) return;
    float rest[RUN];
    if constexpr (SPLIT_WHOLE) {
        Eight<float> eight = Eight<float>::at(x + 8 * u64(run));
#pragma unroll
        for (u32 i = 0; i < 8; i++) rest[i] = eight.codes[i];
    } else {
        rest[0] = x[run];
    }
    u16 parts[3][RUN];
#pragma unroll
    for (u32 plane = 0; plane < 3; plane++)
#pragma unroll
        for (u32 i = 0; i < RUN; i++) parts[plane][i] = take_plane(rest[i]);
    u32 place, row = divide(run, runs_of_row, place);
#pragma unroll
    for (u32 product = 0; product < PRODUCTS; product++) {
        u16* to = planes + ((u64(row) * PRODUCTS + product) * runs_of_row.divisor + place) * RUN;
        u32 plane = PLANES[side][6 - PRODUCTS + product];
        if constexpr (SPLIT_WHOLE) {
            Eight<u16> chosen;
#pragma unroll
            for (u32 i = 0; i < RUN; i++) chosen.codes[i] = plane == 0 ? parts[0][i] : plane == 1 ? parts[1][i] : parts[2][i];
            chosen.put(to);
        } else {
            *to = plane == 0 ? parts[0][0] : plane == 1 ? parts[1][0] : parts[2][0];
        }
    }
}
