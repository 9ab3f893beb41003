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
extern "C" __global__ void sums(Columns size, const X::Code* x, const DY::Code* dy, const float2* row_moments, double* parts) {
    struct Operands {
        float2 moment;
        Loaded<X, DY> codes;
    };
    Octet octet = summed_octet(size);
    auto load = [&](u32 row, u64 first) {
        return Operands{row_moments[row], {read_octet<X>(x, first, octet), read_octet<DY>(dy, first, octet)}};
    };
    column_parts<2, 4>(size, octet, parts, load, [](u32, const Operands& loaded, double (&sums)[16]) {
        float inputs[8], errors[8];
        decode8<X, true>(loaded.codes.a, inputs), decode8<DY, true>(loaded.codes.b, errors);
#pragma unroll
        for (int i = 0; i < 8; i++) {
            sums[i] = sums[i] + double(errors[i] * ((inputs[i] - loaded.moment.x) * loaded.moment.y));
            sums[8 + i] = sums[8 + i] + double(errors[i]);
        }
    });
}

extern "C" __global__ void totals(Columns size, const double* parts, float* dgamma, float* dbeta) {
    u32 column;
    double totals[2];
    if (!column_totals(size, parts, column, totals)) return;
    dgamma[column] = canonical(float(totals[0]));
    dbeta[column] = canonical(float(totals[1]));
}
