// Multi-head attention, time-major: (steps, batch, heads, head_width). A task is a head of a sequence; scores of some tasks exist at a time.
#pragma once
#include "codec.cuh"

// Queries whose scores exist together on the CPU: how far sums over keys go depends on them.
const u32 BLOCK = 32;

struct Shape {
    u32 queries, keys, batch, heads, head_width, causal;
    // Of the tasks whose scores exist.
    u32 first_task, tasks;
    float scale;
    // Keys of each sequence, or null.
    const u32* lengths;

    __device__ u32 row(u32 task) const { return (first_task + task) / heads; }
    // The first element of a task at a step.
    __device__ u64 first(u32 task, u32 step) const {
        return ((u64(step) * batch + row(task)) * heads + (first_task + task) % heads) * head_width;
    }
    __device__ u32 keys_of(u32 task) const { return lengths ? lengths[row(task)] : keys; }
    // How many keys query t sees.
    __device__ u32 seen(u32 task, u32 t) const {
        return causal ? min(keys_of(task), t + 1 + keys - queries) : keys_of(task);
    }
    // How many the last query of its block sees.
    __device__ u32 seen_by_block(u32 task, u32 t) const {
        return seen(task, min(t / BLOCK * BLOCK + BLOCK, queries) - 1);
    }
    // Scores of a query.
    __device__ u64 scores(u32 task, u32 t) const { return (u64(task) * queries + t) * keys; }
};
