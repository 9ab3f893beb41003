#include "codec.cuh"

// Columns first .. first + width of y (rows, total) = store(x (rows, width)).
extern "C" __global__ void join(const X::Code* x, u32 width, u32 first, u32 total, Store store, Y::Code* y, u64 n) {
    u64 i = u64(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= n) return;
    u64 index = i / width * total + first + i % width;
    y[index] = encode_at<Y, Y_ROUNDING>(store, decode<X>(x[i]), index);
}
