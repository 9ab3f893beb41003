// packed (lines, pitch) = lines of a factor, each along k, zeros past its end: what bulk copies and tensor cores take.
#include "lines.cuh"

const u32 TILE = 64;

extern "C" __global__ void __launch_bounds__(256) pack(LINES lines, const A::Code* codes, u32 count, u32 k, u32 along_k, u32 pitch, A::Code* packed) {
    __shared__ A::Code tile[TILE][TILE + 4 / sizeof(A::Code)];
    u32 first_line = blockIdx.y * TILE, first_k = blockIdx.x * TILE;
    for (u32 i = threadIdx.x; i < TILE * TILE; i += blockDim.x) {
        u32 line = along_k ? i / TILE : i % TILE, step = along_k ? i % TILE : i / TILE;
        bool inside = first_line + line < count && first_k + step < k;
        tile[line][step] = inside ? codes[lines.place(first_line + line, first_k + step)] : A::Code(0);
    }
    __syncthreads();
    for (u32 i = threadIdx.x; i < TILE * TILE; i += blockDim.x) {
        u32 line = first_line + i / TILE, step = first_k + i % TILE;
        if (line < count && step < pitch) packed[u64(line) * pitch + step] = tile[i / TILE][i % TILE];
    }
}
