// Mean and variance of columns; the sums that the backward pass needs.
#include "columns.cuh"

// sum x.
extern "C" __global__ void sums(Chunks chunks, const X::Code* x, double* parts) {
    column_parts<1>(chunks, parts, [&](u32 row, u32 column, float* terms) {
        terms[0] = decode<X>(x[u64(row) * chunks.columns + column]);
    });
}

// sum (x - mean)^2.
extern "C" __global__ void squares(Chunks chunks, const X::Code* x, const float* mean, double* parts) {
    column_parts<1>(chunks, parts, [&](u32 row, u32 column, float* terms) {
        float less = decode<X>(x[u64(row) * chunks.columns + column]) - mean[column];
        terms[0] = less * less;
    });
}

// y = total / rows.
extern "C" __global__ void average(Chunks chunks, const double* parts, float* y) {
    u32 column = blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= chunks.columns) return;
    y[column] = canonical(float(column_total(chunks, parts, 0, column) / double(chunks.rows)));
}

// running = (1 - momentum) running + momentum (factor batch).
extern "C" __global__ void blend(float momentum, float factor, const float* batch, float* running, u32 channels) {
    u32 i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < channels) running[i] = canonical((1.0f - momentum) * running[i] + momentum * (factor * batch[i]));
}
