// Products of a warp on tensor cores, of 16-bit operands with sums in FP32: compute capability 8.0 and later.
#pragma once
#include "codec.cuh"

// What operands become: binary16, or bfloat16 where one of them has that type.
template <bool IN_BF16>
struct Narrow {
    template <class T>
    static __device__ inline u16 of(typename T::Code code) {
        if constexpr (IN_BF16) {
            return u16(bits_of(decode<T>(code)) >> 16);
        } else {
            u16 half;
            asm("cvt.rn.f16.f32 %0, %1;" : "=h"(half) : "f"(decode<T>(code)));
            return half;
        }
    }
};

// Codes that are upper halves, or what is wanted already.
template <>
template <>
__device__ inline u16 Narrow<false>::of<E5M2>(u8 code) { return u16(code) << 8; }
template <>
template <>
__device__ inline u16 Narrow<false>::of<F16>(u16 code) { return code; }
template <>
template <>
__device__ inline u16 Narrow<true>::of<Bf16>(u16 code) { return code; }

// Four tiles of 8 x 8 from shared memory, whose rows begin at the addresses of the lanes; TURNED: transposed.
template <bool TURNED>
__device__ inline void load_tiles(u32 (&tiles)[4], u32 address) {
    if constexpr (TURNED) {
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];" : "=r"(tiles[0]), "=r"(tiles[1]), "=r"(tiles[2]), "=r"(tiles[3]) : "r"(address));
    } else {
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];" : "=r"(tiles[0]), "=r"(tiles[1]), "=r"(tiles[2]), "=r"(tiles[3]) : "r"(address));
    }
}

// sums (16, 8) += a (16, 16) b (16, 8).
template <bool IN_BF16>
__device__ inline void multiply(float* sums, const u32 (&a)[4], u32 b0, u32 b1) {
    if constexpr (IN_BF16) {
        asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                     : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
    } else {
        asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                     : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
    }
}
