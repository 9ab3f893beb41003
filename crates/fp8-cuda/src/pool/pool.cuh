#pragma once
#include "octets.cuh"

// fp8_kernels::Pool2d, and the output's size.
struct Pool {
    u32 height, width, channels, kernel, stride, padding, out_height, out_width;
};

// Places in windows: bytes like these.
typedef E5M2 Place;

// Eight channels of a pixel of a line of an image.
struct Spot {
    u32 pixel;
    Octet octet;
};

// Calls `body(spot)` for each spot of this thread in a line of `width` pixels, whose spots a block shares with those of its y.
template <class Body>
__device__ inline void each_spot(u32 width, u32 channels, Body body) {
    u32 across = (channels + 7) / 8, count = width * across;
    for (u32 index = blockIdx.y * blockDim.x + threadIdx.x; index < count; index += gridDim.y * blockDim.x) {
        u32 pixel = index / across;
        body(Spot{pixel, octet(index - pixel * across, channels)});
    }
}
