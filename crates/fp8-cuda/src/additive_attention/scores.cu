// Probabilities and errors of scores: a block of threads has a query of a sequence, 16 threads a key.
#include "additive.cuh"
#include "lanes.cuh"

// u = v, or gain v / |v|; norm: |v|.
extern "C" __global__ void vector(const float* v, const float* gain, u32 width, float* unit, double* norm) {
    double sum = -0.0;
    for (u32 i = 0; gain && i < width; i++) sum = sum + double(v[i]) * double(v[i]);
    *norm = sqrt(sum);
    for (u32 i = 0; i < width; i++) unit[i] = gain ? float(double(*gain) * double(v[i]) / *norm) : v[i];
}

// Calls `f` with each key of the sequence, for all of 16 threads; the last ones may be past the end.
template <class F>
__device__ inline void each_key(u32 keys, F f) {
    for (u32 first = 0; first < keys; first += blockDim.x / LANES) f(first + threadIdx.x / LANES);
}

// shares = softmax(u tanh(q + k)).
extern "C" __global__ void shares(Shape shape, const Q::Code* q, const K::Code* k, const float* unit, float* scores) {
    u32 t = blockIdx.x, row = blockIdx.y, keys = shape.keys_of(row);
    float* share = scores + shape.scores(t, row);
    each_key(keys, [&](u32 key) {
        float score = canonical(lanes_sum<float>(key < keys ? shape.width : 0, [&](u32 i) {
            return unit[i] * shape.squashed(q, k, t, key, row, i);
        }));
        if (key < keys && lane() == 0) share[key] = score;
    });
    __syncthreads();
    float most = lanes_most(keys, [&](u32 key) { return share[key]; });
    __syncthreads();
    for (u32 key = threadIdx.x; key < keys; key += blockDim.x) share[key] = exponential(share[key] - most);
    __syncthreads();
    float total = -0.0f;
    for (u32 key = 0; key < keys; key++) total = total + share[key];
    __syncthreads();
    for (u32 key = threadIdx.x; key < keys; key += blockDim.x) share[key] = share[key] / total;
}

// errors = shares (dy values - their mean).
extern "C" __global__ void errors(Shape shape, const DY::Code* dy, const V::Code* values, const float* scores, float* errors) {
    u32 t = blockIdx.x, row = blockIdx.y, keys = shape.keys_of(row);
    const float* share = scores + shape.scores(t, row);
    float* error = errors + shape.scores(t, row);
    each_key(keys, [&](u32 key) {
        float along = canonical(lanes_sum<float>(key < keys ? shape.value_width : 0, [&](u32 i) {
            return decode<DY>(dy[shape.value_at(t, row, i)]) * decode<V>(values[shape.value_at(key, row, i)]);
        }));
        if (key < keys && lane() == 0) error[key] = along;
    });
    __syncthreads();
    float mean = 0;
    for (u32 key = 0; key < keys; key++) mean = mean + share[key] * error[key];
    __syncthreads();
    for (u32 key = threadIdx.x; key < keys; key += blockDim.x) error[key] = share[key] * (error[key] - mean);
}
