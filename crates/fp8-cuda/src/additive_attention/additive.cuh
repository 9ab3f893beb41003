// Additive attention, time-major: queries (queries, batch, width), keys (keys, batch, width), values (keys, batch, value_width).
#pragma once
#include "codec.cuh"
#include "math.cuh"

struct Shape {
    u32 queries, keys, batch, width, value_width, unused;
    // Keys of each sequence, or null.
    const u32* lengths;
    // Added to queries, or null.
    const float* bias;

    __device__ u32 keys_of(u32 row) const { return lengths ? lengths[row] : keys; }
    // Scores of a query: (queries, batch, keys).
    __device__ u64 scores(u32 t, u32 row) const { return (u64(t) * batch + row) * keys; }
    // An element of (steps, batch, width).
    __device__ u64 at(u32 step, u32 row, u32 column) const { return (u64(step) * batch + row) * width + column; }
    __device__ u64 value_at(u32 step, u32 row, u32 column) const { return (u64(step) * batch + row) * value_width + column; }

    // tanh of the sum of query and key.
    __device__ float squashed(const Q::Code* q, const K::Code* k, u32 t, u32 key, u32 row, u32 column) const {
        float query = decode<Q>(q[at(t, row, column)]);
        if (bias) query = canonical(query + bias[column]);
        return hyperbolic_tangent(query + decode<K>(k[at(key, row, column)]));
    }
};
