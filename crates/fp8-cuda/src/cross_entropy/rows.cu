// With sums in another order than the CPU's: a block of threads has a row, and a thread eight logits at a time. Once for its largest and the sum of its exponentials,
// which is scaled down as larger ones come; once more, where errors are wanted.
#include "approximate.cuh"
#include "loss.cuh"

// A largest x, and the sum of e^(x - largest).
struct Total {
    float most, sum;

    // What is taken off x: where there is none yet, anything.
    __device__ static float base(float most) { return most == -float_of(INFINITY_BITS) ? 0 : most; }

    __device__ void add(const Total& other) {
        float next = fmaxf(most, other.most);
        sum = sum * quick_exponential(most - base(next)) + other.sum * quick_exponential(other.most - base(next));
        most = next;
    }
};

__device__ inline Total warp_total(Total own) {
#pragma unroll
    for (u32 step = 16; step > 0; step /= 2) own.add({__shfl_xor_sync(~0u, own.most, step), __shfl_xor_sync(~0u, own.sum, step)});
    return own;
}

__device__ inline double warp_sum(double own) {
#pragma unroll
    for (u32 step = 16; step > 0; step /= 2) own = own + __shfl_xor_sync(~0u, own, step);
    return own;
}

// A row's place among all elements: runs of eight from a multiple of eight on, of which the first and the last may have elements of other rows.
struct Place {
    u64 first, end;

    __device__ Place(u32 row, u32 classes) : first(u64(row) * classes), end(first + classes) {}
    // Runs of this thread.
    template <class F>
    __device__ void each(F f) const {
        for (u64 at = first / 8 * 8 + 8 * threadIdx.x; at < end; at += 8 * blockDim.x) f(at);
    }
    __device__ bool has(u64 index) const { return ALIGNED || (index >= first && index < end); }
};

// losses (rows), where they are wanted, and, where those are, dlogits = store(factor (softmax(logits) - target)).
extern "C" __global__ void __launch_bounds__(512) rows(Spec spec, const X::Code* logits, const u32* targets, float* losses, float factor, Store store, Y::Code* dlogits) {
    __shared__ Total totals[16];
    __shared__ double sums[16];
    Place place(blockIdx.x, spec.classes);
    u32 target = targets[spec.first + blockIdx.x], lane = threadIdx.x % 32;
    u64 len = u64(spec.rows) * spec.classes;
    Total own = {-float_of(INFINITY_BITS), 0};
    double sum = 0;
    place.each([&](u64 at) {
        float x[8], part = 0, plain = 0;
        load8<X>(logits, at, len, x);
        float next = own.most;
#pragma unroll
        for (u32 i = 0; i < 8; i++) {
            if (place.has(at + i)) next = fmaxf(next, x[i]), plain = plain + x[i];
            else x[i] = -float_of(INFINITY_BITS);
        }
        float base = Total::base(next);
#pragma unroll
        for (u32 i = 0; i < 8; i++) part = part + quick_exponential(x[i] - base);
        own.sum = own.sum * quick_exponential(own.most - base) + part;
        own.most = next;
        sum = sum + double(plain);
    });
    own = warp_total(own), sum = warp_sum(sum);
    if (lane == 0) totals[threadIdx.x / 32] = own, sums[threadIdx.x / 32] = sum;
    __syncthreads();
    bool is_warp = lane < blockDim.x / 32;
    own = is_warp ? totals[lane] : Total{-float_of(INFINITY_BITS), 0};
    own = warp_total(own), sum = warp_sum(is_warp ? sums[lane] : 0);
    if (losses && threadIdx.x == 0) {
        float loss = 0;
        if (target != IGNORED) loss = row_loss(spec, logf(own.sum), decode<X>(logits[place.first + target]) - own.most, sum - double(spec.classes) * double(own.most));
        losses[spec.first + blockIdx.x] = loss;
    }
    if (dlogits) {
        float share = 1.0f / own.sum, less = spec.smoothing / float(spec.classes);
        // Of the first row's first element, a multiple of eight.
        u64 before = u64(spec.first) * spec.classes;
        place.each([&](u64 at) {
            float x[8];
            load8<X>(logits, at, len, x);
#pragma unroll
            for (u32 i = 0; i < 8; i++) {
                x[i] = quick_exponential(x[i] - own.most) * share - less;
                if (at + i == place.first + target) x[i] = x[i] - (1.0f - spec.smoothing);
                x[i] = target == IGNORED ? 0 : x[i] * factor;
            }
            Eight<Y::Code> eight;
            encode8<Y, Y_ROUNDING, true>(store, x, before + at, eight);
            if (place.has(at) && place.has(at + 7)) {
                write8(eight, dlogits + before, at, len);
            } else {
#pragma unroll
                for (u32 i = 0; i < 8; i++) {
                    if (place.has(at + i)) dlogits[before + at + i] = eight.codes[i];
                }
            }
        });
    }
}
