#include "eight.cuh"

// dx (N, pixels, C) = store(dy (N, C) / pixels).
extern "C" __global__ void average_backward(const DY::Code* dy, u32 pixels, u32 channels, Store store, DX::Code* dx, u64 n) {
    u64 first = first_element();
    if (first >= n) return;
    float values[8] = {};
    for (u32 i = 0; i < 8 && first + i < n; i++) {
        u64 image = (first + i) / (u64(pixels) * channels);
        values[i] = canonical(decode<DY>(dy[image * channels + (first + i) % channels]) / float(pixels));
    }
    store8<DX, DX_ROUNDING>(store, dx, first, n, values);
}
