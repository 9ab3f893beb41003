#include "octets.cuh"

// y (rows, width) = store(factor w[token] + positions[row / repeat % positions]). A block has a row.
extern "C" __global__ void embedding(const u32* tokens, const W::Code* w, float factor, const float* table, u32 width, u32 repeat, u32 positions, Store store, Y::Code* y) {
    u32 row = blockIdx.x, token = tokens[row];
    each_spot(1, width, [&](const Spot& spot) {
        float values[8], line[8];
        decode8<W>(read_octet<W>(w, u64(token) * width + spot.octet.column, spot.octet), values);
        if (table) read_line(table + u64(row / repeat % positions) * width, spot.octet, line);
#pragma unroll
        for (int i = 0; i < 8; i++) {
            values[i] = canonical(factor * values[i]);
            if (table) values[i] = canonical(values[i] + line[i]);
        }
        store_octet<Y, Y_ROUNDING, false>(store, y, u64(row) * width + spot.octet.column, spot.octet, values);
    });
}
