// copy.cu: Permute, CopyRegion and plain copies. Any element type: a kernel moves words of W bytes.
//
// What      dst[d0 + Σ i_k·sd_k] = src[s0 + Σ i_k·ss_k] over a box of indices i.
// Threads   strided: a grid-stride loop over the box; neighbouring threads take neighbours along
//           the last axis, and the plan chooses the widest word that all offsets allow. transpose:
//           a block of 32×8 threads moves a 32×32 tile through shared memory, so that both the
//           reads (along the source's rows) and the writes (along the destination's) are of whole
//           lines.
// Bytes     Each element read and written once.
#include "port.h"

struct alignas(16) word16 {
    u64 lo, hi;
};

struct copy_args {
    u64 dst, src;
    i64 bytes;
};
ARGS_SIZE(copy_args, 24);

extern "C" __global__ void copy_bytes(copy_args a) {
    u8 *dst = (u8 *)a.dst;
    const u8 *src = (const u8 *)a.src;
    i64 packs = aligned16(a.dst | a.src) ? a.bytes / 16 : 0;
    for (i64 i = global_thread(); i < packs; i += global_threads()) {
        store_pack<16>(dst + i * 16, load_pack<16>(src + i * 16));
    }
    for (i64 i = packs * 16 + global_thread(); i < a.bytes; i += global_threads()) {
        dst[i] = src[i];
    }
}

struct strided_args {
    u64 dst, src;
    i64 n;                          // words in the box
    i64 sd[MAX_RANK], ss[MAX_RANK]; // strides in words, outermost first; may be negative
    i32 shape[MAX_RANK];
    i32 rank, pad;
};
ARGS_SIZE(strided_args, 192);

template <typename W> DEVICE void strided(const strided_args &a) {
    W *dst = (W *)a.dst;
    const W *src = (const W *)a.src;
    for (i64 i = global_thread(); i < a.n; i += global_threads()) {
        i64 rest = i, d = 0, s = 0;
        for (int k = a.rank - 1; k >= 0; k--) {
            i64 q = quotient(rest, a.shape[k]), at = rest - q * a.shape[k];
            d += at * a.sd[k];
            s += at * a.ss[k];
            rest = q;
        }
        dst[d] = src[s];
    }
}

extern "C" __global__ void strided_b1(strided_args a) { strided<u8>(a); }
extern "C" __global__ void strided_b2(strided_args a) { strided<u16>(a); }
extern "C" __global__ void strided_b4(strided_args a) { strided<u32>(a); }
extern "C" __global__ void strided_b8(strided_args a) { strided<u64>(a); }
extern "C" __global__ void strided_b16(strided_args a) { strided<word16>(a); }

// dst [batch rows cols] = src transposed: src[b, r, c] lies at b·src_batch + r + c·src_col.
struct transpose_args {
    u64 dst, src;
    i64 src_batch, src_col;
    i32 rows, cols;
};
ARGS_SIZE(transpose_args, 40);

const int TILE = 32, TILE_ROWS = 8;

template <typename W> DEVICE void transpose(const transpose_args &a) {
    __shared__ W tile[TILE][TILE + 1]; // one more column, so that a column lies in 32 banks
    W *dst = (W *)a.dst + (i64)blockIdx.z * a.rows * a.cols;
    const W *src = (const W *)a.src + blockIdx.z * a.src_batch;
    int col0 = blockIdx.x * TILE, row0 = blockIdx.y * TILE;
    for (int k = threadIdx.y; k < TILE; k += TILE_ROWS) {
        int r = row0 + threadIdx.x, c = col0 + k;
        if (r < a.rows && c < a.cols) {
            tile[k][threadIdx.x] = src[r + c * a.src_col];
        }
    }
    __syncthreads();
    for (int k = threadIdx.y; k < TILE; k += TILE_ROWS) {
        int r = row0 + k, c = col0 + threadIdx.x;
        if (r < a.rows && c < a.cols) {
            dst[(i64)r * a.cols + c] = tile[threadIdx.x][k];
        }
    }
}

extern "C" __global__ void transpose_b1(transpose_args a) { transpose<u8>(a); }
extern "C" __global__ void transpose_b2(transpose_args a) { transpose<u16>(a); }
extern "C" __global__ void transpose_b4(transpose_args a) { transpose<u32>(a); }
extern "C" __global__ void transpose_b8(transpose_args a) { transpose<u64>(a); }
