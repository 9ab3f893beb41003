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
