// Tiles of factors in shared memory, for the tensor cores of a warp: in 16 bits, whichever way a factor lies, or as codes of 8 bits, which lie along k.
#pragma once
#include "lines.cuh"
#include "warp.cuh"

// A code of LEFT or RIGHT: what the factors, of types A and B, are multiplied as.
typedef LEFT::Code Multiplied;

const u32 TILE = 128, STEP = 64 / sizeof(Multiplied), THREADS = 256, RUNS_OF_THREAD = TILE * STEP / 8 / THREADS;

// What tensor cores transpose on their way out of shared memory, or not: 16-bit values that lie across k.
template <bool ALONG_K>
inline constexpr bool KEPT_ALONG_K = ALONG_K || sizeof(Multiplied) == 1;

// A tile in shared memory, rows of TILE lines along k, or of STEP k across, with room against bank conflicts: of eight rows that a warp reads 16 bytes each, and of
// four times eight lines that it writes 32 bytes each.
template <bool KEPT_ALONG>
struct Place {
    static constexpr u32 SPARE = 16 / sizeof(Multiplied), PITCH = (KEPT_ALONG ? STEP : TILE) + SPARE;
    static constexpr u32 LEN = KEPT_ALONG ? TILE * PITCH + TILE / 8 * 2 * SPARE : STEP * PITCH;

    static __device__ u32 of(u32 line, u32 k) { return KEPT_ALONG ? line * PITCH + line / 8 * 2 * SPARE + k : k * PITCH + line; }
};

const u32 TILE_LEN = Place<true>::LEN > Place<false>::LEN ? Place<true>::LEN : Place<false>::LEN;

// Four runs of four codes each become the four that stand in the same place of each.
__device__ inline void turn(u32 (&words)[4]) {
    u32 low[2], high[2];
#pragma unroll
    for (u32 i = 0; i < 2; i++) low[i] = bytes_of(words[2 * i], words[2 * i + 1], 0x5140), high[i] = bytes_of(words[2 * i], words[2 * i + 1], 0x7362);
    words[0] = bytes_of(low[0], low[1], 0x5410), words[1] = bytes_of(low[0], low[1], 0x7632);
    words[2] = bytes_of(high[0], high[1], 0x5410), words[3] = bytes_of(high[0], high[1], 0x7632);
}

// Runs of eight elements on their way from a factor to a tile. WHOLE: eight neighbours are neighbours in memory, on a boundary of eight, and there or not there
// together.
template <class T, class Lines, bool ALONG_K, bool WHOLE>
struct Runs {
    static constexpr bool KEPT_ALONG = KEPT_ALONG_K<ALONG_K>, TURNED = KEPT_ALONG && !ALONG_K;
    static_assert(!TURNED || RUNS_OF_THREAD == 4);
    Eight<typename T::Code> runs[RUNS_OF_THREAD];

    // Where a run begins. Those of a thread that are turned are of neighbouring k.
    static __device__ u32 line(u32 run) {
        u32 i = threadIdx.x + THREADS * run;
        if constexpr (TURNED) return (threadIdx.x / 32 % 4 * 4 + threadIdx.x % 4) * 8;
        else return ALONG_K ? i / (STEP / 8) : i % (TILE / 8) * 8;
    }
    static __device__ u32 step(u32 run) {
        u32 i = threadIdx.x + THREADS * run;
        if constexpr (TURNED) return (threadIdx.x / 128 * 8 + threadIdx.x % 32 / 4) * RUNS_OF_THREAD + run;
        else return ALONG_K ? i % (STEP / 8) * 8 : i / (TILE / 8);
    }

    __device__ void fetch(const Lines& lines, const typename T::Code* codes, u32 first, u32 end, u32 k, u32 k_end) {
#pragma unroll
        for (u32 run = 0; run < RUNS_OF_THREAD; run++) {
            u32 l = first + line(run), s = k + step(run);
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

    __device__ void keep(Multiplied* tile) const {
        if constexpr (TURNED) {
#pragma unroll
            for (u32 half = 0; half < 2; half++) {
                u32 words[4];
#pragma unroll
                for (u32 run = 0; run < 4; run++) words[run] = runs[run].words[half];
                turn(words);
#pragma unroll
                for (u32 j = 0; j < 4; j++) *reinterpret_cast<u32*>(tile + Place<true>::of(line(0) + 4 * half + j, step(0))) = words[j];
            }
        } else {
#pragma unroll
            for (u32 run = 0; run < RUNS_OF_THREAD; run++) {
                Eight<Multiplied>* place = reinterpret_cast<Eight<Multiplied>*>(tile + Place<KEPT_ALONG>::of(line(run), step(run)));
                if constexpr (sizeof(Multiplied) == 1) *place = runs[run];
                else *place = narrow<LEFT, T>(runs[run]);
            }
        }
    }
};

// Four matrices of a tile, of 8 lines and 16 bytes of k each: lane 8 m + i says where matrix m begins, whatever i is.
template <bool ALONG_K>
__device__ inline void load_words(u32 (&words)[4], const Multiplied* tile, u32 line, u32 k) {
    u32 row = threadIdx.x % 8;
    if constexpr (KEPT_ALONG_K<ALONG_K>) load_matrices(words, tile + Place<true>::of(line + row, k));
    else load_transposed(words, tile + Place<false>::of(line, k + row));
}
