// Softmax cross-entropy with label smoothing, row by row.
#pragma once
#include "codec.cuh"

const u32 IGNORED = 0xFFFFFFFF;

struct Spec {
    u32 rows, classes;
    float smoothing;
    // Of targets, losses and errors the first row; logits begin with it.
    u32 first;
};

// The loss of a row: the logarithm of the sum of e^(x - max x), the target's x - max x, and the sum of all.
__device__ inline float row_loss(const Spec& spec, float log_of_total, float target, double sum) {
    double log_total = log_of_total, hit = log_total - double(target), loss = hit;
    // Without smoothing not even an infinite loss of another class takes part.
    if (spec.smoothing != 0) {
        double smoothing = spec.smoothing, mean = log_total - sum / double(spec.classes);
        loss = (1.0 - smoothing) * hit + smoothing * mean;
    }
    return canonical(float(loss));
}
