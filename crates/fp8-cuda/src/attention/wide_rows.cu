// From products to shares, and to errors of scores: a row (task, query) has 16 threads. Of keys that are not seen nothing is read or written.
#include "approximate.cuh"
#include "attention.cuh"
#include "lanes.cuh"

// A query, of `shape.tasks` tasks one after the other; the last ones may be past the end and see nothing.
struct Row {
    u32 seen;
    u64 first;

    __device__ Row(const Shape& shape) {
        u32 task = group() / shape.queries, t = group() % shape.queries;
        seen = task < shape.tasks ? shape.seen(task, t) : 0;
        first = shape.scores(task, t);
    }
};

// scores = softmax(scale scores).
extern "C" __global__ void shares(Shape shape, float* scores) {
    Row row(shape);
    scores += row.first;
    float most = lanes_most(row.seen, [&](u32 key) { return scores[key] * shape.scale; });
    float total = lanes_sum<float>(row.seen, [&](u32 key) { return scores[key] = quick_exponential(scores[key] * shape.scale - most); });
    float share = 1.0f / total;
    for (u32 key = lane(); key < row.seen; key += LANES) scores[key] = scores[key] * share;
}

// errors = shares (errors - their mean) scale; at first they are products of dy and values.
extern "C" __global__ void errors(Shape shape, const float* shares, float* errors) {
    Row row(shape);
    shares += row.first, errors += row.first;
    float mean = lanes_sum<float>(row.seen, [&](u32 key) { return shares[key] * errors[key]; });
    for (u32 key = lane(); key < row.seen; key += LANES) errors[key] = shares[key] * (errors[key] - mean) * shape.scale;
}
