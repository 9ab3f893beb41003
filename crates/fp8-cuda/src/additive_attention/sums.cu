// Sums over keys or queries, ascending, plus residual. A thread has an element of the result.
#include "additive.cuh"

__device__ inline void stored(const Store& store, const R::Code* residual, float sum, u64 index, Y::Code* y) {
    float value = canonical(sum);
    if constexpr (R::PRESENT) value = canonical(sum + decode<R>(residual[index]));
    y[index] = encode_at<Y, Y_ROUNDING>(store, value, index);
}

// What a score's error is in an element of query and key.
__device__ inline float element_error(const Shape& shape, const Q::Code* q, const K::Code* k, const float* errors, const float* unit, u32 t, u32 key, u32 row, u32 column) {
    float squashed = shape.squashed(q, k, t, key, row, column);
    return errors[shape.scores(t, row) + key] * unit[column] * (1.0f - squashed * squashed);
}

// Step (blockIdx.y), and row and column, of the element of this thread; false past the end.
__device__ inline bool place(const Shape& shape, u32 width, u32& step, u32& row, u32& column) {
    u32 i = blockIdx.x * blockDim.x + threadIdx.x;
    step = blockIdx.y, row = i / width, column = i % width;
    return row < shape.batch;
}

// y_t = store(sum_k share_tk values_k).
extern "C" __global__ void contexts(Shape shape, const float* shares, const X::Code* values, const R::Code* residual, Store store, Y::Code* y) {
    u32 t, row, column;
    if (!place(shape, shape.value_width, t, row, column)) return;
    float sum = 0;
    for (u32 key = 0; key < shape.keys_of(row); key++) sum = sum + shares[shape.scores(t, row) + key] * decode<X>(values[shape.value_at(key, row, column)]);
    stored(store, residual, sum, shape.value_at(t, row, column), y);
}

// dvalues_k = store(sum_t share_tk dy_t + residual): 0 past the end of the sequence.
extern "C" __global__ void value_errors(Shape shape, const float* shares, const X::Code* dy, const R::Code* residual, Store store, Y::Code* y) {
    u32 key, row, column;
    if (!place(shape, shape.value_width, key, row, column)) return;
    float sum = 0;
    for (u32 t = 0; t < shape.queries && key < shape.keys_of(row); t++) sum = sum + shares[shape.scores(t, row) + key] * decode<X>(dy[shape.value_at(t, row, column)]);
    stored(store, residual, sum, shape.value_at(key, row, column), y);
}

// dq_t = store(sum_k e_tk + residual).
extern "C" __global__ void query_errors(Shape shape, const Q::Code* q, const K::Code* k, const float* errors, const float* unit, const R::Code* residual, Store store, Y::Code* y) {
    u32 t, row, column;
    if (!place(shape, shape.width, t, row, column)) return;
    float sum = 0;
    for (u32 key = 0; key < shape.keys_of(row); key++) sum = sum + element_error(shape, q, k, errors, unit, t, key, row, column);
    stored(store, residual, sum, shape.at(t, row, column), y);
}

// dk_k = store(sum_t e_tk + residual): 0 past the end of the sequence.
extern "C" __global__ void key_errors(Shape shape, const Q::Code* q, const K::Code* k, const float* errors, const float* unit, const R::Code* residual, Store store, Y::Code* y) {
    u32 key, row, column;
    if (!place(shape, shape.width, key, row, column)) return;
    float sum = 0;
    for (u32 t = 0; t < shape.queries && key < shape.keys_of(row); t++) sum = sum + element_error(shape, q, k, errors, unit, t, key, row, column);
    stored(store, residual, sum, shape.at(key, row, column), y);
}

// Of each sequence: parts (2, batch, width) = sum_t dq_t, sum_tk ds_tk tanh.
extern "C" __global__ void vector_parts(Shape shape, const Q::Code* q, const K::Code* k, const float* errors, const float* unit, float* parts) {
    u32 step, row, column;
    if (!place(shape, shape.width, step, row, column)) return;
    float biases = 0, vector = 0;
    for (u32 t = 0; t < shape.queries; t++) {
        float sum = 0;
        for (u32 key = 0; key < shape.keys_of(row); key++) {
            float ds = errors[shape.scores(t, row) + key], squashed = shape.squashed(q, k, t, key, row, column);
            sum = sum + ds * unit[column] * (1.0f - squashed * squashed);
            vector = vector + ds * squashed;
        }
        biases = canonical(biases + sum);
    }
    parts[u64(row) * shape.width + column] = biases;
    parts[(u64(shape.batch) + row) * shape.width + column] = vector;
}

// du (width) and dbias (width), where it is wanted: the parts over sequences, in FP64, ascending.
extern "C" __global__ void vector_totals(Shape shape, const float* parts, double* du, float* dbias) {
    u32 column = blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= shape.width) return;
    double biases = 0, vector = 0;
    for (u32 row = 0; row < shape.batch; row++) {
        biases = biases + double(parts[u64(row) * shape.width + column]);
        vector = vector + double(parts[(u64(shape.batch) + row) * shape.width + column]);
    }
    du[column] = vector;
    if (dbias) dbias[column] = canonical(float(biases));
}

// dv and dgain, from that of u.
extern "C" __global__ void vector_errors(Shape shape, const double* du, const float* v, const float* gain, const double* norm, float* dv, float* dgain) {
    double along = -0.0;
    for (u32 i = 0; gain && i < shape.width; i++) along = along + double(v[i]) * du[i];
    along = along / *norm;
    for (u32 i = 0; i < shape.width; i++) {
        double error = gain ? double(*gain) / *norm * (du[i] - double(v[i]) * along / *norm) : du[i];
        dv[i] = canonical(float(error));
    }
    if (dgain) *dgain = canonical(float(along));
}
