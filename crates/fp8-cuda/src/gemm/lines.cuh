// Where the factors of a product come from: a dense matrix, windows of images, or taps of a kernel.
#pragma once
#include "codec.cuh"

// Division by a number that does not change (Granlund and Montgomery 1994): n / d = (n * factor + n * 2^32) >> (32 + shift).
struct Divisor {
    u32 divisor, factor, shift;
};

__device__ inline u32 divide(u32 n, const Divisor& d) {
    u64 high = __umulhi(n, d.factor);
    return u32((high + n) >> d.shift);
}

__device__ inline u32 divide(u32 n, const Divisor& d, u32& rest) {
    u32 quotient = divide(n, d);
    rest = n - quotient * d.divisor;
    return quotient;
}

typedef long long i64;

// The place of what is zero and nowhere.
const i64 OUTSIDE = -1;

// Element (line, k) of a matrix stands at line * line_step + k * k_step.
struct Dense {
    u32 line_step, k_step;

    __device__ i64 place(u32 line, u32 k) const { return i64(line) * line_step + i64(k) * k_step; }
};

// Line: a pixel (image, y, x) of a grid; k: an element (y, x, channel) of the window of an image (N, height, width, channels) there, zero outside.
struct Patches {
    Divisor grid_y, grid_x, window_x, channels;
    int height, width, step_y, step_x, corner_y, corner_x;

    __device__ i64 place(u32 line, u32 k) const {
        u32 gy, gx, wx, channel;
        u32 image = divide(divide(line, grid_x, gx), grid_y, gy);
        u32 wy = divide(divide(k, channels, channel), window_x, wx);
        int y = int(gy) * step_y + corner_y + int(wy), x = int(gx) * step_x + corner_x + int(wx);
        if (y < 0 || y >= height || x < 0 || x >= width) return OUTSIDE;
        return ((i64(image) * height + y) * width + x) * channels.divisor + channel;
    }
};

// Lines and elements of windows in each other's place.
struct PatchElements {
    Patches patches;

    __device__ i64 place(u32 line, u32 k) const { return patches.place(k, line); }
};

// Line: an input channel; k: (tap down, tap across, output channel) of a weight (O, KH, KW, I), taps from the last backwards.
struct Taps {
    Divisor window_x, channels;
    u32 last_y, last_x, step, kernel_y, kernel_x, inputs;

    __device__ i64 place(u32 line, u32 k) const {
        u32 across, channel;
        u32 down = divide(divide(k, channels, channel), window_x, across);
        u32 ky = last_y - down * step, kx = last_x - across * step;
        return ((i64(channel) * kernel_y + ky) * kernel_x + kx) * inputs + line;
    }
};

// Element (line, k) of lines.
template <class T, class Lines>
__device__ inline float element(const Lines& lines, const typename T::Code* codes, u32 line, u32 k) {
    i64 place = lines.place(line, k);
    return place == OUTSIDE ? 0 : decode<T>(codes[place]);
}

// Where row `row` of the result is stored: as it is, or (image, y, x) of a grid at every `step`th pixel of an image (height, width).
struct Rows {
    u32 mapped;
    Divisor grid_y, grid_x;
    u32 height, width, step, first_y, first_x;

    __device__ u32 place(u32 row) const {
        if (!mapped) return row;
        u32 gy, gx;
        u32 image = divide(divide(row, grid_x, gx), grid_y, gy);
        return (image * height + gy * step + first_y) * width + gx * step + first_x;
    }
};
