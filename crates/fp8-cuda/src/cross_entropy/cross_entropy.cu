// With the CPU's sums: 16 threads have a row.
#include "lanes.cuh"
#include "loss.cuh"
#include "math.cuh"

// A row of logits, less its largest.
struct Row {
    const X::Code* logits;
    u32 classes;
    float most;

    // Past the last row: one of no classes, so that all threads take part in sums.
    __device__ Row(const Spec& spec, const X::Code* x, u32 row) : logits(x + u64(row) * spec.classes), classes(row < spec.rows ? spec.classes : 0) {
        most = lanes_most(classes, [&](u32 i) { return decode<X>(logits[i]); });
    }
    __device__ float at(u32 i) const { return decode<X>(logits[i]) - most; }
    __device__ float total() const {
        return float(lanes_sum<double>(classes, [&](u32 i) { return double(exponential(at(i))); }));
    }
};

// losses (rows).
extern "C" __global__ void cross_entropy(Spec spec, const X::Code* logits, const u32* targets, float* losses) {
    u32 row = group();
    Row x(spec, logits, row);
    float total = x.total();
    double sum = lanes_sum<double>(x.classes, [&](u32 i) { return double(x.at(i)); });
    if (row >= spec.rows || lane() != 0) return;
    u32 target = targets[spec.first + row];
    losses[spec.first + row] = target == IGNORED ? 0 : row_loss(spec, logarithm(total), x.at(target), sum);
}

// dlogits = store(factor (softmax(logits) - target)).
extern "C" __global__ void backward(Spec spec, const X::Code* logits, const u32* targets, float factor, Store store, Y::Code* dlogits) {
    u32 row = group();
    Row x(spec, logits, row);
    float total = x.total(), less = spec.smoothing / float(spec.classes);
    if (row >= spec.rows) return;
    u32 target = targets[spec.first + row];
    for (u32 i = lane(); i < spec.classes; i += LANES) {
        float value = exponential(x.at(i)) / total - less;
        if (i == target) value = value - (1.0f - spec.smoothing);
        if (target == IGNORED) value = 0;
        u64 index = u64(spec.first + row) * spec.classes + i;
        dlogits[index] = encode_at<Y, Y_ROUNDING>(store, canonical(factor * value), index);
    }
}
