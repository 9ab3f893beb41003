#include "columns.cuh"

extern "C" __global__ void row_parts(Columns size, const X::Code* x, double* parts) {
    Octet octet = summed_octet(size);
    auto load = [&](u32, u64 first) { return read_octet<X>(x, first, octet); };
    column_parts<1, 16>(size, octet, parts, load, [](u32, const Eight<X::Code>& codes, double (&sums)[8]) {
        float values[8];
        decode8<X, true>(codes, values);
#pragma unroll
        for (int i = 0; i < 8; i++) sums[i] = sums[i] + double(values[i]);
    });
}

// y (columns) = store(sum over rows of x (rows, columns)).
extern "C" __global__ void sum_rows(Columns size, const double* parts, Store store, Y::Code* y) {
    u32 column;
    double totals[1];
    if (!column_totals(size, parts, column, totals)) return;
    y[column] = encode_at<Y, Y_ROUNDING>(store, canonical(float(totals[0])), column);
}
