// The tail of a product: store(relu?(alpha * sum + bias + residual)), in FP32, in that order.
#pragma once
#include "codec.cuh"

struct Epilogue {
    float alpha;
    u32 relu;
    // One per column, or null.
    const float* bias;
    // Of the output's shape and the type R, or null.
    const void* residual;
    Store store;
};

// The value of element `index` of the output, in column `column`.
template <class R>
__device__ inline float finished(const Epilogue& epilogue, float sum, u64 index, u32 column) {
    float value = sum != sum ? canonical(sum) : epilogue.alpha * sum;
    if (epilogue.bias) value = canonical(value + epilogue.bias[column]);
    if constexpr (R::PRESENT) {
        value = canonical(value + decode<R>(static_cast<const typename R::Code*>(epilogue.residual)[index]));
    }
    return epilogue.relu && value < 0 ? 0 : value;
}

// The values of elements index .. index + 8 of the output, from their sums, in columns from `column` on; both are multiples of 8. NaNs are any: what stores them
// knows one.
template <class Residual>
__device__ inline void finish8(const Epilogue& epilogue, float (&values)[8], u64 index, u32 column) {
    if (epilogue.alpha != 1) {
#pragma unroll
        for (int i = 0; i < 8; i++) values[i] = epilogue.alpha * values[i];
    }
    if (epilogue.bias) {
        Eight<float> bias = Eight<float>::at(epilogue.bias + column);
#pragma unroll
        for (int i = 0; i < 8; i++) values[i] = values[i] + bias.codes[i];
    }
    if constexpr (Residual::PRESENT) {
        float residual[8];
        load8<Residual>(static_cast<const typename Residual::Code*>(epilogue.residual), index, index + 8, residual);
#pragma unroll
        for (int i = 0; i < 8; i++) values[i] = values[i] + residual[i];
    }
    if (epilogue.relu) {
#pragma unroll
        for (int i = 0; i < 8; i++) values[i] = values[i] < 0 ? 0 : values[i];
    }
}
