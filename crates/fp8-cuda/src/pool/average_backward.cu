#include "pool.cuh"

// dx (N, pixels, C) = store(dy (N, C) / pixels). A line is that of all images; a block writes every so many of their pixels.
extern "C" __global__ void average_backward(const DY::Code* dy, u32 images, u32 pixels, u32 channels, Store store, DX::Code* dx) {
    each_spot(images, channels, [&](const Spot& spot) {
        float values[8];
        decode8<DY>(read_octet<DY>(dy, u64(spot.pixel) * channels + spot.octet.column, spot.octet), values);
#pragma unroll
        for (int i = 0; i < 8; i++) values[i] = canonical(values[i] / float(pixels));
        for (u32 pixel = blockIdx.x; pixel < pixels; pixel += gridDim.x) {
            store_octet<DX, DX_ROUNDING, false>(store, dx, (u64(spot.pixel) * pixels + pixel) * channels + spot.octet.column, spot.octet, values);
        }
    });
}
