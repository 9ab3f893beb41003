#include "eight.cuh"

// y (rows, width) = store(factor w[token] + positions[row / repeat % positions]).
extern "C" __global__ void embedding(const u32* tokens, const W::Code* w, float factor, const float* table, u32 width, u32 repeat, u32 positions, Store store, Y::Code* y, u64 n) {
    u64 first = first_element();
    if (first >= n) return;
    float values[8] = {};
    for (u32 i = 0; i < 8 && first + i < n; i++) {
        u32 row = u32((first + i) / width), column = u32((first + i) % width);
        values[i] = canonical(factor * decode<W>(w[u64(tokens[row]) * width + column]));
        if (table) values[i] = canonical(values[i] + table[u64(row / repeat % positions) * width + column]);
    }
    store8<Y, Y_ROUNDING>(store, y, first, n, values);
}
