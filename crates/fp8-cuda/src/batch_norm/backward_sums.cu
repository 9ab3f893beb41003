// What the backward pass needs of all rows, dy masked by y > 0.
#include "columns.cuh"

// sum dy, sum dy (x - mean).
extern "C" __global__ void sums(Columns size, const DY::Code* dy, const X::Code* x, const Y::Code* y, const float* mean, double* parts) {
    typedef Loaded<DY, X, Y> All;
    Octet octet = summed_octet(size);
    float means[8];
    read_line(mean, octet, means);
    auto load = [&](u32, u64 first) { return All{read_octet<DY>(dy, first, octet), read_octet<X>(x, first, octet), read_octet<Y>(y, first, octet)}; };
    column_parts<2, 4>(size, octet, parts, load, [&](u32, const All& loaded, double (&sums)[16]) {
        float errors[8], inputs[8];
        masked8<DY, Y, true>(loaded.a, loaded.c, errors);
        decode8<X, true>(loaded.b, inputs);
#pragma unroll
        for (int i = 0; i < 8; i++) {
            sums[i] = sums[i] + double(errors[i]);
            sums[8 + i] = sums[8 + i] + double(errors[i] * (inputs[i] - means[i]));
        }
    });
}

// dgamma, dbeta, and a, b, c of backward.cu: lines (3, channels).
extern "C" __global__ void lines(Columns size, const double* parts, const float* variance, const float* gamma, float epsilon, float* dgamma, float* dbeta, float* lines) {
    u32 channel;
    double totals[2];
    if (!column_totals(size, parts, channel, totals)) return;
    double errors = totals[0], moments = totals[1];
    double inverse = 1.0f / sqrtf(variance[channel] + epsilon), rows = size.rows;
    double a = double(gamma[channel]) * inverse;
    dgamma[channel] = canonical(float(moments * inverse));
    dbeta[channel] = canonical(float(errors));
    lines[channel] = float(a);
    lines[size.columns + channel] = float(-a * inverse * inverse * moments / rows);
    lines[2 * size.columns + channel] = float(-a * errors / rows);
}
