// wgmma.h: the matrix product of tile.h for bfloat16 on Hopper's tensor cores, which four warps use
// together and which read both operands from shared memory by themselves. WGMMA.md explains it.
//
// It has been compiled for sm_90a and run under the emulator, whose model of the instruction
// decodes descriptors and swizzle as the PTX ISA describes them. It has never run on a card:
// package cuda lets it compete for a shape only after it has made the same result as product_mma
// there.
//
// Threads   Two warpgroups; each multiplies 64 rows of A by all 128 columns of B, 64 steps of k at
//           a time, and keeps 64 sums a thread.
// Memory    Four tiles of A and B, 128 KB, of which two are being fetched while one is multiplied.
// Bytes     As in tile.h.
#pragma once
#include "room.h"
#include "tile.h"

// ---- the instructions. On cards other than 9.0 a kernel that uses them traps; none is launched.

#ifdef KSIM
DEVICE u32 shared_address(const void *p) { return ksim::shared_address(p); }
DEVICE void proxy_fence() { ksim::proxy_fence(); }
DEVICE void wgmma_fence() { ksim::wgmma_fence(); }
DEVICE void wgmma_commit() { ksim::wgmma_commit(); }
template <int N> DEVICE void wgmma_wait() { ksim::wgmma_wait(N); }
template <bool TA, bool TB> DEVICE void wgmma_m64n128k16(float d[64], u64 a, u64 b) {
    ksim::wgmma(d, 128, a, b, TA, TB, __LINE__);
}
#else
DEVICE u32 shared_address(const void *p) { return (u32)__cvta_generic_to_shared(p); }

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#define HOPPER(...) asm volatile(__VA_ARGS__)
#else
#define HOPPER(...) asm volatile("trap;")
#endif

// proxy_fence makes this thread's writes to shared memory visible to the tensor cores, which read
// it on a way of their own; a barrier behind it carries that to the threads that multiply.
DEVICE void proxy_fence() { HOPPER("fence.proxy.async.shared::cta;" ::: "memory"); }

// wgmma_fence orders what the warpgroup did to its registers before the products behind it.
DEVICE void wgmma_fence() { HOPPER("wgmma.fence.sync.aligned;" ::: "memory"); }
DEVICE void wgmma_commit() { HOPPER("wgmma.commit_group.sync.aligned;" ::: "memory"); }

// wgmma_wait<N> waits until at most N committed groups of products are under way. Until then their
// sums and operands must not be touched.
template <int N> DEVICE void wgmma_wait() {
    HOPPER("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
}

#define SUMS4(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define SUMS16(i) SUMS4(i), SUMS4(i + 4), SUMS4(i + 8), SUMS4(i + 12)

// wgmma_m64n128k16 begins d += a·b for a warpgroup: a 64×16 and b 16×128, described by descriptors,
// TA and TB set where memory runs along rows of a or columns of b. Warp w of four has rows
// 16w…16w+15; with g = lane/4 and t = lane%4
//
//     d[4j], d[4j+1] = D[16w+g][8j+2t, 8j+2t+1]     d[4j+2], d[4j+3] = D[16w+g+8][8j+2t, 8j+2t+1]
template <bool TA, bool TB> DEVICE void wgmma_m64n128k16(float d[64], u64 a, u64 b) {
    HOPPER("wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 "
           "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,"
           "%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31,"
           "%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,"
           "%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63}, "
           "%64, %65, 1, 1, 1, %66, %67;"
           : SUMS16(0), SUMS16(16), SUMS16(32), SUMS16(48)
           : "l"(a), "l"(b), "n"(TA ? 1 : 0), "n"(TB ? 1 : 0));
}
#endif

// ---- tiles in shared memory: 128 lines of 128 bytes, which hold 64 neighbours along the fast axis

const int LINE = 128, GROUP = 8 * LINE; // bytes; swizzling repeats every 8 lines
const int TILE_ROWS = 128, TILE_K = 64, TILE_BYTES = TILE_ROWS * LINE;
const int TILES = 4, AHEAD = TILES - 2;
const int HALF = TILE_BYTES / 2; // 64 rows, whichever axis is fast

// matrix_at describes a matrix that begins at an address of shared memory: 16 bytes at a time, with
// 128-byte swizzling. Where memory runs along k, 8 rows are a GROUP; where it runs along rows, 8
// steps of k are one, and the next 64 rows lie HALF a tile on.
DEVICE u64 matrix_at(u32 address) {
    return (u64)((address & 0x3FFFF) >> 4) | (u64)(HALF >> 4) << 16 | (u64)(GROUP >> 4) << 32 |
           (u64)1 << 62;
}

// A Feed is one thread's share of fetching tiles of an Operand: PASSES times 16 bytes.
template <typename Op> struct Feed {
    static const int V = PACK<bf16>, ALONG = LINE / 16, ACROSS = TILE_THREADS / ALONG;
    static const int PASSES = TILE_ROWS / ACROSS;
    static const int STEP = Op::k_fast ? 32 : 2 * GROUP; // bytes from 16 steps of k to the next

    typename Op::Slot slots[PASSES];

    static DEVICE int chunk() { return threadIdx.x % ALONG; }
    static DEVICE int line(int p) { return threadIdx.x / ALONG + p * ACROSS; }
    // Lines are rows, or steps of k: the 64 of the tile's first 64 rows, then those of the others.
    static DEVICE int row(int p) {
        return Op::k_fast ? line(p) : line(p) / TILE_K * 64 + chunk() * V;
    }
    static DEVICE int col(int p) { return Op::k_fast ? chunk() * V : line(p) % TILE_K; }

    DEVICE void prepare(const Op &op, i32 row0) {
        UNROLL
        for (int p = 0; p < PASSES; p++) {
            slots[p] = op.slot(row0 + row(p));
        }
    }
    // start begins to write a tile, each 16 bytes where swizzling puts them.
    DEVICE void start(const Op &op, i32 row0, i32 k0, char *tile) const {
        UNROLL
        for (int p = 0; p < PASSES; p++) {
            bf16 *to = (bf16 *)(tile + line(p) * LINE + (chunk() ^ line(p) % 8) * 16);
            const bf16 *from = op.vec ? op.at(slots[p], row0 + row(p), k0 + col(p)) : 0;
            if (from) {
                copy_async16(to, from);
            } else {
                store_pack<V>(to, op.vec ? Pack<bf16, V>()
                                         : fetched<bf16>(op, slots[p], row0 + row(p), k0 + col(p)));
            }
        }
    }
};

// product_wgmma is product_mma's counterpart for tiles of 128×128.
template <typename OpA, typename OpB, typename Out>
DEVICE void product_wgmma(const OpA &a, const OpB &b, const Out &out, i32 m0, i32 n0, i32 k_from,
                          i32 k_to) {
    char *room = dynamic_room();
    room += -shared_address(room) % GROUP; // a pattern of swizzling begins at a multiple of it
    const int group = threadIdx.x / 128, warp = threadIdx.x / WARP % 4, lane = threadIdx.x % WARP;
    const u64 left = matrix_at(shared_address(room) + group * HALF);
    const u64 right = matrix_at(shared_address(room) + TILE_BYTES);
    Feed<OpA> fa;
    Feed<OpB> fb;
    fa.prepare(a, m0);
    fb.prepare(b, n0);
    float acc[64] = {};
    const i32 steps = (k_to - k_from + TILE_K - 1) / TILE_K;
    auto start = [&](i32 i) { // an empty group counts, too: copy_wait need not know the end
        if (i < steps) {
            char *tile = room + i % TILES * 2 * TILE_BYTES;
            fa.start(a, m0, k_from + i * TILE_K, tile);
            fb.start(b, n0, k_from + i * TILE_K, tile + TILE_BYTES);
        }
        copy_commit();
    };
    UNROLL
    for (int i = 0; i < AHEAD; i++) {
        start(i);
    }
    UNROLL_BY(1)
    for (i32 i = 0; i < steps; i++) {
        copy_wait<AHEAD - 1>();
        proxy_fence();
        __syncthreads(); // tile i is there; everybody is done with tile i−2
        wgmma_fence();
        u64 at = (u64)(i % TILES * 2 * TILE_BYTES / 16);
        UNROLL
        for (int k = 0; k < TILE_K / 16; k++) {
            wgmma_m64n128k16<!OpA::k_fast, !OpB::k_fast>(acc, left + at + k * Feed<OpA>::STEP / 16,
                                                         right + at + k * Feed<OpB>::STEP / 16);
        }
        wgmma_commit();
        start(i + AHEAD); // where tile i−2 was, while tile i is multiplied
        wgmma_wait<1>();
    }
    wgmma_wait<0>();
    copy_wait<0>();
    __syncthreads(); // a kernel may begin another product
    UNROLL
    for (int j = 0; j < 16; j++) {
        UNROLL
        for (int h = 0; h < 2; h++) {
            i32 m = m0 + group * 64 + warp * 16 + lane / 4 + h * 8, n = n0 + 8 * j + lane % 4 * 2;
            out.template put<2>(m, n, &acc[4 * j + 2 * h]);
        }
    }
}

// Wgmma names the product, as Mma does.
struct Wgmma {
    template <typename T, typename OpA, typename OpB, typename Out>
    static DEVICE void run(const OpA &a, const OpB &b, const Out &out, i32 from, i32 to) {
        Place p = place_of(out.cols, TILE_ROWS, TILE_ROWS);
        product_wgmma(a, b, out, p.m0, p.n0, from, to);
    }
};
