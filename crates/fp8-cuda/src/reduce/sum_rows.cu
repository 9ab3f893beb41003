#include "columns.cuh"

extern "C" __global__ void row_parts(Chunks chunks, const X::Code* x, double* parts) {
    column_parts<1>(chunks, parts, [&](u32 row, u32 column, float* terms) {
        terms[0] = decode<X>(x[u64(row) * chunks.columns + column]);
    });
}

// y (columns) = store(sum over rows of x (rows, columns)).
extern "C" __global__ void sum_rows(Chunks chunks, const double* parts, Store store, Y::Code* y) {
    u32 column = blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= chunks.columns) return;
    float sum = canonical(float(column_total(chunks, parts, 0, column)));
    y[column] = encode_at<Y, Y_ROUNDING>(store, sum, column);
}
