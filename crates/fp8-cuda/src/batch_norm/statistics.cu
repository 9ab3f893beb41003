// Mean and variance of columns.
#include "columns.cuh"

// sum x, sum x^2: the squares are exact in FP64.
extern "C" __global__ void __launch_bounds__(256, X::BITS == 8 ? 4 : 3) sums(Columns size, const X::Code* x, double* parts) {
    Octet octet = summed_octet(size);
    auto load = [&](u32, u64 first) { return read_octet<X>(x, first, octet); };
    column_parts<2, 4>(size, octet, parts, load, [](u32, const Eight<X::Code>& codes, double (&sums)[16]) {
        float values[8];
        decode8<X, true>(codes, values);
#pragma unroll
        for (int i = 0; i < 8; i++) {
            double value = values[i];
            sums[i] = sums[i] + value;
            sums[8 + i] = __fma_rn(value, value, sums[8 + i]);
        }
    });
}

// mean = sum x / rows; variance = (sum x^2 - sum x sum x / rows) / rows.
extern "C" __global__ void statistics(Columns size, const double* parts, float* mean, float* variance) {
    u32 column;
    double totals[2];
    if (!column_totals(size, parts, column, totals)) return;
    double rows = size.rows, squares = (totals[1] - totals[0] * totals[0] / rows) / rows;
    mean[column] = canonical(float(totals[0] / rows));
    variance[column] = canonical(float(squares < 0 ? 0 : squares));
}

// running = (1 - momentum) running + momentum (factor batch), of mean (factor 1) and variance.
extern "C" __global__ void blend(float momentum, float unbiased, const float* mean, const float* variance, float* running_mean, float* running_variance, u32 channels) {
    u32 i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= channels) return;
    running_mean[i] = canonical((1.0f - momentum) * running_mean[i] + momentum * mean[i]);
    running_variance[i] = canonical((1.0f - momentum) * running_variance[i] + momentum * (unbiased * variance[i]));
}
