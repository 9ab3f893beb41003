#include "octets.cuh"

// dw (entries, width) = store(factor * sum of the dy of an entry's rows + residual); the rows of entry e are rows[starts[e]] .. rows[starts[e + 1]], ascending.
// A block has an entry.
extern "C" __global__ void embedding_backward(const u32* starts, const u32* rows, const DY::Code* dy, float factor, const R::Code* residual, u32 width, Store store, DW::Code* dw) {
    u32 entry = blockIdx.x, begin = starts[entry], end = starts[entry + 1];
    each_spot(1, width, [&](const Spot& spot) {
        float values[8] = {};
        for (u32 at = begin; at < end; at++) add8<DY>(read_octet<DY>(dy, u64(rows[at]) * width + spot.octet.column, spot.octet), values);
#pragma unroll
        for (int i = 0; i < 8; i++) values[i] = factor * values[i];
        u64 first = u64(entry) * width + spot.octet.column;
        add8<R>(read_octet<R>(residual, first, spot.octet), values);
        store_octet<DW, DW_ROUNDING>(store, dw, first, spot.octet, values);
    });
}
