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

// Values of rows, FP32, a line each, one after the other for each row of a block. Read in octets, they are summed 16 threads side by side.
extern __shared__ float4 lines[];

// Line `number` of the COUNT of this thread's row. Sixteen more than a multiple of 32, so that both rows of a warp have banks of their own.
template <u32 COUNT>
__device__ inline float* line_of(u32 number, u32 width) {
    u32 pitch = (width + 31) / 32 * 32 + 16;
    return reinterpret_cast<float*>(lines) + (threadIdx.x / LANES * COUNT + number) * pitch;
}

// Calls `body(octet)` for those of a row that are this thread's.
template <class Body>
__device__ inline void each_octet(u32 width, Body body) {
    for (u32 i = lane(); 8 * i < width; i += LANES) body(octet(i, width));
}

__device__ inline void write_line(float* line, const Octet& octet, const float (&values)[8]) {
    float4* line4 = reinterpret_cast<float4*>(line + octet.column);
    line4[0] = make_float4(values[0], values[1], values[2], values[3]), line4[1] = make_float4(values[4], values[5], values[6], values[7]);
}

__device__ inline void read_whole(const float* line, const Octet& octet, float (&values)[8]) {
    const float4* line4 = reinterpret_cast<const float4*>(line + octet.column);
    float4 low = line4[0], high = line4[1];
    values[0] = low.x, values[1] = low.y, values[2] = low.z, values[3] = low.w, values[4] = high.x, values[5] = high.y, values[6] = high.z, values[7] = high.w;
}

// y = store(gamma (x - mean) / sqrt(variance + epsilon) + beta).
extern "C" __global__ void layer_norm(Norm norm, const X::Code* x, const float* gamma, const float* beta, Store store, Y::Code* y) {
    u32 row = group(), width = row < norm.rows ? norm.width : 0;
    u64 first = u64(row) * norm.width;
    float* line = line_of<1>(0, norm.width);
    if (STAGED) {
        each_octet(width, [&](const Octet& octet) {
            float values[8];
            decode8<X, true>(read_octet<X>(x, first + octet.column, octet), values);
            write_line(line, octet, values);
        });
        __syncwarp();
    }
    float2 moment = moments(norm, width, [&](u32 i) { return STAGED ? line[i] : decode<X>(x[first + i]); });
    each_octet(width, [&](const Octet& octet) {
        float values[8], gammas[8], betas[8];
        if (STAGED) read_whole(line, octet, values);
        else decode8<X, true>(read_octet<X>(x, first + octet.column, octet), values);
        read_line(gamma, octet, gammas), read_line(beta, octet, betas);
#pragma unroll
        for (int i = 0; i < 8; i++) values[i] = (values[i] - moment.x) * moment.y * gammas[i] + betas[i];
        store_octet<Y, Y_ROUNDING>(store, y, first + octet.column, octet, values);
    });
}

// dx = store((g - mean(g) - n mean(g n)) / sqrt(variance + epsilon) + residual), g = gamma dy; moments (rows): mean and 1 / sqrt(variance + epsilon).
extern "C" __global__ void backward(Norm norm, const X::Code* x, const float* gamma, const DY::Code* dy, const R::Code* residual, float2* row_moments, Store store, Y::Code* dx) {
    u32 row = group(), width = row < norm.rows ? norm.width : 0;
    u64 first = u64(row) * norm.width;
    float *inputs = line_of<2>(0, norm.width), *errors = line_of<2>(1, norm.width);
    // x and g.
    auto load = [&](const Octet& octet, float (&x8)[8], float (&g8)[8]) {
        float gammas[8];
        decode8<X, true>(read_octet<X>(x, first + octet.column, octet), x8);
        decode8<DY, true>(read_octet<DY>(dy, first + octet.column, octet), g8);
        read_line(gamma, octet, gammas);
#pragma unroll
        for (int i = 0; i < 8; i++) g8[i] = g8[i] * gammas[i];
    };
    if (STAGED) {
        each_octet(width, [&](const Octet& octet) {
            float x8[8], g8[8];
            load(octet, x8, g8);
            write_line(inputs, octet, x8), write_line(errors, octet, g8);
        });
        __syncwarp();
    }
    auto at = [&](u32 i) { return STAGED ? inputs[i] : decode<X>(x[first + i]); };
    auto g = [&](u32 i) { return STAGED ? errors[i] : decode<DY>(dy[first + i]) * gamma[i]; };
    float2 moment = moments(norm, width, at);
    float along = canonical(lanes_sum<float>(width, [&](u32 i) { return g(i) * ((at(i) - moment.x) * moment.y); })) / float(norm.width);
    float average = canonical(lanes_sum<float>(width, g)) / float(norm.width);
    if (width > 0 && lane() == 0) row_moments[row] = moment;
    each_octet(width, [&](const Octet& octet) {
        float x8[8], g8[8];
        if (STAGED) read_whole(inputs, octet, x8), read_whole(errors, octet, g8);
        else load(octet, x8, g8);
#pragma unroll
        for (int i = 0; i < 8; i++) g8[i] = (g8[i] - average - (x8[i] - moment.x) * moment.y * along) * moment.y;
        add8<R>(read_octet<R>(residual, first + octet.column, octet), g8);
        store_octet<Y, Y_ROUNDING>(store, dx, first + octet.column, octet, g8);
    });
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
    column_parts<2, 8>(size, octet, parts, load, [](u32, const Operands& loaded, double (&sums)[16]) {
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
