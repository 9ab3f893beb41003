// packed (lines, pitch) = lines of a factor, each along k, zeros past its end: what bulk copies and tensor cores take. The pitch is a multiple of 8 elements where
// runs are whole: eight neighbours in the direction of memory lie beside each other, on a boundary of eight, and are inside or outside together.
#include "lines.cuh"

const u32 TILE = 64, THREADS = 256;

typedef A::Code Code;

__device__ inline u32 tile_line(u32 i, u32 run, bool along_k) { return along_k ? i / (TILE / run) : i % (TILE / run) * run; }
__device__ inline u32 tile_k(u32 i, u32 run, bool along_k) { return along_k ? i % (TILE / run) * run : i / (TILE / run); }

extern "C" __global__ void __launch_bounds__(THREADS) pack(LINES lines, const Code* codes, u32 count, u32 k, u32 along_k, u32 pitch, Code* packed) {
    constexpr u32 RUN = A_WHOLE ? 8 : 1;
    __shared__ Code tile[TILE][TILE + 4 / sizeof(Code)];
    u32 first_line = blockIdx.y * TILE, first_k = blockIdx.x * TILE;
#pragma unroll 2
    for (u32 i = threadIdx.x; i < TILE * TILE / RUN; i += THREADS) {
        u32 line = tile_line(i, RUN, along_k), step = tile_k(i, RUN, along_k);
        bool inside = first_line + line < count && first_k + step < k;
        const Code* from = codes + (inside ? lines.place(first_line + line, first_k + step) : 0);
        if constexpr (A_WHOLE) {
            Eight<Code> run = {};
            if (inside) run = Eight<Code>::at(from);
#pragma unroll
            for (u32 j = 0; j < 8; j++) tile[along_k ? line : line + j][along_k ? step + j : step] = run.codes[j];
        } else {
            tile[line][step] = inside ? *from : Code(0);
        }
    }
    __syncthreads();
#pragma unroll 2
    for (u32 i = threadIdx.x; i < TILE * TILE / RUN; i += THREADS) {
        u32 line = tile_line(i, RUN, true), step = tile_k(i, RUN, true);
        if (first_line + line >= count || first_k + step >= pitch) continue;
        Code* to = packed + u64(first_line + line) * pitch + first_k + step;
        if constexpr (A_WHOLE) {
            Eight<Code> run;
#pragma unroll
            for (u32 j = 0; j < 8; j++) run.codes[j] = tile[line][step + j];
            run.put(to);
        } else {
            *to = tile[line][step];
        }
    }
}
