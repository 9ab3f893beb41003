// dk and dvalues: a block of threads has 64 keys of a task and goes through the queries that see one of them.
#include "tiles.cuh"

// Queries whose scores a warp has at a time.
const u32 AT_ONCE = WIDTH > 64 ? 16 : 32;

// `moments` are those of query_errors.
extern "C" __global__ void __launch_bounds__(THREADS, BESIDE) key_errors(Shape shape, const QUERY::Code* q, const KEY::Code* k, const VALUE::Code* values, const DY::Code* dy, const float2* moments, const R::Code* residual, Store store, Y::Code* dk, const VR::Code* value_residual, Store value_store, VY::Code* dvalues) {
    extern __shared__ uint4 room[];
    u16 *k_tile = reinterpret_cast<u16*>(room), *value_tile = k_tile + LINES * PITCH, *q_tile = value_tile + LINES * PITCH, *dy_tile = q_tile + FEWER * PITCH;
    float2* own_moments = reinterpret_cast<float2*>(dy_tile + FEWER * PITCH);
    Task task(shape, blockIdx.x);
    u32 first = blockIdx.y * LINES, warp = threadIdx.x / 32, own = first + warp * 16, lane = threadIdx.x % 32;
    // The first query that sees one of these keys.
    u32 start = task.ahead > first ? 0 : first + 1 - task.ahead;
    Sums sums = {}, value_sums = {};
    if (first < task.keys) {
        Left<false> k_left, value_left;
        {
            Fetched<KEY, LINES> k_lines;
            Fetched<VALUE, LINES> value_lines;
            k_lines.fetch(task, k, first, task.keys);
            value_lines.fetch(task, values, first, task.keys);
            k_lines.keep(k_tile);
            value_lines.keep(value_tile);
        }
        for (u32 begin = start; begin < task.queries; begin += FEWER) {
            {
                Fetched<QUERY, FEWER> q_lines;
                Fetched<DY, FEWER> dy_lines;
                q_lines.fetch(task, q, begin, task.queries);
                dy_lines.fetch(task, dy, begin, task.queries);
                bool is_query = threadIdx.x < FEWER && begin + threadIdx.x < task.queries;
                float2 moment = is_query ? moments[u64(blockIdx.x) * task.queries + begin + threadIdx.x] : make_float2(0, 0);
                __syncthreads();
                q_lines.keep(q_tile);
                dy_lines.keep(dy_tile);
                if (threadIdx.x < FEWER) own_moments[threadIdx.x] = moment;
            }
            __syncthreads();
            if (begin == start) k_left.load(k_tile + warp * 16 * PITCH), value_left.load(value_tile + warp * 16 * PITCH);
#pragma unroll 1
            for (u32 some = 0; some < FEWER && begin + some < task.queries; some += AT_ONCE) {
                // Of each key and query.
                float shares[AT_ONCE / 8][4], errors[AT_ONCE / 8][4];
                line_products(shares, k_left, q_tile + some * PITCH);
                line_products(errors, value_left, dy_tile + some * PITCH);
#pragma unroll
                for (u32 n = 0; n < AT_ONCE / 8; n++)
#pragma unroll
                    for (u32 i = 0; i < 2; i++) {
                        u32 t = some + 8 * n + lane % 4 * 2 + i, seen = task.seen(begin + t);
                        float2 moment = own_moments[t];
#pragma unroll
                        for (u32 half = 0; half < 2; half++) {
                            float &share = shares[n][2 * half + i], &error = errors[n][2 * half + i];
                            bool there = own + lane / 4 + 8 * half < seen;
                            share = there ? quick_power(share * (shape.scale * LOG2_E) - moment.x) : 0;
                            error = there ? share * (error - moment.y) * shape.scale : 0;
                        }
                    }
                add_lines(value_sums, shares, dy_tile + some * PITCH);
                add_lines(sums, errors, q_tile + some * PITCH);
            }
        }
        __syncthreads();
    }
    float* floats = reinterpret_cast<float*>(room);
    store_lines<R, Y, Y_ROUNDING>(task, sums, floats, own, shape.keys, residual, store, dk);
    store_lines<VR, VY, VY_ROUNDING>(task, value_sums, floats, own, shape.keys, value_residual, value_store, dvalues);
}
