#include "pool.cuh"

// Places of a row of a window that are read at once; 0: one, and the next when it was compared.
constexpr u32 ROW = KERNEL == 0 ? 1 : KERNEL;

// A window of a matrix of pixels, as far as it lies on it: those of its `kernel` rows and columns. `pixel` and `line`: elements from one to the next.
struct Window {
    u32 kernel, first_row, end_row, first_column, end_column;
    u64 pixel, line;
};

// Calls `body(place, codes)` for each place of a window that begins at `begin`.
template <class Body>
__device__ inline void each_place(const Window& window, const X::Code* begin, const Octet& octet, Body body) {
    for (u32 ky = window.first_row; ky < window.end_row; ky++) {
        for (u32 kx = 0; kx < window.kernel; kx += ROW) {
            Eight<X::Code> row[ROW];
            auto is_there = [&](u32 i) { return kx + i >= window.first_column && kx + i < window.end_column; };
#pragma unroll
            for (u32 i = 0; i < ROW; i++) {
                if (is_there(i)) row[i] = read_octet<X>(begin, ky * window.line + (kx + i) * window.pixel, octet);
            }
#pragma unroll
            for (u32 i = 0; i < ROW; i++) {
                if (is_there(i)) body(ky * window.kernel + kx + i, row[i]);
            }
        }
    }
}

// The largest codes and their places where none is negative or NaN: of such codes the largest is that of the largest value. In the halves of words, a code above
// what its place lacks of 255.
template <class T>
__device__ inline bool largest_codes(const Window& window, const typename T::Code* begin, const Octet& octet, Eight<typename T::Code>& codes, Eight<u8>& places) {
    if constexpr (HALF_LIKE<T>) {
        // A place is less than 255.
        if (window.kernel > 15) return false;
        u32 best[4] = {}, others = 0;
        each_place(window, begin, octet, [&](u32 place, const Eight<u8>& eight) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                u32 pair = bytes_of(eight.words[i / 2], 255 - place, i % 2 == 0 ? 0x1404 : 0x3424);
                best[i] = larger_halves(best[i], pair);
            }
#pragma unroll
            for (int i = 0; i < 2; i++) others |= eight.words[i] | ((eight.words[i] & 0x7F7F7F7F) + (0x80 - T::FIRST_NAN) * 0x01010101);
        });
#pragma unroll
        for (int i = 0; i < 2; i++) {
            codes.words[i] = bytes_of(best[2 * i], best[2 * i + 1], 0x7531);
            places.words[i] = ~bytes_of(best[2 * i], best[2 * i + 1], 0x6420);
        }
        return !(others & 0x80808080);
    }
    return false;
}

// y = store(max over the window), and its place in the window, the first of equals; a NaN is larger than all. A block has (part of) a line of y.
extern "C" __global__ void max_pool(Pool pool, const X::Code* x, Store store, Y::Code* y, u8* index) {
    u32 image = blockIdx.x / pool.out_height, line = blockIdx.x - image * pool.out_height, kernel = KERNEL == 0 ? pool.kernel : KERNEL;
    int top = int(line * pool.stride) - int(pool.padding);
    Window window = {kernel, u32(max(-top, 0)), min(kernel, u32(max(int(pool.height) - top, 0)))};
    window.pixel = pool.channels, window.line = window.pixel * pool.width;
    each_spot(pool.out_width, pool.channels, [&](const Spot& spot) {
        int left = int(spot.pixel * pool.stride) - int(pool.padding);
        window.first_column = max(-left, 0), window.end_column = min(kernel, u32(max(int(pool.width) - left, 0)));
        const X::Code* begin = x + ((long long)(image * pool.height) + top) * (long long)window.line + left * (long long)window.pixel + spot.octet.column;
        float best[8];
        Eight<X::Code> codes;
        Eight<u8> places;
        if (largest_codes<X>(window, begin, spot.octet, codes, places)) {
            decode8<X>(codes, best);
        } else {
#pragma unroll
            for (int i = 0; i < 8; i++) {
                // The first place on the input, which no other need exceed.
                best[i] = -float_of(INFINITY_BITS), places.codes[i] = u8(window.first_row * kernel + window.first_column);
            }
            each_place(window, begin, spot.octet, [&](u32 place, const Eight<X::Code>& eight) {
                float values[8];
                decode8<X>(eight, values);
#pragma unroll
                for (int i = 0; i < 8; i++) {
                    // Not at most: larger, or one of them NaN.
                    bool wins = !(values[i] <= best[i]) && best[i] == best[i];
                    best[i] = wins ? values[i] : best[i];
                    places.codes[i] = wins ? u8(place) : places.codes[i];
                }
            });
        }
        u64 first = (u64(blockIdx.x) * pool.out_width + spot.pixel) * pool.channels + spot.octet.column;
        store_octet<Y, Y_ROUNDING, false>(store, y, first, spot.octet, best);
        write_octet(places, index, first, spot.octet);
    });
}
