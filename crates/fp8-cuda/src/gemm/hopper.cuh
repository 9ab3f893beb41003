// Hopper's own instructions: barriers of shared memory, bulk copies of tensors, products of whole groups of warps.
#pragma once
#include "codec.cuh"
#include "lines.cuh"

// What the driver made of a tensor's address, shape and swizzle.
struct alignas(64) TensorMap {
    u64 words[16];
};

__device__ inline u32 shared_address(const void* pointer) { return u32(__cvta_generic_to_shared(pointer)); }

// Barriers.

__device__ inline void init_barrier(u32 barrier, u32 arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals));
}

__device__ inline void publish_barriers() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }

// Arrives, and has the phase wait for so many bytes.
__device__ inline void expect_bytes(u32 barrier, u32 bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}

__device__ inline void arrive(u32 barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}

// At the barrier of the same place in another block of the cluster.
__device__ inline void arrive_at(u32 barrier, u32 block) {
    asm volatile(
        "{\n.reg .u32 there;\nmapa.shared::cluster.u32 there, %0, %1;\nmbarrier.arrive.shared::cluster.b64 _, [there];\n}" ::"r"(barrier), "r"(block)
        : "memory");
}

__device__ inline void wait(u32 barrier, u32 parity) {
    asm volatile(
        "{\n.reg .pred done;\nAGAIN:\nmbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n@done bra DONE;\nbra AGAIN;\nDONE:\n}" ::"r"(barrier), "r"(parity)
        : "memory");
}

// Two groups of four warps meet at a named barrier: one announces, the other waits.
__device__ inline void announce(u32 barrier) { asm volatile("bar.arrive %0, 256;" ::"r"(barrier) : "memory"); }
__device__ inline void await(u32 barrier) { asm volatile("bar.sync %0, 256;" ::"r"(barrier) : "memory"); }

// Where in a ring of stages one is.
template <int LENGTH>
struct Ring {
    u32 stage = 0, phase = 0;

    __device__ void advance() {
        if (++stage == LENGTH) stage = 0, phase ^= 1;
    }
};

// Clusters.

__device__ inline u32 block_of_cluster() {
    u32 rank;
    asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}

__device__ inline void cluster_sync() {
    asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
}

// Copies of boxes of tensors into shared memory, which complete on a barrier.

__device__ inline void load_box(u32 to, const TensorMap& map, u32 barrier, int x, int y) {
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];" ::"r"(to), "l"(&map), "r"(barrier), "r"(x), "r"(y)
                 : "memory");
}

// To the same place of every block in `blocks`, a bit each, and on the barriers there.
__device__ inline void load_box_to(u32 to, const TensorMap& map, u32 barrier, int x, int y, u16 blocks) {
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1, {%3, %4}], [%2], %5;" ::"r"(to), "l"(&map), "r"(barrier), "r"(x), "r"(y), "h"(blocks)
                 : "memory");
}

// The same of matrices whose rows are taken in another order: `group` of the map's groups of rows and what follows.
__device__ inline void load_groups(u32 to, const TensorMap& map, u32 barrier, int x, int group) {
    asm volatile("cp.async.bulk.tensor.5d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %4, %4, %5}], [%2];" ::"r"(to), "l"(&map), "r"(barrier), "r"(x), "r"(0), "r"(group)
                 : "memory");
}

__device__ inline void load_groups_to(u32 to, const TensorMap& map, u32 barrier, int x, int group, u16 blocks) {
    asm volatile("cp.async.bulk.tensor.5d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1, {%3, %4, %4, %4, %5}], [%2], %6;" ::"r"(to), "l"(&map), "r"(barrier), "r"(x), "r"(0), "r"(group), "h"(blocks)
                 : "memory");
}

// Channels from c on of the pixels from (image, y, x) on, each shifted by (down, across): a column of windows.
__device__ inline void load_pixels(u32 to, const TensorMap& map, u32 barrier, int c, int x, int y, int image, u16 across, u16 down) {
    asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5, %6}], [%2], {%7, %8};" ::"r"(to), "l"(&map), "r"(barrier), "r"(c), "r"(x), "r"(y), "r"(image), "h"(across), "h"(down)
                 : "memory");
}

// Windows of images as copies see them: blocks of channels of a tap, taps across, pixels of the grid, and where windows begin.
struct Windows {
    u32 blocks;
    Divisor window_x, grid_y, grid_x;
    int step_y, step_x, corner_y, corner_x;
};

// Block `block` of WIDTH elements of the windows of as many pixels as the map says, from `pixel` on.
template <u32 WIDTH>
__device__ inline void load_windows(u32 to, const TensorMap& map, u32 barrier, const Windows& of, u32 pixel, u32 block) {
    u32 x, y, across;
    u32 image = divide(divide(pixel, of.grid_x, x), of.grid_y, y);
    u32 tap = block / of.blocks, channel = block % of.blocks * WIDTH;
    u32 down = divide(tap, of.window_x, across);
    load_pixels(to, map, barrier, channel, int(x) * of.step_x + of.corner_x, int(y) * of.step_y + of.corner_y, image, across, down);
}

// Registers of a group of warps: what it computes, the copier needs few of.

template <int REGISTERS>
__device__ inline void take_registers() {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(REGISTERS));
}

template <int REGISTERS>
__device__ inline void give_registers() {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(REGISTERS));
}

// Products of 64 rows by 64, 128 or 256 columns by 32 bytes of k.

// A tile of lines in shared memory, each WIDTH bytes of k, swizzled over WIDTH bytes: lines in groups of eight.
template <int WIDTH>
__device__ inline u64 tile_along_k(u32 address) {
    constexpr u64 SWIZZLE = WIDTH == 128 ? 1 : WIDTH == 64 ? 2 : 3;
    return u64((address & 0x3FFFF) >> 4) | 1ull << 16 | u64(8 * WIDTH >> 4) << 32 | SWIZZLE << 62;
}

// The same across k: blocks of 64 lines of 16-bit elements, each of them rows of 128 bytes for BLOCK_K of k, swizzled, one block after the other.
template <int BLOCK_K>
__device__ inline u64 tile_across_k(u32 address) {
    return u64((address & 0x3FFFF) >> 4) | u64(BLOCK_K * 128 >> 4) << 16 | u64(1024 >> 4) << 32 | 1ull << 62;
}

// What ordinary stores have written into shared memory may be read by products.
__device__ inline void publish_stores() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

__device__ inline void products_begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ inline void products_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }

// Until at most PENDING groups are on their way.
template <int PENDING>
__device__ inline void products_wait() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(PENDING) : "memory");
}

// Keeps the compiler from moving uses of `sums` across.
template <int N>
__device__ inline void hold(float (&sums)[N]) {
#pragma unroll
    for (int i = 0; i < N; i++) asm volatile("" : "+f"(sums[i])::"memory");
}

// A source says of what types its products are, FACTOR_A and FACTOR_B, and whether their lines lie across k, ACROSS, which 16-bit types may.
#define PRODUCT_KIND(T) PRODUCT_KIND_(T)
#define PRODUCT_KIND_(T) PRODUCT_##T
#define PRODUCT_E5M2 "e5m2"
#define PRODUCT_E4M3 "e4m3"
#define PRODUCT_F16 "f16"
#define PRODUCT_Bf16 "bf16"
#define PRODUCT_F32 "tf32"
#define PRODUCT_DEPTH(T) PRODUCT_DEPTH_(T)
#define PRODUCT_DEPTH_(T) DEPTH_##T
#define DEPTH_E5M2 "k32"
#define DEPTH_E4M3 "k32"
#define DEPTH_F16 "k16"
#define DEPTH_Bf16 "k16"
#define DEPTH_F32 "k8"
#define PRODUCT_WAYS(T) PRODUCT_WAYS_(T)
#define PRODUCT_WAYS_(T) WAYS_##T
#define WAYS_E5M2 ""
#define WAYS_E4M3 ""
#define WAYS_F32 ""
#if ACROSS
#define WAYS_F16 ", 1, 1"
#define WAYS_Bf16 ", 1, 1"
#else
#define WAYS_F16 ", 0, 0"
#define WAYS_Bf16 ", 0, 0"
#endif

#define TEN(t) "%" #t "0, %" #t "1, %" #t "2, %" #t "3, %" #t "4, %" #t "5, %" #t "6, %" #t "7, %" #t "8, %" #t "9, "
#define SUMS4(s, i) "+f"(s[i]), "+f"(s[i + 1]), "+f"(s[i + 2]), "+f"(s[i + 3])
#define SUMS16(s, i) SUMS4(s, i), SUMS4(s, i + 4), SUMS4(s, i + 8), SUMS4(s, i + 12)
#define SUMS64(s, i) SUMS16(s, i), SUMS16(s, i + 16), SUMS16(s, i + 32), SUMS16(s, i + 48)

#define MULTIPLY(N, NAMES, LEFT, RIGHT, ADD, ...)                                                                                                           \
    asm volatile("{\n.reg .pred add;\nsetp.ne.b32 add, %" #ADD ", 0;\nwgmma.mma_async.sync.aligned.m64n" #N PRODUCT_DEPTH(FACTOR_A) ".f32." PRODUCT_KIND(FACTOR_A) "." PRODUCT_KIND(FACTOR_B) " {" NAMES "}, %" #LEFT ", %" #RIGHT \
                 ", add, 1, 1" PRODUCT_WAYS(FACTOR_A) ";\n}"                                                                                                       \
                 : __VA_ARGS__                                                                                                                              \
                 : "l"(a), "l"(b), "r"(add))

// sums = A B, or sums += A B where `add`; the tiles of A and B are `a` and `b`.
__device__ inline void multiply(float (&sums)[32], u64 a, u64 b, u32 add) {
    MULTIPLY(64, TEN() TEN(1) TEN(2) "%30, %31", 32, 33, 34, SUMS16(sums, 0), SUMS16(sums, 16));
}

__device__ inline void multiply(float (&sums)[64], u64 a, u64 b, u32 add) {
    MULTIPLY(128, TEN() TEN(1) TEN(2) TEN(3) TEN(4) TEN(5) "%60, %61, %62, %63", 64, 65, 66, SUMS64(sums, 0));
}

__device__ inline void multiply(float (&sums)[128], u64 a, u64 b, u32 add) {
    MULTIPLY(256, TEN() TEN(1) TEN(2) TEN(3) TEN(4) TEN(5) TEN(6) TEN(7) TEN(8) TEN(9) TEN(10) TEN(11) "%120, %121, %122, %123, %124, %125, %126, %127", 128, 129, 130, SUMS64(sums, 0), SUMS64(sums, 64));
}
