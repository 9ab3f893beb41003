// Sums over keys or over queries, ascending, products and sums rounded separately, plus residual. A thread has an element of the result.
#include "attention.cuh"

__device__ inline void stored(const Store& store, const R::Code* residual, float sum, u64 index, Y::Code* y) {
    float value = canonical(sum);
    if constexpr (R::PRESENT) value = canonical(sum + decode<R>(residual[index]));
    y[index] = encode_at<Y, Y_ROUNDING>(store, value, index);
}

// y_t = store(sum_k scores_tk x_k + residual).
extern "C" __global__ void over_keys(Shape shape, const float* scores, const X::Code* x, const R::Code* residual, Store store, Y::Code* y) {
    u32 i = blockIdx.x * blockDim.x + threadIdx.x, task = blockIdx.y;
    if (i >= shape.queries * shape.head_width) return;
    u32 t = i / shape.head_width, column = i % shape.head_width, seen = shape.seen_by_block(task, t);
    const float* row = scores + shape.scores(task, t);
    float sum = 0;
    for (u32 k = 0; k < seen; k++) sum = sum + row[k] * decode<X>(x[shape.first(task, k) + column]);
    stored(store, residual, sum, shape.first(task, t) + column, y);
}

// y_k = store(sum_t scores_tk x_t + residual): 0 past the end of the sequence.
extern "C" __global__ void over_queries(Shape shape, const float* scores, const X::Code* x, const R::Code* residual, Store store, Y::Code* y) {
    u32 i = blockIdx.x * blockDim.x + threadIdx.x, task = blockIdx.y;
    if (i >= shape.keys * shape.head_width) return;
    u32 k = i / shape.head_width, column = i % shape.head_width;
    float sum = 0;
    for (u32 t = 0; t < shape.queries; t++) {
        if (k < shape.seen_by_block(task, t)) sum = sum + scores[shape.scores(task, t) + k] * decode<X>(x[shape.first(task, t) + column]);
    }
    stored(store, residual, sum, shape.first(task, k) + column, y);
}
