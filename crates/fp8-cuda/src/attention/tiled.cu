// y = softmax(scale q k) values: a block of threads has 64 queries of a task and goes through the keys, once, with sums that are scaled down as larger scores come.
#include "tiles.cuh"

extern "C" __global__ void __launch_bounds__(THREADS, BESIDE) forward(Shape shape, const QUERY::Code* q, const KEY::Code* k, const VALUE::Code* values, Store store, Y::Code* y) {
    extern __shared__ uint4 room[];
    u16 *q_tile = reinterpret_cast<u16*>(room), *k_tile = q_tile + LINES * PITCH, *value_tile = k_tile + LINES * PITCH;
    Task task(shape, blockIdx.x);
    u32 first = blockIdx.y * LINES, own = first + threadIdx.x / 32 * 16, lane = threadIdx.x % 32;
    u32 end = task.seen(min(first + LINES, task.queries) - 1);
    Fetched<KEY, LINES> k_lines;
    Fetched<VALUE, LINES> value_lines;
    {
        Fetched<QUERY, LINES> q_lines;
        q_lines.fetch(task, q, first, task.queries);
        k_lines.fetch(task, k, 0, end);
        value_lines.fetch(task, values, 0, end);
        q_lines.keep(q_tile);
    }
    Left<true> left;
    Sums sums = {};
    float most[2] = {-float_of(INFINITY_BITS), -float_of(INFINITY_BITS)}, total[2] = {};
    for (u32 key = 0; key < end; key += LINES) {
        if (key > 0) __syncthreads();
        k_lines.keep(k_tile);
        value_lines.keep(value_tile);
        __syncthreads();
        if (key == 0) left.load(q_tile + threadIdx.x / 32 * 16 * PITCH);
        if (key + LINES < end) {
            k_lines.fetch(task, k, key + LINES, end);
            value_lines.fetch(task, values, key + LINES, end);
        }
        float scores[LINES / 8][4];
        line_products(scores, left, k_tile);
#pragma unroll
        for (u32 half = 0; half < 2; half++) {
            u32 seen = task.seen(own + lane / 4 + 8 * half);
            float next = most[half];
#pragma unroll
            for (u32 n = 0; n < LINES / 8; n++)
#pragma unroll
                for (u32 i = 0; i < 2; i++) {
                    float& score = scores[n][2 * half + i];
                    score = key + 8 * n + lane % 4 * 2 + i < seen ? score * (shape.scale * LOG2_E) : -float_of(INFINITY_BITS);
                    next = fmaxf(next, score);
                }
            next = line_most(next);
            // None seen yet: any base will do.
            float base = next == -float_of(INFINITY_BITS) ? 0 : next, left_over = quick_power(most[half] - base), part = 0;
            most[half] = next;
#pragma unroll
            for (u32 n = 0; n < LINES / 8; n++)
#pragma unroll
                for (u32 i = 0; i < 2; i++) {
                    float& score = scores[n][2 * half + i];
                    score = quick_power(score - base);
                    part = part + score;
                }
            total[half] = total[half] * left_over + part;
#pragma unroll
            for (u32 n = 0; n < PADDED / 8; n++) sums[n][2 * half] = sums[n][2 * half] * left_over, sums[n][2 * half + 1] = sums[n][2 * half + 1] * left_over;
        }
        add_lines(sums, scores, value_tile);
    }
#pragma unroll
    for (u32 half = 0; half < 2; half++) {
        float share = 1.0f / line_sum(total[half]);
#pragma unroll
        for (u32 n = 0; n < PADDED / 8; n++) sums[n][2 * half] = sums[n][2 * half] * share, sums[n][2 * half + 1] = sums[n][2 * half + 1] * share;
    }
    __syncthreads();
    store_lines<None, Y, Y_ROUNDING>(task, sums, reinterpret_cast<float*>(room), own, task.queries, nullptr, store, y);
}
