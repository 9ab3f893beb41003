// Windows of images of few channels, as rows of a matrix.
#include "epilogue.cuh"
#include "lines.cuh"

// Where the rows of unfold begin: row p of a line at element p * step + first of its `len`, of which a row has `count`.
struct Unfolding {
    u32 len, positions, count;
    int step, first;
};

// y (lines, positions, run): of line l, a run of elements of x (lines, len) from each position on; zero past `count`, and before and past the line. A thread has
// eight elements.
extern "C" __global__ void unfold(const X::Code* x, u32 eights, Unfolding of, Divisor eights_of_run, Divisor positions, X::Code* y) {
    u32 i = blockIdx.x * blockDim.x + threadIdx.x, part, position;
    if (i >= eights) return;
    u32 line = divide(divide(i, eights_of_run, part), positions, position);
    const X::Code* from = x + u64(line) * of.len;
    int begin = int(position) * of.step + of.first;
    Eight<X::Code> run;
#pragma unroll
    for (u32 j = 0; j < 8; j++) {
        u32 element = 8 * part + j;
        int at = begin + int(element);
        run.codes[j] = element < of.count && at >= 0 && u32(at) < of.len ? from[at] : X::Code(0);
    }
    run.put(y + 8 * u64(i));
}

// y (rows, count) = epilogue(the first `count` of each run of sums (rows, run)); `columns` to a row of the result, for the epilogue.
extern "C" __global__ void fold(const float* sums, u32 len, Divisor count, u32 run, u32 columns, Epilogue epilogue, Y::Code* y) {
    u32 i = blockIdx.x * blockDim.x + threadIdx.x, element;
    if (i >= len) return;
    u32 row = divide(i, count, element);
    y[i] = encode_at<Y, Y_ROUNDING>(epilogue.store, finished<R>(epilogue, sums[u64(row) * run + element], i, i % columns), i);
}
