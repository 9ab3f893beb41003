#include "pool.cuh"

// y (N, C) = store(mean over the pixels of x (N, pixels, C)), summed in ascending order. A line is that of all images.
extern "C" __global__ void average(const X::Code* x, u32 images, u32 pixels, u32 channels, Store store, Y::Code* y) {
    each_spot(images, channels, [&](const Spot& spot) {
        u64 first = u64(spot.pixel) * pixels * channels + spot.octet.column;
        float sums[8] = {};
        for (u32 begin = 0; begin < pixels; begin += 8) {
            Eight<X::Code> some[8];
#pragma unroll
            for (u32 i = 0; i < 8; i++) {
                if (begin + i < pixels) some[i] = read_octet<X>(x, first + u64(begin + i) * channels, spot.octet);
            }
#pragma unroll
            for (u32 i = 0; i < 8; i++) {
                if (begin + i < pixels) add8<X>(some[i], sums);
            }
        }
#pragma unroll
        for (int i = 0; i < 8; i++) sums[i] = sums[i] / float(pixels);
        store_octet<Y, Y_ROUNDING>(store, y, u64(spot.pixel) * channels + spot.octet.column, spot.octet, sums);
    });
}
