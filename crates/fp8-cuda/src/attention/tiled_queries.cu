// dq, and what the errors of keys need of each query: a block of threads has 64 queries of a task. It goes through the keys twice, up for the softmax and the mean
// of dy values, down for the errors: what the first way ends with, the second begins with.
#include "tiles.cuh"

// Of each query (task, query): the logarithm to base 2 of the sum of e^(scale q k), and the mean of dy values.
extern "C" __global__ void __launch_bounds__(THREADS, BESIDE) query_errors(Shape shape, const QUERY::Code* q, const KEY::Code* k, const VALUE::Code* values, const DY::Code* dy, float2* moments, const R::Code* residual, Store store, Y::Code* dq) {
    extern __shared__ uint4 room[];
    u16 *q_tile = reinterpret_cast<u16*>(room), *dy_tile = q_tile + LINES * PITCH, *k_tile = dy_tile + LINES * PITCH, *value_tile = k_tile + FEWER * PITCH;
    Task task(shape, blockIdx.x);
    u32 first = blockIdx.y * LINES, warp = threadIdx.x / 32, own = first + warp * 16, lane = threadIdx.x % 32;
    u32 end = task.seen(min(first + LINES, task.queries) - 1);
    float scores[FEWER / 8][4], along[FEWER / 8][4];
    Left<false> q_left, dy_left;
    // Scores times log2(e), -infinity for keys that are not seen, and products of dy and values.
    auto compute = [&](u32 key) {
        float unit = shape.scale * LOG2_E;
        line_products(scores, q_left, k_tile);
        line_products(along, dy_left, value_tile);
#pragma unroll
        for (u32 i = 0; i < 4; i++) {
            u32 seen = task.seen(own + lane / 4 + i / 2 * 8);
#pragma unroll
            for (u32 n = 0; n < FEWER / 8; n++) {
                bool there = key + 8 * n + lane % 4 * 2 + i % 2 < seen;
                scores[n][i] = there ? scores[n][i] * unit : -float_of(INFINITY_BITS);
                along[n][i] = there ? along[n][i] : 0;
            }
        }
    };
    auto load = [&](u32 key) {
        Fetched<KEY, FEWER> k_lines;
        Fetched<VALUE, FEWER> value_lines;
        k_lines.fetch(task, k, key, end);
        value_lines.fetch(task, values, key, end);
        __syncthreads();
        k_lines.keep(k_tile);
        value_lines.keep(value_tile);
        __syncthreads();
    };
    {
        Fetched<QUERY, LINES> q_lines;
        Fetched<DY, LINES> dy_lines;
        q_lines.fetch(task, q, first, task.queries);
        dy_lines.fetch(task, dy, first, task.queries);
        q_lines.keep(q_tile);
        dy_lines.keep(dy_tile);
    }
    float most[2] = {-float_of(INFINITY_BITS), -float_of(INFINITY_BITS)}, total[2] = {}, mean[2] = {};
    for (u32 key = 0; key < end; key += FEWER) {
        load(key);
        if (key == 0) q_left.load(q_tile + warp * 16 * PITCH), dy_left.load(dy_tile + warp * 16 * PITCH);
        compute(key);
#pragma unroll
        for (u32 half = 0; half < 2; half++) {
            float next = most[half];
#pragma unroll
            for (u32 n = 0; n < FEWER / 8; n++) next = fmaxf(next, fmaxf(scores[n][2 * half], scores[n][2 * half + 1]));
            next = line_most(next);
            float base = next == -float_of(INFINITY_BITS) ? 0 : next, left_over = quick_power(most[half] - base), part = 0, products = 0;
            most[half] = next;
#pragma unroll
            for (u32 n = 0; n < FEWER / 8; n++)
#pragma unroll
                for (u32 i = 0; i < 2; i++) {
                    float share = quick_power(scores[n][2 * half + i] - base);
                    part = part + share, products = __fmaf_rn(share, along[n][2 * half + i], products);
                }
            total[half] = total[half] * left_over + part, mean[half] = mean[half] * left_over + products;
        }
    }
#pragma unroll
    for (u32 half = 0; half < 2; half++) {
        u32 t = own + lane / 4 + 8 * half;
        total[half] = line_sum(total[half]), mean[half] = line_sum(mean[half]) / total[half];
        most[half] = most[half] + quick_logarithm(total[half]);
        if (lane % 4 == 0 && t < task.queries) moments[u64(blockIdx.x) * task.queries + t] = make_float2(most[half], mean[half]);
    }
    Sums sums = {};
    u32 last = (end - 1) / FEWER * FEWER;
    for (u32 key = last;; key -= FEWER) {
        if (key < last) load(key), compute(key);
#pragma unroll
        for (u32 n = 0; n < FEWER / 8; n++)
#pragma unroll
            for (u32 i = 0; i < 4; i++) {
                bool there = scores[n][i] != -float_of(INFINITY_BITS);
                float error = quick_power(scores[n][i] - most[i / 2]) * (along[n][i] - mean[i / 2]) * shape.scale;
                scores[n][i] = there ? error : 0;
            }
        add_lines(sums, scores, k_tile);
        if (key == 0) break;
    }
    __syncthreads();
    store_lines<R, Y, Y_ROUNDING>(task, sums, reinterpret_cast<float*>(room), own, task.queries, residual, store, dq);
}
