// Scores as products of lines of a and b, for keys that a query sees: a block of threads has 64 queries and 64 keys of a task and goes through the width of the
// head by tiles.
#include "tiles.cuh"

extern "C" __global__ void __launch_bounds__(THREADS, BESIDE) products(Shape shape, const A::Code* a, const B::Code* b, float* scores) {
    extern __shared__ uint4 room[];
    u16 *a_tile = reinterpret_cast<u16*>(room), *b_tile = a_tile + LINES * PITCH;
    u32 first = blockIdx.y * LINES, first_key = blockIdx.z * LINES, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    Task task(shape, blockIdx.x, shape.head_width);
    u32 end = task.seen(min(first + LINES, task.queries) - 1);
    if (first_key >= end) return;
    Fetched<A, LINES> a_lines;
    Fetched<B, LINES> b_lines;
    auto fetch = [&](u32 column) {
        Task part(shape, blockIdx.x, shape.head_width, column);
        a_lines.fetch(part, a, first, task.queries);
        b_lines.fetch(part, b, first_key, end);
    };
    fetch(0);
    Left<false> left;
    left.load(a_tile + warp * 16 * PITCH);
    float sums[LINES / 8][4] = {};
    for (u32 column = 0; column < shape.head_width; column += WIDTH) {
        if (column > 0) __syncthreads();
        a_lines.keep(a_tile);
        b_lines.keep(b_tile);
        __syncthreads();
        if (column + WIDTH < shape.head_width) fetch(column + WIDTH);
        add_products(sums, left, b_tile);
    }
#pragma unroll
    for (u32 half = 0; half < 2; half++) {
        u32 t = first + warp * 16 + lane / 4 + 8 * half, seen = task.seen(t);
        float* row = scores + shape.scores(blockIdx.x, t);
#pragma unroll
        for (u32 n = 0; n < LINES / 8; n++)
#pragma unroll
            for (u32 i = 0; i < 2; i++) {
                u32 key = first_key + 8 * n + lane % 4 * 2 + i;
                if (key < seen) row[key] = sums[n][2 * half + i];
            }
    }
}
