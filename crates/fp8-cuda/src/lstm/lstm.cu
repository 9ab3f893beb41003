// The steps of an LSTM, one direction of one layer; the products are gemm's. A thread has an element of the state (batch, hidden).
#include "math.cuh"

struct Step {
    u32 batch, hidden, time, unused;
    // Steps of each sequence, or null.
    const u32* lengths;
};

struct Gates {
    float i, f, g, o;
};

// Row and column of this thread's element; false past the end.
__device__ inline bool place(const Step& step, u32& row, u32& column) {
    u32 i = blockIdx.x * blockDim.x + threadIdx.x;
    row = i / step.hidden, column = i % step.hidden;
    return row < step.batch;
}

__device__ inline bool ended(const Step& step, u32 row) { return step.lengths && step.time >= step.lengths[row]; }

// Gates after their functions, from (batch, 4 hidden); c = the next cell state.
__device__ inline Gates activated(const Step& step, const float* gates, u32 row, u32 column, float& c) {
    const float* gate = gates + u64(row) * 4 * step.hidden + column;
    Gates of = {sigmoid(gate[0]), sigmoid(gate[step.hidden]), hyperbolic_tangent(gate[2 * step.hidden]), sigmoid(gate[3 * step.hidden])};
    c = canonical(of.f * c + of.i * of.g);
    return of;
}

// The place in (steps, batch, 4 hidden) of the first gate of an element.
__device__ inline u64 first_gate(const Step& step, u32 row, u32 column) {
    return (u64(step.time) * step.batch + row) * 4 * step.hidden + column;
}

__device__ inline void write(const Step& step, const Gates& of, float* gates, u32 row, u32 column) {
    float* gate = gates + u64(row) * 4 * step.hidden + column;
    gate[0] = of.i, gate[step.hidden] = of.f, gate[2 * step.hidden] = of.g, gate[3 * step.hidden] = of.o;
}

// bias = b_input + b_hidden.
extern "C" __global__ void add_biases(const float* b_input, const float* b_hidden, float* bias, u32 n) {
    u32 i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) bias[i] = canonical(b_input[i] + b_hidden[i]);
}

// c (batch, hidden) in place, h (steps, batch, hidden) at this time, and the gates of which KEPT is the type; zeros past the end of a sequence.
extern "C" __global__ void forward(Step step, const float* gates, const float* c_before, float* c_after, Store store, Y::Code* h, Store kept_store, KEPT::Code* kept) {
    u32 row, column;
    if (!place(step, row, column)) return;
    u64 i = u64(row) * step.hidden + column;
    float c = c_before[i], result = 0;
    if constexpr (KEPT::PRESENT) {
        const float* gate = gates + u64(row) * 4 * step.hidden + column;
        u64 first = first_gate(step, row, column);
        for (u32 n = 0; n < 4; n++) kept[first + n * step.hidden] = encode<KEPT, RNE>(kept_store, ended(step, row) ? 0 : gate[n * step.hidden], 0);
    }
    if (ended(step, row)) {
        c = 0;
    } else {
        Gates of = activated(step, gates, row, column, c);
        result = canonical(of.o * hyperbolic_tangent(c));
    }
    c_after[i] = c;
    u64 index = u64(step.time) * step.batch * step.hidden + i;
    h[index] = encode_at<Y, Y_ROUNDING>(store, result, index);
}

// The same again from the gates that were kept, without h: gates after their functions.
extern "C" __global__ void again(Step step, const KEPT::Code* kept, float* gates, const float* c_before, float* c_after) {
    u32 row, column;
    if (!place(step, row, column)) return;
    u64 i = u64(row) * step.hidden + column;
    float c = c_before[i];
    if (ended(step, row)) {
        c = 0;
    } else {
        float* gate = gates + u64(row) * 4 * step.hidden + column;
        u64 first = first_gate(step, row, column);
        for (u32 n = 0; n < 4; n++) gate[n * step.hidden] = decode<KEPT>(kept[first + n * step.hidden]);
        write(step, activated(step, gates, row, column, c), gates, row, column);
    }
    c_after[i] = c;
}

// dgates (steps, batch, 4 hidden) at this time; dc = that of the cell state before.
extern "C" __global__ void backward(Step step, const float* gates, const float* c_before, const float* c_after, const DY::Code* dy, const float* from_next, float* dc, Store store, Y::Code* dgates) {
    u32 row, column;
    if (!place(step, row, column)) return;
    u64 i = u64(row) * step.hidden + column, state = u64(step.batch) * step.hidden, at = step.time * state + i;
    float errors[4] = {}, cell = 0;
    if (!ended(step, row)) {
        const float* gate = gates + u64(row) * 4 * step.hidden + column;
        float in = gate[0], forget = gate[step.hidden], g = gate[2 * step.hidden], o = gate[3 * step.hidden];
        float dh = canonical(decode<DY>(dy[at]) + from_next[i]);
        float t = hyperbolic_tangent(c_after[i]), d = dc[i] + dh * o * (1.0f - t * t);
        errors[0] = d * g * (in * (1.0f - in));
        errors[1] = d * c_before[i] * (forget * (1.0f - forget));
        errors[2] = d * in * (1.0f - g * g);
        errors[3] = dh * t * (o * (1.0f - o));
        cell = canonical(d * forget);
    }
    dc[i] = cell;
#pragma unroll
    for (u32 n = 0; n < 4; n++) {
        u64 index = 4 * (step.time * state + u64(row) * step.hidden) + n * step.hidden + column;
        dgates[index] = encode_at<Y, Y_ROUNDING>(store, canonical(errors[n]), index);
    }
}
