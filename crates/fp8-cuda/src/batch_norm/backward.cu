// With n = (x - mean) / sqrt(variance + epsilon), and dy masked by y > 0: dx = a dy + b (x - mean) + c per channel.
#include "columns.cuh"
#include "eight.cuh"

// sum dy, sum dy (x - mean).
extern "C" __global__ void sums(Chunks chunks, const DY::Code* dy, const X::Code* x, const Y::Code* y, const float* mean, double* parts) {
    column_parts<2>(chunks, parts, [&](u32 row, u32 column, float* terms) {
        u64 i = u64(row) * chunks.columns + column;
        float error = decode<DY>(dy[i]);
        if constexpr (Y::PRESENT) error = decode<Y>(y[i]) > 0 ? error : 0;
        terms[0] = error;
        terms[1] = error * (decode<X>(x[i]) - mean[column]);
    });
}

// dgamma, dbeta, and a, b, c: lines (3, channels).
extern "C" __global__ void lines(Chunks chunks, const double* parts, const float* variance, const float* gamma, float epsilon, float* dgamma, float* dbeta, float* lines) {
    u32 channel = blockIdx.x * blockDim.x + threadIdx.x;
    if (channel >= chunks.columns) return;
    double errors = column_total(chunks, parts, 0, channel), moments = column_total(chunks, parts, 1, channel);
    double inverse = 1.0f / sqrtf(variance[channel] + epsilon), rows = chunks.rows;
    double a = double(gamma[channel]) * inverse;
    dgamma[channel] = canonical(float(moments * inverse));
    dbeta[channel] = canonical(float(errors));
    lines[channel] = float(a);
    lines[chunks.columns + channel] = float(-a * inverse * inverse * moments / rows);
    lines[2 * chunks.columns + channel] = float(-a * errors / rows);
}

extern "C" __global__ void backward(const DY::Code* dy, const X::Code* x, const Y::Code* y, const float* mean, const float* lines, u32 channels, Store store, DX::Code* dx, u64 n) {
    u64 first = first_element();
    if (first >= n) return;
    float errors[8], inputs[8];
    load8<DY>(dy, first, n, errors);
    load8<X>(x, first, n, inputs);
    mask8<Y>(y, first, n, errors);
    u32 channel = u32(first % channels);
#pragma unroll
    for (int i = 0; i < 8; i++) {
        float a = lines[channel], b = lines[channels + channel], c = lines[2 * channels + channel];
        errors[i] = canonical(a * errors[i] + b * (inputs[i] - mean[channel]) + c);
        channel = channel + 1 == channels ? 0 : channel + 1;
    }
    store8<DX, DX_ROUNDING>(store, dx, first, n, errors);
}
