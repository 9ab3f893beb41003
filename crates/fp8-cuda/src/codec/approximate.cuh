// 2^x, log2, exp, tanh, sigmoid by the card's own instructions, to some 1e-6 of the result: beside sums whose order is not the CPU's, its bits are of no use.
#pragma once
#include "codec.cuh"

// 2^x.
__device__ inline float quick_power(float x) {
    float power;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
    return power;
}

// The logarithm to base 2.
__device__ inline float quick_logarithm(float x) {
    float logarithm;
    asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(logarithm) : "f"(x));
    return logarithm;
}

__device__ inline float quick_exponential(float x) { return quick_power(x * 1.44269504088896340736f); }

__device__ inline float quick_reciprocal(float x) {
    float reciprocal;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(reciprocal) : "f"(x));
    return reciprocal;
}

__device__ inline float quick_sigmoid(float x) { return quick_reciprocal(1.0f + quick_exponential(-x)); }

__device__ inline float quick_tangent(float x) {
    float square = x * x;
    // Close to zero 1 - 2 / (1 + e^2x) loses what is left of x.
    float series = __fmaf_rn(__fmaf_rn(__fmaf_rn(__fmaf_rn(0.021869488f, square, -0.053968254f), square, 0.13333334f), square, -0.33333334f), square, 1.0f) * x;
    float far = __fmaf_rn(-2.0f, quick_reciprocal(1.0f + quick_exponential(2.0f * x)), 1.0f);
    return square < 0.09f ? series : far;
}
