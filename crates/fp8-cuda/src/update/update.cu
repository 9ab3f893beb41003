// One pass over a parameter: gradient, master and moments in; master and moments out, and the working copy from the master as stored.
#include "eight.cuh"

struct Constants {
    float of[8];
};

// v = momentum v + take g; w -= lr (ahead g + then v), with g += decay w.
struct Sgd {
    static __device__ void apply(const Constants& c, float g, float& w, float& m, float&) {
        g = g + c.of[1] * w;
        m = c.of[2] * m + c.of[3] * g;
        w = w - c.of[0] * (c.of[4] * g + c.of[5] * m);
    }
};

// w = shrink w - step_size m / (sqrt(v) / root + epsilon).
struct AdamW {
    static __device__ void apply(const Constants& c, float g, float& w, float& m, float& v) {
        m = c.of[1] * m + c.of[2] * g;
        v = c.of[3] * v + c.of[4] * g * g;
        w = w * c.of[0] - c.of[5] * m / (sqrtf(v) / c.of[6] + c.of[7]);
    }
};

// `fresh`: what the moments were does not count.
extern "C" __global__ void update(const G::Code* gradient, float unscale, Constants constants, u32 fresh, Store master_store, M::Code* master, float* first_moment, float* second_moment, Store working_store, W::Code* working, u64 n) {
    u64 first = first_element();
    if (first >= n) return;
    float g[8], w[8], m[8] = {}, v[8] = {};
    load8<G>(gradient, first, n, g);
    load8<M>(master, first, n, w);
    if (!fresh) load8<F32>(first_moment, first, n, m);
    if (second_moment) load8<F32>(second_moment, first, n, v);
#pragma unroll
    for (int i = 0; i < 8; i++) RULE::apply(constants, canonical(unscale * g[i]), w[i], m[i], v[i]);
    Store plain = {};
    plain.scale = 1;
    store8<F32, RNE>(plain, first_moment, first, n, m);
    if (second_moment) store8<F32, RNE>(plain, second_moment, first, n, v);
    store8<M, M_ROUNDING>(master_store, master, first, n, w);
    if constexpr (W::PRESENT) {
        load8<M>(master, first, n, w);
        store8<W, W_ROUNDING>(working_store, working, first, n, w);
    }
}
