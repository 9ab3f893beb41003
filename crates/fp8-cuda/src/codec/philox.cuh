// Random bits as on the CPU: Philox4x32-10 (Salmon et al. 2011) of (seed; block, step, stream). docs/numerics.md, section 4.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

// fp8_core::Stream; of the seed, the keys of the ten rounds, two of each.
struct Stream {
    u32 keys[20];
    u32 step;
    u32 id;
};

// a b, upper and lower half. In one instruction, which C++ makes two of.
__device__ inline void wide_product(u32 a, u32 b, u32& upper, u32& lower) {
    asm("{.reg .b64 p; mul.wide.u32 p, %2, %3; mov.b64 {%1, %0}, p;}" : "=r"(upper), "=r"(lower) : "r"(a), "r"(b));
}

__device__ inline uint4 philox(const Stream& stream, u64 block) {
    u32 c0 = u32(block), c1 = u32(block >> 32), c2 = stream.step, c3 = stream.id;
#pragma unroll
    for (int round = 0; round < 10; round++) {
        u32 upper0, lower0, upper1, lower1;
        wide_product(c0, 0xD2511F53u, upper0, lower0);
        wide_product(c2, 0xCD9E8D57u, upper1, lower1);
        c0 = upper1 ^ c1 ^ stream.keys[2 * round], c1 = lower1;
        c2 = upper0 ^ c3 ^ stream.keys[2 * round + 1], c3 = lower0;
    }
    return make_uint4(c0, c1, c2, c3);
}

__device__ inline u32 word(const uint4& words, u32 i) {
    return i == 0 ? words.x : i == 1 ? words.y : i == 2 ? words.z : words.w;
}

// Half `i` of eight, low half first.
__device__ inline u32 half_word(const uint4& words, u32 i) {
    return (word(words, i / 2) >> (16 * (i % 2))) & 0xFFFF;
}

// The 16-bit draw of one element.
__device__ inline u32 draw16(const Stream& stream, u64 index) {
    return half_word(philox(stream, index / 8), u32(index % 8));
}

// The 32-bit draw of one element.
__device__ inline u32 draw32(const Stream& stream, u64 index) {
    return word(philox(stream, index / 4), u32(index % 4));
}
