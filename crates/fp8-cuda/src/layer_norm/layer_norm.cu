// Layer normalisation of each row of (rows, width): 16 threads have a row.
#include "columns.cuh"
#include "lanes.cuh"

struct Norm {
    u32 rows, width;
    float epsilon;
};

// Mean and 1 / sqrt(variance + epsilon) of a row of values at(i).
template <class F>
__device__ inline float2 moments(const Norm& norm, u32 width, F at) {
    float mean = canonical(lanes_sum<float>(width, at)) / float(norm.width);
    float variance = canonical(lanes_sum<float>(width, [&](u32 i) { return (at(i) - mean) * (at(i) - mean); })) / float(norm.width);
    return make_float2(mean, 1.0f / sqrtf(variance + norm.epsilon));
}

// y = store(gamma (x - mean) / sqrt(variance + epsilon) + beta).
extern "C" __global__ void layer_norm(Norm norm, const X::Code* x, const float* gamma, const float* beta, Store store, Y::Code* y) {
    u32 row = group(), width = row < norm.rows ? norm.width : 0;
    u64 first = u64(row) * norm.width;
    auto at = [&](u32 i) { return decode<X>(x[first + i]); };
    float2 moment = moments(norm, width, at);
    for (u32 i = lane(); i < width; i += LANES) {
        float value = canonical((at(i) - moment.x) * moment.y * gamma[i] + beta[i]);
        y[first + i] = encode_at<Y, Y_ROUNDING>(store, value, first + i);
    }
}

// dx = store((g - mean(g) - n mean(g n)) / sqrt(variance + epsilon) + residual), g = gamma dy; moments (rows): mean and 1 / sqrt(variance + epsilon).
extern "C" __global__ void backward(Norm norm, const X::Code* x, const float* gamma, const DY::Code* dy, const R::Code* residual, float2* row_moments, Store store, Y::Code* dx) {
    u32 row = group(), width = row < norm.rows ? norm.width : 0;
    u64 first = u64(row) * norm.width;
    auto at = [&](u32 i) { return decode<X>(x[first + i]); };
    float2 moment = moments(norm, width, at);
    auto n = [&](u32 i) { return (at(i) - moment.x) * moment.y; };
    auto g = [&](u32 i) { return decode<DY>(dy[first + i]) * gamma[i]; };
    float along = canonical(lanes_sum<float>(width, [&](u32 i) { return g(i) * n(i); })) / float(norm.width);
    float average = canonical(lanes_sum<float>(width, g)) / float(norm.width);
    if (width > 0 && lane() == 0) row_moments[row] = moment;
    for (u32 i = lane(); i < width; i += LANES) {
        float value = canonical((g(i) - average - n(i) * along) * moment.y);
        if constexpr (R::PRESENT) value = canonical(value + decode<R>(residual[first + i]));
        dx[first + i] = encode_at<Y, Y_ROUNDING>(store, value, first + i);
    }
}

// sum dy n, sum dy.
extern "C" __global__ void sums(Chunks chunks, const X::Code* x, const DY::Code* dy, const float2* row_moments, double* parts) {
    column_parts<2>(chunks, parts, [&](u32 row, u32 column, float* terms) {
        u64 i = u64(row) * chunks.columns + column;
        float2 moment = row_moments[row];
        terms[1] = decode<DY>(dy[i]);
        terms[0] = terms[1] * ((decode<X>(x[i]) - moment.x) * moment.y);
    });
}

extern "C" __global__ void totals(Chunks chunks, const double* parts, float* dgamma, float* dbeta) {
    u32 column = blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= chunks.columns) return;
    dgamma[column] = canonical(float(column_total(chunks, parts, 0, column)));
    dbeta[column] = canonical(float(column_total(chunks, parts, 1, column)));
}
