// The errors of the gates from those of h, step by step, and what they need of the forward pass.
#include "recurrent.cuh"

// c (steps, batch, HIDDEN) of this launch after each step, from gates before their functions (times, batch, 4 HIDDEN) and the kept states. A thread has four
// units of a sequence in a segment.
extern "C" __global__ void cells(Steps of, const float* sums, const float* kept, float* c_after) {
    u32 group = blockIdx.x * blockDim.x + threadIdx.x, row = group / (HIDDEN / 4), unit = group % (HIDDEN / 4) * 4;
    if (row >= of.batch) return;
    u32 segment = of.first / SEGMENT + blockIdx.y;
    u64 element = u64(row) * HIDDEN + unit;
    Four<float> c = segment == 0 ? zeros() : four(kept + (segment - 1) * of.state() + element);
    for (u32 i = segment * SEGMENT; i < min((segment + 1) * SEGMENT, of.end); i++) {
        u32 t = of.time(i);
        const float* gate = sums + (u64(t - of.first_time()) * of.batch + row) * (GATES * HIDDEN) + unit;
        Four<float> in = four(gate), forget = four(gate + HIDDEN), g = four(gate + 2 * HIDDEN);
        bool ended = of.ended(row, t);
#pragma unroll
        for (u32 j = 0; j < 4; j++) {
            float next = canonical(quick_sigmoid(forget.of[j]) * c.of[j] + quick_sigmoid(in.of[j]) * quick_tangent(g.of[j]));
            c.of[j] = ended ? 0 : next;
        }
        *reinterpret_cast<Four<float>*>(c_after + (i - of.first) * of.state() + element) = c;
    }
}

// out (HIDDEN, 4 HIDDEN) = the transpose of w. A block has 64 x 64 codes.
extern "C" __global__ void transpose(const u8* w, u8* out) {
    __shared__ u32 tile[64][17];
    u32 line = threadIdx.x / 4, at = threadIdx.x % 4 * 16;
    uint4 codes = *reinterpret_cast<const uint4*>(w + (u64(blockIdx.y) * 64 + line) * HIDDEN + blockIdx.x * 64 + at);
    tile[line][at / 4] = codes.x, tile[line][at / 4 + 1] = codes.y, tile[line][at / 4 + 2] = codes.z, tile[line][at / 4 + 3] = codes.w;
    __syncthreads();
    Four<u32> column = {};
#pragma unroll
    for (u32 i = 0; i < 16; i++) column.of[i / 4] |= (tile[at + i][line / 4] >> (8 * (line % 4)) & 0xFF) << (8 * (i % 4));
    *reinterpret_cast<Four<u32>*>(out + (u64(blockIdx.x) * 64 + line) * (GATES * HIDDEN) + blockIdx.y * 64 + at) = column;
}

const u32 ERROR_PITCH = pitch(DEPTH), ERROR_SUMS = UNITS + 8;

template <u32 P>
__device__ inline void error_products(Sums& sums, const u8* lines, const Weights& weights) {
    await_copies<GROUPS - 1 - P>();
    __syncwarp();
#pragma unroll
    for (u32 q = 0; q < GROUP / 64; q++) add_products(sums, lines, ERROR_PITCH, weights, P * GROUP / 64 + q);
    if constexpr (P + 1 < GROUPS) error_products<P + 1>(sums, lines, weights);
}

// What four elements' errors are multiplied with; each thread's own, in shared memory.
struct Factors {
    enum { IN, FORGET, CELL, OUT, HIDDEN_TO_CELL, CARRY, RANDOM, COUNT = RANDOM + 2 };
    float* room;

    __device__ float* at(u32 n) const { return room + 4 * (n * THREADS + threadIdx.x); }
    __device__ Four<float>& operator[](u32 n) const { return *reinterpret_cast<Four<float>*>(at(n)); }
};

// dgates (steps, batch, 4 HIDDEN): w is transposed (HIDDEN, 4 HIDDEN); sums and c_after are those of `cells`, c_before the cell state before the launch or null;
// dc (batch, HIDDEN) comes from the launch of the steps after these, and goes to that of the steps before.
extern "C" __global__ void __launch_bounds__(THREADS, 1) backward(Steps of, const u8* w, const float* sums, const float* c_before, const float* c_after, const DY::Code* dy, float* dc, Store store, u8* dgates, u32* arrived) {
    extern __shared__ uint4 room[];
    u32 warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    u8* lines = reinterpret_cast<u8*>(room) + warp * ROWS * ERROR_PITCH;
    float* parts = reinterpret_cast<float*>(reinterpret_cast<u8*>(room) + WARPS * ROWS * ERROR_PITCH);
    Factors factors = {parts + WARPS * ROWS * ERROR_SUMS};
    Place place(of);
    Weights weights;
    load(weights, w + u64(blockIdx.x) * UNITS * (GATES * HIDDEN) + warp * DEPTH, GATES * HIDDEN);
    Four<float> carry = of.end < of.steps && place.there ? four(dc + place.element()) : zeros();
    Four<DY::Code> error = {};

    // What step i needs: gates and cell states.
    auto begin = [&](u32 i) {
        if (place.there) {
            u32 t = of.time(i);
            const float* gate = sums + (u64(t - of.first_time()) * of.batch + place.row) * (GATES * HIDDEN) + place.unit;
#pragma unroll
            for (u32 n = 0; n < GATES; n++) copy16(factors.at(n), gate + n * HIDDEN, true);
            const float* after = c_after + (i - of.first) * of.state() + place.element();
            const float* before = i > of.first ? after - of.state() : c_before ? c_before + place.element() : nullptr;
            copy16(factors.at(4), after, true);
            copy16(factors.at(5), before ? before : after, before != nullptr);
            error = four(dy + t * of.state() + place.element());
        }
        group_copies();
    };
    // From these to the factors, and random bits: all that does not wait for other blocks.
    auto prepare = [&](u32 i) {
        await_copies<0>();
        if (!place.there) return;
        Four<float> gates[GATES], after = factors[4], before = factors[5], made[6];
#pragma unroll
        for (u32 n = 0; n < GATES; n++) gates[n] = factors[n];
#pragma unroll
        for (u32 j = 0; j < 4; j++) {
            float in = quick_sigmoid(gates[0].of[j]), forget = quick_sigmoid(gates[1].of[j]);
            float g = quick_tangent(gates[2].of[j]), o = quick_sigmoid(gates[3].of[j]), t = quick_tangent(after.of[j]);
            made[Factors::IN].of[j] = g * (in * (1.0f - in));
            made[Factors::FORGET].of[j] = before.of[j] * (forget * (1.0f - forget));
            made[Factors::CELL].of[j] = in * (1.0f - g * g);
            made[Factors::OUT].of[j] = t * (o * (1.0f - o));
            made[Factors::HIDDEN_TO_CELL].of[j] = o * (1.0f - t * t);
            made[Factors::CARRY].of[j] = forget;
        }
#pragma unroll
        for (u32 n = 0; n < 6; n++) factors[n] = made[n];
        u64 index = GATES * (of.time(i) * of.state() + u64(place.row) * HIDDEN) + place.unit;
#pragma unroll
        for (u32 n = 0; n < GATES; n++) {
            Draws draws = {};
            draws.draw(store.random, index + n * HIDDEN);
            float* at = factors.at(Factors::RANDOM + n / 2) + n % 2 * 2;
            at[0] = float_of(draws.words[0]), at[1] = float_of(draws.words[1]);
        }
    };

    begin(of.end - 1);
    for (u32 i = of.end; i-- > of.first;) {
        u32 t = of.time(i);
        prepare(i);
        bool more = i + 1 < of.steps;
        if (more) {
            if (i + 1 < of.end) await_step(arrived, of.end - 1 - i);
            u32 first_row = of.first_row + blockIdx.y * ROWS;
            const u8* next = dgates + GATES * (of.time(i + 1) * of.state() + u64(first_row) * HIDDEN) + warp * DEPTH;
#pragma unroll
            for (u32 p = 0; p < GROUPS; p++) {
#pragma unroll
                for (u32 e = lane; e < ROWS * GROUP / 16; e += 32) {
                    u32 line = e / (GROUP / 16), at = p * GROUP + e % (GROUP / 16) * 16;
                    bool there = first_row + line < of.batch;
                    copy16(lines + line * ERROR_PITCH + at, there ? next + line * (GATES * HIDDEN) + at : next, there);
                }
                group_copies();
            }
            Sums own = {};
            error_products<0>(own, lines, weights);
            leave(own, parts + warp * ROWS * ERROR_SUMS, ERROR_SUMS);
        }
        __syncthreads();
        Four<float> errors[GATES] = {};
        Draws draws[GATES];
        if (place.there) {
            Four<float> from_next = zeros();
            if (more) {
                const float* at = parts + place.line * ERROR_SUMS + place.column;
#pragma unroll
                for (u32 part = 0; part < WARPS; part++) {
                    Four<float> sum = four(at + part * ROWS * ERROR_SUMS);
#pragma unroll
                    for (u32 j = 0; j < 4; j++) from_next.of[j] = from_next.of[j] + sum.of[j];
                }
            }
            bool ended = of.ended(place.row, t);
#pragma unroll
            for (u32 j = 0; j < 4; j++) {
                float dh = __fmaf_rn(of.factor, from_next.of[j], decode<DY>(error.of[j]));
                float d = __fmaf_rn(dh, factors[Factors::HIDDEN_TO_CELL].of[j], carry.of[j]);
                if (!ended) {
                    errors[0].of[j] = d * factors[Factors::IN].of[j], errors[1].of[j] = d * factors[Factors::FORGET].of[j];
                    errors[2].of[j] = d * factors[Factors::CELL].of[j], errors[3].of[j] = dh * factors[Factors::OUT].of[j];
                }
                carry.of[j] = ended ? 0 : canonical(d * factors[Factors::CARRY].of[j]);
            }
#pragma unroll
            for (u32 n = 0; n < GATES; n++) {
                const float* at = factors.at(Factors::RANDOM + n / 2) + n % 2 * 2;
                draws[n].words[0] = bits_of(at[0]), draws[n].words[1] = bits_of(at[1]);
            }
        }
        // The factors have been read.
        if (i > of.first) begin(i - 1);
        if (place.there) {
            u64 index = GATES * (t * of.state() + u64(place.row) * HIDDEN) + place.unit;
#pragma unroll
            for (u32 n = 0; n < GATES; n++) *reinterpret_cast<u32*>(dgates + index + n * HIDDEN) = encode4(store, errors[n], draws[n], index + n * HIDDEN);
        }
        if (i > of.first) count_step(arrived);
    }
    if (of.first > 0 && place.there) *reinterpret_cast<Four<float>*>(dc + place.element()) = carry;
}
