// Kernels over matrices whose threads have eight columns beside each other. ALIGNED: rows are multiples of eight, so that eight elements are read and written
// at once.
#pragma once
#include "eight.cuh"

// Columns `column` .. `column + count`.
struct Octet {
    u32 column, count;
};

// Those of number `index` of the eights of a row.
__device__ inline Octet octet(u32 index, u32 columns) {
    u32 column = 8 * index;
    return {column, column < columns ? min(8u, columns - column) : 0};
}

template <class T>
__device__ inline Eight<typename T::Code> read_octet(const typename T::Code* codes, u64 first, const Octet& octet) {
#if ALIGNED
    return read8<T>(codes, first, first + 8);
#else
    Eight<typename T::Code> eight = {};
    if constexpr (T::PRESENT) {
#pragma unroll
        for (int i = 0; i < 8; i++) {
            if (u32(i) < octet.count) eight.codes[i] = codes[first + i];
        }
    }
    return eight;
#endif
}

template <class C>
__device__ inline void write_octet(const Eight<C>& eight, C* codes, u64 first, const Octet& octet) {
#if ALIGNED
    write8(eight, codes, first, first + 8);
#else
#pragma unroll
    for (int i = 0; i < 8; i++) {
        if (u32(i) < octet.count) codes[first + i] = eight.codes[i];
    }
#endif
}

template <class T, int ROUNDING, bool COMPUTED = true>
__device__ inline void store_octet(const Store& store, typename T::Code* codes, u64 first, const Octet& octet, const float (&values)[8]) {
#if ALIGNED
    store8<T, ROUNDING, COMPUTED>(store, codes, first, first + 8, values);
#else
#pragma unroll
    for (int i = 0; i < 8; i++) {
        if (u32(i) < octet.count) codes[first + i] = encode_at<T, ROUNDING>(store, COMPUTED ? canonical(values[i]) : values[i], first + i);
    }
#endif
}

// What belongs to the thread's columns; lines begin on boundaries of 16 bytes where rows are whole eights.
__device__ inline void read_line(const float* line, const Octet& octet, float (&values)[8]) {
#if ALIGNED
    const float4* line4 = reinterpret_cast<const float4*>(line + octet.column);
    float4 low = {}, high = {};
    if (octet.count > 0) low = line4[0], high = line4[1];
    values[0] = low.x, values[1] = low.y, values[2] = low.z, values[3] = low.w, values[4] = high.x, values[5] = high.y, values[6] = high.z, values[7] = high.w;
#else
#pragma unroll
    for (int i = 0; i < 8; i++) values[i] = u32(i) < octet.count ? line[octet.column + i] : 0;
#endif
}

// Rows and columns; eights across of a block, and rows of each of its threads.
struct Rows {
    u32 rows, columns, width, rows_of_thread;
};

// The columns of this thread.
__device__ inline Octet octet_of(const Rows& size) { return octet(blockIdx.y * size.width + threadIdx.x % size.width, size.columns); }

// Calls `body(first, load(first))` for each row of this thread; `first` is the index of its first element that is the thread's. COUNT rows are worked on while the
// next ones are read.
template <u32 COUNT, class Load, class Body>
__device__ inline void each_row(const Rows& size, const Octet& octet, Load load, Body body) {
    if (octet.count == 0) return;
    u32 down = blockDim.x / size.width, row = blockIdx.x * down * size.rows_of_thread + threadIdx.x / size.width;
    u32 end = min(size.rows, row + down * size.rows_of_thread);
    typedef decltype(load(u64(0))) Loaded;
    Loaded loaded[COUNT], next[COUNT];
    auto read = [&](u32 row, Loaded(&to)[COUNT]) {
#pragma unroll
        for (u32 at = 0; at < COUNT; at++) {
            if (row + at * down < end) to[at] = load(u64(row + at * down) * size.columns + octet.column);
        }
    };
    read(row, loaded);
    for (; row < end; row += COUNT * down) {
        read(row + COUNT * down, next);
#pragma unroll
        for (u32 at = 0; at < COUNT; at++) {
            if (row + at * down < end) body(u64(row + at * down) * size.columns + octet.column, loaded[at]);
            loaded[at] = next[at];
        }
    }
}

// Eight channels of a pixel of a line.
struct Spot {
    u32 pixel;
    Octet octet;
};

// Calls `body(spot)` for each spot of this thread in a line of `width` pixels, whose spots a block shares with those of its y.
template <class Body>
__device__ inline void each_spot(u32 width, u32 channels, Body body) {
    u32 across = (channels + 7) / 8, count = width * across;
    for (u32 index = blockIdx.y * blockDim.x + threadIdx.x; index < count; index += gridDim.y * blockDim.x) {
        u32 pixel = index / across;
        body(Spot{pixel, octet(index - pixel * across, channels)});
    }
}
