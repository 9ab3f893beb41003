// One pass over many parameters: gradient, master and moments in; master and moments out, and the working copy from the master as stored.
#include "eight.cuh"

struct Constants {
    float of[8];
};

// One of them; `fresh`: what the moments were does not count.
struct Parameter {
    const G::Code* gradient;
    M::Code* master;
    FIRST::Code* first_moment;
    SECOND::Code* second_moment;
    W::Code* working;
    u64 n;
    Constants constants;
    float unscale;
    u32 fresh;
    Store master_store, first_store, second_store, working_store;
};

// Elements of a parameter that a block updates, from `PIECE * piece` on.
const u32 PIECE = 8192;

struct Piece {
    u32 parameter, piece;
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

extern "C" __global__ void update(const Parameter* parameters, const Piece* pieces) {
    __shared__ Parameter parameter;
    Piece piece = pieces[blockIdx.x];
    const u32* words = reinterpret_cast<const u32*>(parameters + piece.parameter);
    for (u32 i = threadIdx.x; i < sizeof(Parameter) / 4; i += blockDim.x) reinterpret_cast<u32*>(&parameter)[i] = words[i];
    __syncthreads();
    Constants constants = parameter.constants;
    float unscale = parameter.unscale;
    u64 n = parameter.n, end = min(n, u64(piece.piece + 1) * PIECE);
    for (u64 first = u64(piece.piece) * PIECE + 8 * threadIdx.x; first < end; first += 8 * blockDim.x) {
        float g[8], w[8], m[8] = {}, v[8] = {};
        Eight<G::Code> gradient = read8<G>(parameter.gradient, first, n);
        Eight<M::Code> master = read8<M>(parameter.master, first, n);
        if (!parameter.fresh) load8<FIRST>(parameter.first_moment, first, n, m);
        load8<SECOND>(parameter.second_moment, first, n, v);
        decode8<G>(gradient, g);
        decode8<M>(master, w);
#pragma unroll
        for (int i = 0; i < 8; i++) RULE::apply(constants, canonical(unscale * g[i]), w[i], m[i], v[i]);
        store8<FIRST, FIRST_ROUNDING>(parameter.first_store, parameter.first_moment, first, n, m);
        if constexpr (SECOND::PRESENT) store8<SECOND, SECOND_ROUNDING>(parameter.second_store, parameter.second_moment, first, n, v);
        encode8<M, M_ROUNDING, false>(parameter.master_store, w, first, master);
        write8(master, parameter.master, first, n);
        if constexpr (W::PRESENT) {
            decode8<M>(master, w);
            store8<W, W_ROUNDING>(parameter.working_store, parameter.working, first, n, w);
        }
    }
}
