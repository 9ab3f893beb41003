#include "eight.cuh"

// y (rows, CHANNELS) = store(table[channel][x]), table (CHANNELS, 256).
extern "C" __global__ void look_up(const unsigned char* x, const float* table, Store store, Y::Code* y, u64 n) {
    u64 first = first_element();
    if (first >= n) return;
    u32 words[2] = {0, 0};
    if (first + 8 <= n) {
        // Buffers start on boundaries of 256 bytes.
        uint2 both = *reinterpret_cast<const uint2*>(x + first);
        words[0] = both.x;
        words[1] = both.y;
    } else {
#pragma unroll
        for (int i = 0; i < 8; i++) {
            if (first + i < n) words[i / 4] |= u32(x[first + i]) << 8 * (i % 4);
        }
    }
    u32 channel = u32(first % CHANNELS);
    float values[8];
#pragma unroll
    for (int i = 0; i < 8; i++) {
        values[i] = table[channel * 256 + ((words[i / 4] >> 8 * (i % 4)) & 255)];
        channel = channel + 1 == CHANNELS ? 0 : channel + 1;
    }
    store8<Y, Y_ROUNDING>(store, y, first, n, values);
}
