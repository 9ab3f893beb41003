// Sums over keys or over queries, plus residual: a block of threads has 64 lines of the result, as wide as a tile. Of scores only those of keys that a query sees
// are read.
#include "tiles.cuh"

// Blocks that a multiprocessor has registers for.
const u32 AT_ONCE = 3;

// sums += scores x, of steps start .. end of x; score(line, step): of line `own` and after, and a step.
template <class Score>
__device__ inline void add_steps(const Task& task, Sums& sums, u16* tile, u32 own, u32 start, u32 end, const X::Code* x, Score score) {
    u32 lane = threadIdx.x % 32;
    Fetched<X, LINES> lines;
    lines.fetch(task, x, start, end);
    for (u32 begin = start; begin < end; begin += LINES) {
        float scores[LINES / 8][4];
#pragma unroll
        for (u32 n = 0; n < LINES / 8; n++)
#pragma unroll
            for (u32 i = 0; i < 4; i++) scores[n][i] = score(own + lane / 4 + i / 2 * 8, begin + 8 * n + lane % 4 * 2 + i % 2);
        if (begin > start) __syncthreads();
        lines.keep(tile);
        __syncthreads();
        if (begin + LINES < end) lines.fetch(task, x, begin + LINES, end);
        add_lines(sums, scores, tile);
    }
    __syncthreads();
}

// y_t = store(sum_k scores_tk x_k + residual).
extern "C" __global__ void __launch_bounds__(THREADS, AT_ONCE) over_keys(Shape shape, const float* scores, const X::Code* x, const R::Code* residual, Store store, Y::Code* y) {
    extern __shared__ uint4 room[];
    Task task(shape, blockIdx.x, shape.head_width, blockIdx.y * WIDTH);
    u32 first = blockIdx.z * LINES, own = first + threadIdx.x / 32 * 16, end = task.seen(min(first + LINES, task.queries) - 1);
    scores += shape.scores(blockIdx.x, 0);
    Sums sums = {};
    add_steps(task, sums, reinterpret_cast<u16*>(room), own, 0, end, x, [&](u32 t, u32 key) { return key < task.seen(t) ? scores[u64(t) * shape.keys + key] : 0; });
    store_lines<R, Y, Y_ROUNDING>(task, sums, reinterpret_cast<float*>(room), own, task.queries, residual, store, y);
}

// y_k = store(sum_t scores_tk x_t + residual): 0 past the end of the sequence.
extern "C" __global__ void __launch_bounds__(THREADS, AT_ONCE) over_queries(Shape shape, const float* scores, const X::Code* x, const R::Code* residual, Store store, Y::Code* y) {
    extern __shared__ uint4 room[];
    Task task(shape, blockIdx.x, shape.head_width, blockIdx.y * WIDTH);
    u32 first = blockIdx.z * LINES, own = first + threadIdx.x / 32 * 16;
    // The first query that sees one of these keys, if any does.
    u32 start = task.ahead > first ? 0 : first + 1 - task.ahead, end = first < task.keys ? task.queries : 0;
    scores += shape.scores(blockIdx.x, 0);
    Sums sums = {};
    add_steps(task, sums, reinterpret_cast<u16*>(room), own, start, end, x, [&](u32 key, u32 t) { return key < task.seen(t) ? scores[u64(t) * shape.keys + key] : 0; });
    store_lines<R, Y, Y_ROUNDING>(task, sums, reinterpret_cast<float*>(room), own, shape.keys, residual, store, y);
}
