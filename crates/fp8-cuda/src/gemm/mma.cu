// C (rows, columns) = epilogue(A B) on the tensor cores of any card, for factors of any types that 16 bits hold exactly and any kinds of lines, whichever way they lie
// in memory. A block of threads computes TILE x TILE elements, a warp 64 x 32 of them; while one step of k is multiplied, the next is on its way.
#include "mma.cuh"
#include "pairs.cuh"

const u32 TILE = 128, STEP = 32, THREADS = 256, RUNS_OF_THREAD = TILE * STEP / 8 / THREADS;

struct Size {
    u32 rows, columns, k;
    // k of a part: a multiple of STEP.
    u32 k_of_part;
};

// A tile in shared memory: rows of TILE lines along k, or of STEP k across, with room against bank conflicts.
template <bool ALONG_K>
struct Place {
    static constexpr u32 PITCH = (ALONG_K ? STEP : TILE) + 8, LEN = (ALONG_K ? TILE : STEP) * PITCH;

    static __device__ u32 of(u32 line, u32 k) { return ALONG_K ? line * PITCH + k : k * PITCH + line; }
};

const u32 TILE_LEN = Place<true>::LEN > Place<false>::LEN ? Place<true>::LEN : Place<false>::LEN;

// Runs of eight elements on their way from a factor to a tile. WHOLE: eight neighbours are neighbours in memory, on a boundary of eight, and there or not there
// together.
template <class T, class Lines, bool ALONG_K, bool WHOLE>
struct Runs {
    Eight<typename T::Code> runs[RUNS_OF_THREAD];

    static __device__ u32 line(u32 i) { return ALONG_K ? i / (STEP / 8) : i % (TILE / 8) * 8; }
    static __device__ u32 step(u32 i) { return ALONG_K ? i % (STEP / 8) * 8 : i / (TILE / 8); }

    __device__ void fetch(const Lines& lines, const typename T::Code* codes, u32 first, u32 end, u32 k, u32 k_end) {
#pragma unroll
        for (u32 run = 0; run < RUNS_OF_THREAD; run++) {
            u32 i = threadIdx.x + THREADS * run, l = first + line(i), s = k + step(i);
            if constexpr (WHOLE) {
                i64 place = l < end && s < k_end ? lines.place(l, s) : OUTSIDE;
                runs[run] = {};
                if (place != OUTSIDE) runs[run] = Eight<typename T::Code>::at(codes + place);
            } else {
#pragma unroll
                for (u32 j = 0; j < 8; j++) {
                    u32 lj = ALONG_K ? l : l + j, sj = ALONG_K ? s + j : s;
                    i64 place = lj < end && sj < k_end ? lines.place(lj, sj) : OUTSIDE;
                    runs[run].codes[j] = place == OUTSIDE ? typename T::Code(0) : codes[place];
                }
            }
        }
    }

    __device__ void keep(u16* tile) const {
#pragma unroll
        for (u32 run = 0; run < RUNS_OF_THREAD; run++) {
            u32 i = threadIdx.x + THREADS * run;
            Eight<u16> narrow;
#pragma unroll
            for (u32 j = 0; j < 8; j++) narrow.codes[j] = Narrow<BRAIN>::template of<T>(runs[run].codes[j]);
            *reinterpret_cast<Eight<u16>*>(tile + Place<ALONG_K>::of(line(i), step(i))) = narrow;
        }
    }
};

// Sums of a warp: (4 x 16 rows) x (4 x 8 columns), as tensor cores leave them.
typedef float Sums[4][16];

__device__ inline void multiply_step(Sums& sums, const u16* a, const u16* b) {
    u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32, tile = lane / 8, row = lane % 8;
#pragma unroll
    for (u32 k = 0; k < STEP; k += 16) {
        u32 left[4][4], right[2][4];
#pragma unroll
        for (u32 i = 0; i < 4; i++) {
            u32 line = warp / 4 * 64 + i * 16 + tile % 2 * 8, depth = k + tile / 2 * 8;
            u32 place = A_ALONG_K ? Place<A_ALONG_K>::of(line + row, depth) : Place<A_ALONG_K>::of(line, depth + row);
            load_tiles<!A_ALONG_K>(left[i], u32(__cvta_generic_to_shared(a + place)));
        }
#pragma unroll
        for (u32 j = 0; j < 2; j++) {
            u32 line = warp % 4 * 32 + j * 16 + tile / 2 * 8, depth = k + tile % 2 * 8;
            u32 place = B_ALONG_K ? Place<B_ALONG_K>::of(line + row, depth) : Place<B_ALONG_K>::of(line, depth + row);
            load_tiles<!B_ALONG_K>(right[j], u32(__cvta_generic_to_shared(b + place)));
        }
#pragma unroll
        for (u32 i = 0; i < 4; i++)
#pragma unroll
            for (u32 j = 0; j < 4; j++) multiply<BRAIN>(sums[i] + 4 * j, left[i], right[j / 2][j % 2 * 2], right[j / 2][j % 2 * 2 + 1]);
    }
}

// The sums over k .. k_end.
__device__ inline void sum(Sums& sums, u16* tiles, const Size& size, const LINES_A& lines_a, const A::Code* a, const LINES_B& lines_b, const B::Code* b, u32 k, u32 k_end) {
    u32 row = blockIdx.x * TILE, column = blockIdx.y * TILE;
    Runs<A, LINES_A, A_ALONG_K, A_WHOLE> left;
    Runs<B, LINES_B, B_ALONG_K, B_WHOLE> right;
#pragma unroll
    for (u32 i = 0; i < 4; i++)
#pragma unroll
        for (u32 j = 0; j < 16; j++) sums[i][j] = 0;
    left.fetch(lines_a, a, row, size.rows, k, k_end);
    right.fetch(lines_b, b, column, size.columns, k, k_end);
    for (u32 odd = 0; k < k_end; k += STEP, odd ^= 1) {
        u16 *tile_a = tiles + odd * 2 * TILE_LEN, *tile_b = tile_a + TILE_LEN;
        left.keep(tile_a);
        right.keep(tile_b);
        __syncthreads();
        if (k + STEP < k_end) {
            left.fetch(lines_a, a, row, size.rows, k + STEP, k_end);
            right.fetch(lines_b, b, column, size.columns, k + STEP, k_end);
        }
        multiply_step(sums, tile_a, tile_b);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) whole(Size size, LINES_A lines_a, const A::Code* a, LINES_B lines_b, const B::Code* b, Rows rows, Epilogue epilogue, Y::Code* y) {
    extern __shared__ uint4 memory[];
    u16* tiles = reinterpret_cast<u16*>(memory);
    Sums sums;
    sum(sums, tiles, size, lines_a, a, lines_b, b, 0, size.k);
    __syncthreads();
    u32 warp = threadIdx.x / 32;
    float* room = reinterpret_cast<float*>(tiles) + warp * pairs_room(32);
    // Once in the code, as it is long: the registers are picked by comparing.
#pragma unroll 1
    for (u32 i = 0; i < 4; i++) {
        float pairs[16];
#pragma unroll
        for (u32 known = 0; known < 4; known++)
            if (i == known)
#pragma unroll
                for (u32 j = 0; j < 16; j++) pairs[j] = sums[known][j];
        u32 row = blockIdx.x * TILE + warp / 4 * 64 + i * 16, column = blockIdx.y * TILE + warp % 4 * 32;
        store_pairs<R, Y, Y_ROUNDING, false, 32>(pairs, room, PairsRows(rows, row, size.rows, size.columns), column, size.columns, epilogue, y);
    }
}

// parts (z, rows, columns): the sums of k_of_part k.
extern "C" __global__ void __launch_bounds__(THREADS) parts(Size size, LINES_A lines_a, const A::Code* a, LINES_B lines_b, const B::Code* b, float* parts) {
    extern __shared__ uint4 memory[];
    u16* tiles = reinterpret_cast<u16*>(memory);
    Sums sums;
    u32 k = blockIdx.z * size.k_of_part;
    sum(sums, tiles, size, lines_a, a, lines_b, b, k, min(size.k, k + size.k_of_part));
    u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    parts += u64(blockIdx.z) * size.rows * size.columns;
#pragma unroll
    for (u32 i = 0; i < 4; i++)
#pragma unroll
        for (u32 j = 0; j < 16; j++) {
            u32 row = blockIdx.x * TILE + warp / 4 * 64 + i * 16 + lane / 4 + j % 4 / 2 * 8;
            u32 column = blockIdx.y * TILE + warp % 4 * 32 + j / 4 * 8 + lane % 4 * 2 + j % 2;
            if (row < size.rows && column < size.columns) parts[u64(row) * size.columns + column] = sums[i][j];
        }
}
