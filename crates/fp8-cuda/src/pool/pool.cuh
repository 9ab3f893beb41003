#pragma once
#include "octets.cuh"

// fp8_kernels::Pool2d, and the output's size.
struct Pool {
    u32 height, width, channels, kernel, stride, padding, out_height, out_width;
};

// Places in windows: bytes like these.
typedef E5M2 Place;
