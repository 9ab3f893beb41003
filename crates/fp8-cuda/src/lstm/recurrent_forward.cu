// h from the products with x, step by step.
#include "recurrent.cuh"

const u32 STATE_PITCH = pitch(HIDDEN), GATE_SUMS = GATES * UNITS + 8;

// The product of group P and those after it, as their copies arrive.
template <u32 P>
__device__ inline void state_products(Sums& sums, const u8* lines, const Weights& weights) {
    await_copies<GROUPS - 1 - P>();
    __syncthreads();
#pragma unroll
    for (u32 q = 0; q < GROUP / 64; q++) add_products(sums, lines, STATE_PITCH, weights, P * GROUP / 64 + q);
    if constexpr (P + 1 < GROUPS) state_products<P + 1>(sums, lines, weights);
}

// h (steps, batch, HIDDEN), the gates of which KEPT is the type, and the cell states at the ends of segments, from the products with x (times, batch, 4 HIDDEN) of this launch and the cell
// state before it, or null. arrived: zeros, one for each row of blocks.
extern "C" __global__ void __launch_bounds__(THREADS, 1) forward(Steps of, const u8* w, const float* from_x, const float* c_before, float* cells, Store store, u8* h, Store kept_store, KEPT::Code* kept, u32* arrived) {
    extern __shared__ uint4 room[];
    u8* states = reinterpret_cast<u8*>(room);
    float* sums = reinterpret_cast<float*>(states + ROWS * STATE_PITCH);
    float* inputs = sums + 2 * ROWS * GATE_SUMS;
    Place place(of);
    u32 gate = threadIdx.x / 32 % GATES, part = threadIdx.x / 32 / GATES;
    Weights weights;
    load(weights, w + (u64(gate) * HIDDEN + blockIdx.x * UNITS) * HIDDEN + part * DEPTH, HIDDEN);
    Four<float> c = c_before && place.there ? four(c_before + place.element()) : zeros();
    for (u32 i = of.first; i < of.end; i++) {
        u32 t = of.time(i);
        u64 from = (u64(t - of.first_time()) * of.batch + place.row) * (GATES * HIDDEN) + place.unit;
        // Each thread reads what it has copied itself.
        for (u32 n = 0; n < GATES && place.there; n++) copy16(inputs + 4 * (n * THREADS + threadIdx.x), from_x + from + n * HIDDEN, true);
        group_copies();
        u64 index = t * of.state() + place.element();
        Draws draws;
        draws.draw(store.random, index);
        if (i > 0) {
            if (i > of.first) await_step(arrived, i - of.first);
            u32 first_row = of.first_row + blockIdx.y * ROWS;
            const u8* before = h + of.time(i - 1) * of.state() + u64(first_row) * HIDDEN;
#pragma unroll
            for (u32 p = 0; p < GROUPS; p++) {
#pragma unroll
                for (u32 e = threadIdx.x; e < ROWS * 2 * GROUP / 16; e += THREADS) {
                    u32 line = e / (2 * GROUP / 16), at = e / (GROUP / 16) % 2 * DEPTH + p * GROUP + e % (GROUP / 16) * 16;
                    bool there = first_row + line < of.batch;
                    copy16(states + line * STATE_PITCH + at, there ? before + line * HIDDEN + at : before, there);
                }
                group_copies();
            }
            Sums own = {};
            state_products<0>(own, states + part * DEPTH, weights);
            leave(own, sums + part * ROWS * GATE_SUMS + gate * UNITS, GATE_SUMS);
        }
        await_copies<0>();
        __syncthreads();
        if (place.there) {
            Four<float> gates[GATES], result;
#pragma unroll
            for (u32 n = 0; n < GATES; n++) {
                gates[n] = four(inputs + 4 * (n * THREADS + threadIdx.x));
                if (i > 0) {
                    const float* at = sums + place.line * GATE_SUMS + n * UNITS + place.column;
                    Four<float> one = four(at), other = four(at + ROWS * GATE_SUMS);
#pragma unroll
                    for (u32 j = 0; j < 4; j++) gates[n].of[j] = __fmaf_rn(of.factor, one.of[j] + other.of[j], gates[n].of[j]);
                }
            }
            bool ended = of.ended(place.row, t);
            if constexpr (KEPT::PRESENT) {
                u64 first = GATES * (t * of.state() + u64(place.row) * HIDDEN) + place.unit;
#pragma unroll
                for (u32 n = 0; n < GATES; n++) {
                    Four<KEPT::Code> codes;
#pragma unroll
                    for (u32 j = 0; j < 4; j++) codes.of[j] = encode<KEPT, RNE>(kept_store, ended ? 0 : canonical(gates[n].of[j]), 0);
                    *reinterpret_cast<Four<KEPT::Code>*>(kept + first + n * HIDDEN) = codes;
                }
            }
#pragma unroll
            for (u32 j = 0; j < 4; j++) {
                float in = quick_sigmoid(gates[0].of[j]), forget = quick_sigmoid(gates[1].of[j]);
                float next = canonical(forget * c.of[j] + in * quick_tangent(gates[2].of[j]));
                c.of[j] = ended ? 0 : next;
                result.of[j] = ended ? 0 : quick_sigmoid(gates[3].of[j]) * quick_tangent(next);
            }
            *reinterpret_cast<u32*>(h + index) = encode4(store, result, draws, index);
            if ((i + 1) % SEGMENT == 0 || i + 1 == of.steps) *reinterpret_cast<Four<float>*>(cells + i / SEGMENT * of.state() + place.element()) = c;
        }
        if (i + 1 < of.end) count_step(arrived);
    }
}
