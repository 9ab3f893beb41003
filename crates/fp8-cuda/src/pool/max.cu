#include "pool.cuh"

// y = store(max over the window), and its place in the window, the first of equals; a NaN is larger than all.
extern "C" __global__ void max_pool(Pool pool, const X::Code* x, Store store, Y::Code* y, u8* index, u64 n) {
    u64 first = first_element();
    if (first >= n) return;
    float values[8] = {};
    for (u32 i = 0; i < 8 && first + i < n; i++) {
        Pixel out(first + i, pool.out_height, pool.out_width, pool.channels);
        int top = int(out.y * pool.stride) - int(pool.padding), left = int(out.x * pool.stride) - int(pool.padding);
        // The first place on the input, which no other need exceed.
        u32 place = max(-top, 0) * pool.kernel + max(-left, 0);
        float best = -float_of(INFINITY_BITS);
        for (u32 ky = max(-top, 0); ky < pool.kernel && top + int(ky) < int(pool.height); ky++) {
            for (u32 kx = max(-left, 0); kx < pool.kernel && left + int(kx) < int(pool.width); kx++) {
                u64 at = (u64(out.image) * pool.height + top + ky) * pool.width + left + kx;
                float value = decode<X>(x[at * pool.channels + out.channel]);
                if (value > best || (value != value && best == best)) best = value, place = ky * pool.kernel + kx;
            }
        }
        values[i] = best;
        index[first + i] = u8(place);
    }
    store8<Y, Y_ROUNDING>(store, y, first, n, values);
}
