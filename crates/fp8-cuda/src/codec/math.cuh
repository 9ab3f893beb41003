// exp, ln, tanh, sigmoid with the bits of fp8_kernels::math: additions, multiplications, divisions and bit shifts, each rounded to nearest.
#pragma once
#include "codec.cuh"

const float LN_2_HIGH = 0.69314575f, LN_2_LOW = 1.4286068e-6f, TO_INTEGER = 12582912.0f;

// x = n ln 2 + r, |r| <= ln 2 / 2: n, and e^r - 1.
__device__ inline int reduced(float x, float& p) {
    float shifted = x * 1.44269504088896340736f + TO_INTEGER;
    float n = shifted - TO_INTEGER;
    float r = (x - n * LN_2_HIGH) - n * LN_2_LOW;
    float q = (((0.0013814467f * r + 0.008368781f) * r + 0.041668393f) * r + 0.1666652f) * r + 0.49999994f;
    p = r + r * r * q;
    return int(bits_of(shifted) - bits_of(TO_INTEGER));
}

__device__ inline float power_of_two(int n) { return float_of(u32(n + 127) << 23); }

__device__ inline float exponential(float x) {
    float p;
    int n = reduced(fminf(fmaxf(x, -105.0f), 89.0f), p), half = n >> 1;
    float power = (1.0f + p) * power_of_two(half) * power_of_two(n - half);
    return x != x ? float_of(NAN_BITS) : power;
}

__device__ inline float logarithm(float x) {
    const u32 ROOT_HALF = 0x3F3504F3, ONE = 0x3F800000;
    bool subnormal = x < 1.17549435e-38f;
    float scaled = subnormal ? x * 8388608.0f : x, exponent = subnormal ? -23.0f : 0.0f;
    u32 bits = bits_of(scaled) + (ONE - ROOT_HALF);
    float k = float(int(bits >> 23) - 127) + exponent;
    float f = float_of((bits & 0x007FFFFF) + ROOT_HALF) - 1.0f;
    float s = f / (2.0f + f), z = s * s;
    float r = ((0.29873073f * z + 0.39977497f) * z + 0.66666776f) * z, half_square = 0.5f * f * f;
    float y = k * LN_2_HIGH + (f - (half_square - (s * (half_square + r) + k * LN_2_LOW)));
    if (x == float_of(INFINITY_BITS)) y = x;
    if (x == 0) y = -float_of(INFINITY_BITS);
    return x >= 0 ? y : float_of(NAN_BITS);
}

__device__ inline float hyperbolic_tangent(float x) {
    float magnitude = fabsf(x), p;
    int n = reduced(2.0f * fminf(magnitude, 10.0f), p);
    float power = power_of_two(n), t = power * p + (power - 1.0f);
    float y = copysignf(t / (t + 2.0f), x);
    return x != x ? float_of(NAN_BITS) : y;
}

__device__ inline float sigmoid(float x) {
    float e = exponential(-fabsf(x));
    return canonical((x < 0 ? e : 1.0f) / (1.0f + e));
}
