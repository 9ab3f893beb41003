#include "pool.cuh"

// dx = store(sum of the dy whose maximum stood there, in ascending order of y).
extern "C" __global__ void max_pool_backward(Pool pool, const DY::Code* dy, const u8* index, Store store, DX::Code* dx, u64 n) {
    u64 first = first_element();
    if (first >= n) return;
    float values[8] = {};
    for (u32 i = 0; i < 8 && first + i < n; i++) {
        Pixel in(first + i, pool.height, pool.width, pool.channels);
        // Descending places are ascending outputs.
        for (int ky = pool.kernel - 1; ky >= 0; ky--) {
            int top = int(in.y + pool.padding) - ky;
            if (top < 0 || top % pool.stride != 0 || top / pool.stride >= pool.out_height) continue;
            for (int kx = pool.kernel - 1; kx >= 0; kx--) {
                int left = int(in.x + pool.padding) - kx;
                if (left < 0 || left % pool.stride != 0 || left / pool.stride >= pool.out_width) continue;
                u64 at = (u64(in.image) * pool.out_height + top / pool.stride) * pool.out_width + left / pool.stride;
                at = at * pool.channels + in.channel;
                float error = index[at] == ky * pool.kernel + kx ? decode<DY>(dy[at]) : 0;
                values[i] = canonical(values[i] + error);
            }
        }
    }
    store8<DX, DX_ROUNDING>(store, dx, first, n, values);
}
