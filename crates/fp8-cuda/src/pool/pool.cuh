#pragma once
#include "eight.cuh"

// fp8_kernels::Pool2d, and the output's size.
struct Pool {
    u32 height, width, channels, kernel, stride, padding, out_height, out_width;
};

// Indices (image, y, x, channel) of element i of (N, height, width, channels).
struct Pixel {
    u32 image, y, x, channel;
    __device__ Pixel(u64 i, u32 height, u32 width, u32 channels) {
        channel = u32(i % channels), i /= channels;
        x = u32(i % width), i /= width;
        y = u32(i % height), image = u32(i / height);
    }
};
