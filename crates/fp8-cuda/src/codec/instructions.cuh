// Single instructions that C++ has no operator for.
#pragma once
#include "philox.cuh"

// Bytes of `low` (0 to 3) and `high` (4 to 7), one for each hexadecimal digit of `which`, the lowest first.
__device__ inline u32 bytes_of(u32 low, u32 high, u32 which) { return __byte_perm(low, high, which); }

// All bits of a byte become what its topmost is.
__device__ inline u32 spread_signs(u32 bytes) {
    u32 spread;
    asm("prmt.b32 %0, %1, 0, 0xBA98;" : "=r"(spread) : "r"(bytes));
    return spread;
}

// The two halves (binary16) of a word.
__device__ inline void from_halves(u32 pair, float& low, float& high) {
    asm("{.reg .b16 l, h; mov.b32 {l, h}, %2; cvt.f32.f16 %0, l; cvt.f32.f16 %1, h;}" : "=f"(low), "=f"(high) : "r"(pair));
}

// Two values rounded to nearest-even: binary16, bfloat16.
__device__ inline u32 to_halves(float low, float high) {
    u32 pair;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}
__device__ inline u32 to_bfloats(float low, float high) {
    u32 pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}

#if __CUDA_ARCH__ >= 890
// Two values rounded to nearest-even in the low bytes of a word: E5M2, E4M3; those past the largest are the largest.
__device__ inline u32 to_e5m2(float low, float high) {
    u16 pair;
    asm("cvt.rn.satfinite.e5m2x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(high), "f"(low));
    return pair;
}
__device__ inline u32 to_e4m3(float low, float high) {
    u16 pair;
    asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(high), "f"(low));
    return pair;
}
#endif

// The larger of each half.
__device__ inline u32 larger_halves(u32 a, u32 b) { return __vmaxu2(a, b); }

// The product, rounded toward zero.
__device__ inline float product_toward_zero(float a, float b) { return __fmul_rz(a, b); }

// The bits of x that are in MASK, and the others of y. In one instruction, which C++ makes two of.
template <u32 MASK>
__device__ inline u32 chosen_bits(u32 x, u32 y) {
    u32 chosen;
    asm("lop3.b32 %0, %1, %2, %3, 0xCA;" : "=r"(chosen) : "n"(MASK), "r"(x), "r"(y));
    return chosen;
}

// (x << BITS) + y, as a multiplication: the units that shift have enough to do.
template <u32 BITS>
__device__ inline u32 shifted_sum(u32 x, u32 y) {
    u32 sum;
    asm("mad.lo.u32 %0, %1, %2, %3;" : "=r"(sum) : "r"(x), "n"(1 << BITS), "r"(y));
    return sum;
}
