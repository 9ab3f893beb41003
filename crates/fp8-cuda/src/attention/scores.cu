// Scores (task, query, key): a block of threads has the queries of a block, one after the other 16 threads each.
#include "attention.cuh"
#include "lanes.cuh"
#include "math.cuh"

// The product of query t of a and key k of b, products and sums rounded separately.
__device__ inline float product(const Shape& shape, const A::Code* a, const B::Code* b, u32 task, u32 t, u32 k) {
    u64 left = shape.first(task, t), right = shape.first(task, k);
    float sum = 0;
    for (u32 i = 0; i < shape.head_width; i++) sum = sum + decode<A>(a[left + i]) * decode<B>(b[right + i]);
    return sum;
}

// Calls `f` with each query of the block, for all of 16 threads; the last ones may be past the end.
template <class F>
__device__ inline void each_query(F f) {
    for (u32 i = threadIdx.x / LANES; i < BLOCK; i += blockDim.x / LANES) f(blockIdx.x * BLOCK + i);
}

// shares = softmax(scale q k), 0 for keys that are not seen.
extern "C" __global__ void shares(Shape shape, const A::Code* q, const B::Code* k, float* scores) {
    u32 task = blockIdx.y;
    each_query([&](u32 t) {
        u32 seen = t < shape.queries ? shape.seen(task, t) : 0;
        float* row = scores + shape.scores(task, min(t, shape.queries - 1));
        for (u32 key = lane(); key < seen; key += LANES) row[key] = product(shape, q, k, task, t, key) * shape.scale;
        __syncwarp();
        float most = lanes_most(seen, [&](u32 key) { return row[key]; });
        for (u32 key = lane(); key < seen; key += LANES) row[key] = exponential(row[key] - most);
        float total = canonical(lanes_sum<float>(seen, [&](u32 key) { return row[key]; }));
        for (u32 key = lane(); key < seen; key += LANES) row[key] = row[key] / total;
        u32 end = seen > 0 ? shape.seen_by_block(task, t) : 0;
        for (u32 key = seen + lane(); key < end; key += LANES) row[key] = 0;
    });
}

// errors = shares (dy values - their mean) scale, 0 for keys that are not seen.
extern "C" __global__ void errors(Shape shape, const A::Code* dy, const B::Code* values, const float* scores, float* errors) {
    u32 task = blockIdx.y;
    each_query([&](u32 t) {
        u32 seen = t < shape.queries ? shape.seen(task, t) : 0;
        const float* share = scores + shape.scores(task, min(t, shape.queries - 1));
        float* row = errors + shape.scores(task, min(t, shape.queries - 1));
        for (u32 key = lane(); key < seen; key += LANES) row[key] = product(shape, dy, values, task, t, key);
        float mean = canonical(lanes_sum<float>(seen, [&](u32 key) { return share[key] * row[key]; }));
        for (u32 key = lane(); key < seen; key += LANES) row[key] = share[key] * (row[key] - mean) * shape.scale;
        u32 end = seen > 0 ? shape.seen_by_block(task, t) : 0;
        for (u32 key = seen + lane(); key < end; key += LANES) row[key] = 0;
    });
}
