// What the threads of a warp do together on tensor cores, copies into shared memory that nobody waits for yet, and blocks that wait for each other.
#pragma once
#include "codec.cuh"

// A word holds two 16-bit values, or four codes of 8 bits. Of a matrix (16, 16) lane 4 g + c holds of rows g, g + 8, g, g + 8 the columns 2 c, 2 c + 1 and, in the
// third and fourth word, those eight further; of a matrix (16, 8) of column g the same rows 2 c, 2 c + 1 and eight further; of sums (16, 8) columns 2 c, 2 c + 1 of
// row g and row g + 8. Of codes there are twice as many along k, in the same words.

#define MULTIPLY_SYNC(DEPTH, KINDS)                                                                                                                                  \
    asm volatile("mma.sync.aligned.m16n8k" DEPTH ".row.col.f32." KINDS ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"                        \
                 : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])                                                                                        \
                 : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "r"(right), "r"(further))

// sums (16, 8) += left (16, k) right (k, 8). Of 16-bit values, F16 or Bf16, k is 16, products are exact, sums in FP32; of codes, E5M2 or E4M3, which cards since 8.9
// multiply, k is 32, and sums have fewer bits (docs/numerics.md, section 9).
template <class Left, class Right = Left>
__device__ inline void multiply(float (&sums)[4], const u32 (&left)[4], u32 right, u32 further) {
    static_assert(Left::BITS == Right::BITS);
    if constexpr (Left::BITS == 16) {
        if constexpr (Left::LIKE_F32) MULTIPLY_SYNC("16", "bf16.bf16");
        else MULTIPLY_SYNC("16", "f16.f16");
    } else {
#if __CUDA_ARCH__ >= 890
        if constexpr (Left::MANTISSA_BITS == 2 && Right::MANTISSA_BITS == 2) MULTIPLY_SYNC("32", "e5m2.e5m2");
        else if constexpr (Left::MANTISSA_BITS == 2) MULTIPLY_SYNC("32", "e5m2.e4m3");
        else if constexpr (Right::MANTISSA_BITS == 2) MULTIPLY_SYNC("32", "e4m3.e5m2");
        else MULTIPLY_SYNC("32", "e4m3.e4m3");
#else
        static_assert(Left::BITS == 16, "cards before 8.9 multiply no codes of 8 bits");
#endif
    }
}

#undef MULTIPLY_SYNC

// Four matrices (8, 8) of 16-bit values: lane 8 m + i says where row i of matrix m is, in shared memory; lane 4 g + c gets columns 2 c, 2 c + 1 of each row g.
__device__ inline void load_matrices(u32 (&words)[4], const void* row) {
    u32 address = u32(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];" : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3]) : "r"(address) : "memory");
}

// The same of their transposes.
__device__ inline void load_transposed(u32 (&words)[4], const void* row) {
    u32 address = u32(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];" : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3]) : "r"(address) : "memory");
}

// Two floats as 16-bit values of type H, to nearest.
template <class H>
__device__ inline u32 pair(float low, float high) {
    u32 word;
    if constexpr (H::LIKE_F32) {
        asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
    } else {
        asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
    }
    return word;
}

// Eight codes as 16-bit values of type H.
template <class H, class T>
__device__ inline Eight<u16> narrow(const Eight<typename T::Code>& eight) {
    static_assert(!T::WIDE, "16 bits do not hold FP32");
    Eight<u16> sixteen;
    if constexpr (T::BITS == 16 && T::LIKE_F32 == H::LIKE_F32) {
        sixteen = *reinterpret_cast<const Eight<u16>*>(&eight);
    } else if constexpr (T::BITS == 8 && T::MANTISSA_BITS == 2 && T::BIAS == 15 && !H::LIKE_F32) {
#pragma unroll
        for (int i = 0; i < 4; i++) sixteen.words[i] = bytes_of(eight.words[i / 2], 0, i % 2 == 0 ? 0x1404 : 0x3424);
    } else {
        float values[8];
        decode8<T, true>(eight, values);
#pragma unroll
        for (int i = 0; i < 4; i++) sixteen.words[i] = pair<H>(values[2 * i], values[2 * i + 1]);
    }
    return sixteen;
}

// Of four codes in E5M2, the upper bytes of F16: the values of the first two, and of the last two.
// Volatile: of codes that stay in registers the compiler would keep the values instead, which take twice as many.
__device__ inline u32 first_two(u32 codes) {
    u32 values;
    asm volatile("prmt.b32 %0, %1, 0, 0x1404;" : "=r"(values) : "r"(codes));
    return values;
}

__device__ inline u32 last_two(u32 codes) {
    u32 values;
    asm volatile("prmt.b32 %0, %1, 0, 0x3424;" : "=r"(values) : "r"(codes));
    return values;
}

// Copies 16 bytes into shared memory, or clears them.
__device__ inline void copy16(void* to, const void* from, bool there) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(u32(__cvta_generic_to_shared(to))), "l"(from), "r"(there ? 16 : 0) : "memory");
}

// Ends a group of copies.
__device__ inline void group_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits for all groups of copies of this thread but the last N.
template <int N>
__device__ inline void await_copies() {
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

// Counts this block, with what its threads wrote before they last met.
__device__ inline void count_block(u32* count) {
    __threadfence();
    asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(count) : "memory");
}

// Waits until so many blocks have been counted; then what they wrote is to be seen.
__device__ inline void await_blocks(const u32* count, u32 blocks) {
    u32 found;
    do {
        asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(found) : "l"(count) : "memory");
    } while (found < blocks);
}
