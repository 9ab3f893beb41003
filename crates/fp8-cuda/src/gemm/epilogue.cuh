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

// The values of COUNT times eight elements of the output, from index[n] on, from their sums, in columns from column[n] on; all are multiples of 8. NaNs are any: what
// stores them knows one.
template <class Residual, int COUNT>
__device__ inline void finish8(const Epilogue& epilogue, float (&values)[COUNT][8], const u64 (&index)[COUNT], const u32 (&column)[COUNT]) {
    if (epilogue.alpha != 1) {
#pragma unroll
        for (int i = 0; i < 8 * COUNT; i++) values[i / 8][i % 8] = epilogue.alpha * values[i / 8][i % 8];
    }
    if (epilogue.bias) {
#pragma unroll
        for (int n = 0; n < COUNT; n++) {
            Eight<float> bias = Eight<float>::at(epilogue.bias + column[n]);
#pragma unroll
            for (int i = 0; i < 8; i++) values[n][i] = values[n][i] + bias.codes[i];
        }
    }
    if constexpr (Residual::PRESENT) {
#pragma unroll
        for (int n = 0; n < COUNT; n++) {
            float residual[8];
            load8<Residual>(static_cast<const typename Residual::Code*>(epilogue.residual), index[n], index[n] + 8, residual);
#pragma unroll
            for (int i = 0; i < 8; i++) values[n][i] = values[n][i] + residual[i];
        }
    }
    if (epilogue.relu) {
#pragma unroll
        for (int i = 0; i < 8 * COUNT; i++) values[i / 8][i % 8] = values[i / 8][i % 8] < 0 ? 0 : values[i / 8][i % 8];
    }
}

template <class Residual>
__device__ inline void finish8(const Epilogue& epilogue, float (&values)[8], u64 index, u32 column) {
    finish8<Residual>(epilogue, reinterpret_cast<float(&)[1][8]>(values), reinterpret_cast<const u64(&)[1]>(index), reinterpret_cast<const u32(&)[1]>(column));
}
