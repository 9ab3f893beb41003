#include "eight.cuh"

// dw (entries, width) = store(factor * sum of the dy of an entry's rows + residual); the rows of entry e are rows[starts[e]] .. rows[starts[e + 1]], ascending.
extern "C" __global__ void embedding_backward(const u32* starts, const u32* rows, const DY::Code* dy, float factor, const R::Code* residual, u32 width, Store store, DW::Code* dw, u64 n) {
    u64 first = first_element();
    if (first >= n) return;
    float values[8] = {};
    for (u32 i = 0; i < 8 && first + i < n; i++) {
        u32 entry = u32((first + i) / width), column = u32((first + i) % width);
        float sum = 0;
        for (u32 at = starts[entry]; at < starts[entry + 1]; at++) sum = canonical(sum + decode<DY>(dy[u64(rows[at]) * width + column]));
        values[i] = canonical(factor * sum);
    }
    add8<R>(residual, first, n, values);
    store8<DW, DW_ROUNDING, true>(store, dw, first, n, values);
}
