#include "pool.cuh"

// The codes at whose place `place` stands; 0, the code of zero, elsewhere.
__device__ inline Eight<DY::Code> only_at(u32 place, const Eight<u8>& places, const Eight<DY::Code>& codes) {
    Eight<DY::Code> kept = codes;
    if constexpr (DY::BITS == 8) {
#pragma unroll
        for (int i = 0; i < 2; i++) {
            // The topmost bit of each byte: whether it differs.
            u32 other = places.words[i] ^ place * 0x01010101u;
            kept.words[i] &= ~spread_signs(((other & 0x7F7F7F7F) + 0x7F7F7F7F) | other);
        }
    } else {
#pragma unroll
        for (int i = 0; i < 8; i++) kept.codes[i] = places.codes[i] == place ? codes.codes[i] : DY::Code(0);
    }
    return kept;
}

// The windows with a pixel: from the first that reaches it to the last that begins before it.
__device__ inline uint2 windows(const Pool& pool, u32 pixel, u32 outputs) {
    u32 at = pixel + pool.padding, first = at < pool.kernel ? 0 : (at - pool.kernel) / pool.stride + 1;
    return make_uint2(first, min(at / pool.stride + 1, outputs));
}

// dx = store(sum of the dy whose maximum stood there, in ascending order of y). A block has (part of) a line of dx.
extern "C" __global__ void max_pool_backward(Pool pool, const DY::Code* dy, const u8* index, Store store, DX::Code* dx) {
    u32 image = blockIdx.x / pool.height, line = blockIdx.x - image * pool.height;
    uint2 rows = windows(pool, line, pool.out_height);
    each_spot(pool.width, pool.channels, [&](const Spot& spot) {
        uint2 columns = windows(pool, spot.pixel, pool.out_width);
        float sums[8] = {};
        // Two by two at once, as many as a window's neighbours most often have; where there are more across, row by row, so that the order is kept.
        u32 down = columns.y - columns.x <= 2 ? 2 : 1;
        for (u32 oy = rows.x; oy < rows.y; oy += down) {
            for (u32 ox = columns.x; ox < columns.y; ox += 2) {
                Eight<DY::Code> errors[4];
                Eight<u8> places[4];
                auto is_there = [&](u32 i) { return i / 2 < down && oy + i / 2 < rows.y && ox + i % 2 < columns.y; };
#pragma unroll
                for (u32 i = 0; i < 4; i++) {
                    u64 at = (u64(image * pool.out_height + oy + i / 2) * pool.out_width + ox + i % 2) * pool.channels + spot.octet.column;
                    if (is_there(i)) errors[i] = read_octet<DY>(dy, at, spot.octet), places[i] = read_octet<Place>(index, at, spot.octet);
                }
#pragma unroll
                for (u32 i = 0; i < 4; i++) {
                    if (!is_there(i)) continue;
                    u32 ky = line + pool.padding - (oy + i / 2) * pool.stride, kx = spot.pixel + pool.padding - (ox + i % 2) * pool.stride;
                    add8<DY>(only_at(ky * pool.kernel + kx, places[i], errors[i]), sums);
                }
            }
        }
        u64 first = (u64(blockIdx.x) * pool.width + spot.pixel) * pool.channels + spot.octet.column;
        store_octet<DX, DX_ROUNDING>(store, dx, first, spot.octet, sums);
    });
}
