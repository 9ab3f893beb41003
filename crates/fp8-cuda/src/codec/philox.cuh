// Random bits as on the CPU: Philox4x32-10 (Salmon et al. 2011) of (seed; block, step, stream). docs/numerics.md, section 4.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

// fp8_core::Stream.
struct Stream {
    u64 seed;
    u32 step;
    u32 id;
};

__device__ inline uint4 philox(const Stream& stream, u64 block) {
    u32 c0 = u32(block), c1 = u32(block >> 32), c2 = stream.step, c3 = stream.id;
    u32 k0 = u32(stream.seed), k1 = u32(stream.seed >> 32);
#pragma unroll
    for (int round = 0; round < 10; round++) {
        u64 p0 = u64(c0) * 0xD2511F53u, p1 = u64(c2) * 0xCD9E8D57u;
        u32 n0 = u32(p1 >> 32) ^ c1 ^ k0, n2 = u32(p0 >> 32) ^ c3 ^ k1;
        c0 = n0, c1 = u32(p1), c2 = n2, c3 = u32(p0);
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
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
