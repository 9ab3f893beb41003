// Sums of x, or of the squares of x / x_scale (SQUARES), of many tensors together: of chunks in FP32, then of a tensor in FP64 (docs/numerics.md, section 6).
#include "lanes.cuh"

// Elements of a chunk; bytes that 16 threads read at once: 64 each.
const u32 CHUNK = 32768, BATCH = 1024;

// A piece of a tensor of CHUNK elements or less.
struct Chunk {
    const X::Code* x;
    u32 len;
    float x_scale;
};

__device__ inline void add_term(float value, float x_scale, float& sum) {
#if SQUARES
    if (x_scale != 1.0f) value = value / x_scale;
    value = value * value;
#endif
    sum = sum + value;
}

// parts (count): 16 threads have a chunk, whose lines of 16 elements come one after the other. A block is a warp.
extern "C" __global__ void chunk_sums(const Chunk* chunks, u32 count, float* parts) {
    // Elements lie in memory as lines; a thread adds a column.
    // Four more, so that both groups of a warp have banks of their own.
    __shared__ uint4 room[32 / LANES][BATCH / 16 + 4];
    constexpr u32 LINES = BATCH / (LANES * sizeof(X::Code));
    u32 index = group();
    bool mine = index < count;
    Chunk chunk = chunks[mine ? index : 0];
    u32 batches = mine ? chunk.len / (LINES * LANES) : 0, most = max(batches, __shfl_xor_sync(~0u, batches, LANES));
    uint4* batch = room[threadIdx.x / LANES];
    const X::Code* column = reinterpret_cast<const X::Code*>(batch) + lane();
    const uint4* next = reinterpret_cast<const uint4*>(chunk.x) + lane();
    float sum = 0;
    uint4 ahead[4] = {};
    auto read = [&](u32 number) {
#pragma unroll
        for (u32 i = 0; i < 4; i++) {
            if (number < batches) ahead[i] = next[BATCH / 16 * number + LANES * i];
        }
    };
    read(0);
    for (u32 number = 0; number < most; number++) {
#pragma unroll
        for (u32 i = 0; i < 4; i++) batch[LANES * i + lane()] = ahead[i];
        __syncwarp();
        read(number + 1);
        if (number < batches) {
#pragma unroll 2
            for (u32 line = 0; line < LINES; line += 8) {
                Eight<X::Code> codes;
                float values[8];
#pragma unroll
                for (u32 i = 0; i < 8; i++) codes.codes[i] = column[LANES * (line + i)];
                decode8<X, true>(codes, values);
#pragma unroll
                for (u32 i = 0; i < 8; i++) add_term(values[i], chunk.x_scale, sum);
            }
        }
        __syncwarp();
    }
    u32 len = mine ? chunk.len : 0;
    for (u32 i = batches * LINES * LANES + lane(); i < len; i += LANES) add_term(decode<X>(chunk.x[i]), chunk.x_scale, sum);
    sum = tree(sum);
    if (mine && lane() == 0) parts[index] = sum;
}

// totals (tensors): the sums of the parts begins[i] .. begins[i + 1] of each, ascending. A warp has a tensor.
extern "C" __global__ void totals(const u32* begins, u32 tensors, const float* parts, float* totals) {
    u32 tensor = (blockIdx.x * blockDim.x + threadIdx.x) / 32, place = threadIdx.x % 32;
    if (tensor >= tensors) return;
    u32 end = begins[tensor + 1];
    double sum = -0.0;
    for (u32 first = begins[tensor]; first < end; first += 32) {
        // To add -0 changes no sum.
        double part = first + place < end ? double(parts[first + place]) : -0.0;
#pragma unroll
        for (u32 i = 0; i < 32; i++) sum = sum + __shfl_sync(~0u, part, i);
    }
    if (place == 0) totals[tensor] = canonical(float(sum));
}
