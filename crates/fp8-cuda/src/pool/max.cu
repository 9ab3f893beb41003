#include "pool.cuh"

// Places of a row of a window that are read at once; 0: one, and the next when it was compared.
constexpr u32 ROW = KERNEL == 0 ? 1 : KERNEL;

// y = store(max over the window), and its place in the window, the first of equals; a NaN is larger than all. A block has (part of) a line of y.
extern "C" __global__ void max_pool(Pool pool, const X::Code* x, Store store, Y::Code* y, u8* index) {
    u32 image = blockIdx.x / pool.out_height, line = blockIdx.x - image * pool.out_height, kernel = KERNEL == 0 ? pool.kernel : KERNEL;
    int top = int(line * pool.stride) - int(pool.padding);
    u32 first_row = max(-top, 0), end_row = min(kernel, u32(max(int(pool.height) - top, 0)));
    each_spot(pool.out_width, pool.channels, [&](const Spot& spot) {
        int left = int(spot.pixel * pool.stride) - int(pool.padding);
        u32 first_column = max(-left, 0), end_column = min(kernel, u32(max(int(pool.width) - left, 0)));
        float best[8];
        u32 place[8];
#pragma unroll
        for (int i = 0; i < 8; i++) {
            // The first place on the input, which no other need exceed.
            best[i] = -float_of(INFINITY_BITS), place[i] = first_row * kernel + first_column;
        }
        for (u32 ky = first_row; ky < end_row; ky++) {
            u64 at = (u64(image * pool.height + top + ky) * pool.width + left) * pool.channels + spot.octet.column;
            for (u32 begin = 0; begin < kernel; begin += ROW) {
                Eight<X::Code> row[ROW];
#pragma unroll
                for (u32 i = 0; i < ROW; i++) {
                    u32 kx = begin + i;
                    if (kx >= first_column && kx < end_column) row[i] = read_octet<X>(x, at + kx * pool.channels, spot.octet);
                }
#pragma unroll
                for (u32 i = 0; i < ROW; i++) {
                    u32 kx = begin + i;
                    if (kx < first_column || kx >= end_column) continue;
                    float values[8];
                    decode8<X>(row[i], values);
#pragma unroll
                    for (int j = 0; j < 8; j++) {
                        // Not at most: larger, or one of them NaN.
                        bool wins = !(values[j] <= best[j]) && best[j] == best[j];
                        best[j] = wins ? values[j] : best[j];
                        place[j] = wins ? ky * kernel + kx : place[j];
                    }
                }
            }
        }
        Eight<u8> places;
#pragma unroll
        for (int i = 0; i < 8; i++) places.codes[i] = u8(place[i]);
        u64 first = (u64(blockIdx.x) * pool.out_width + spot.pixel) * pool.channels + spot.octet.column;
        store_octet<Y, Y_ROUNDING, false>(store, y, first, spot.octet, best);
        write_octet(places, index, first, spot.octet);
    });
}
