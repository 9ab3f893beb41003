#include "codec.cuh"

// y (N, C) = store(mean over the pixels of x (N, pixels, C)), summed in ascending order.
extern "C" __global__ void average(const X::Code* x, u32 pixels, u32 channels, Store store, Y::Code* y, u64 n) {
    u64 i = u64(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= n) return;
    const X::Code* column = x + i / channels * pixels * channels + i % channels;
    float sum = 0;
    for (u64 pixel = 0; pixel < pixels; pixel++) sum = canonical(sum + decode<X>(column[pixel * channels]));
    y[i] = encode_at<Y, Y_ROUNDING>(store, canonical(sum / float(pixels)), i);
}
