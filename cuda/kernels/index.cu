// index.cu: Gather, ScatterAdd, OneHot. idx is I32 [n].
//
// What      gather       dst[i, …] = x[idx[i], …]
//           scatter_add  dst[k, …] = Σ x[i, …] over i with idx[i] = k, in order of i
//           one_hot      dst[i, k] = idx[i] = k
// Threads   gather, one_hot: a grid-stride loop over dst. scatter_add: a block owns 256 columns of
//           one row k of dst and reads all of idx, a shared-memory tile at a time; it adds the rows
//           that are its own. No atomics: the order of the sum is the order of i, whatever the
//           schedule.
// Bytes     gather, one_hot: dst and its sources once. scatter_add: x and dst once, idx once for
//           each row of dst (from cache: it has n numbers).
#include "port.h"

struct alignas(16) word16 {
    u64 lo, hi;
};

struct gather_args {
    u64 dst, x, idx;
    i64 n, row; // rows of dst, words in a row
};
ARGS_SIZE(gather_args, 40);

template <typename W> DEVICE void gather(const gather_args &a) {
    W *dst = (W *)a.dst;
    const W *x = (const W *)a.x;
    const i32 *idx = (const i32 *)a.idx;
    for (i64 i = global_thread(); i < a.n * a.row; i += global_threads()) {
        i64 r = quotient(i, a.row);
        dst[i] = x[idx[r] * a.row + (i - r * a.row)];
    }
}

extern "C" __global__ void gather_b1(gather_args a) { gather<u8>(a); }
extern "C" __global__ void gather_b2(gather_args a) { gather<u16>(a); }
extern "C" __global__ void gather_b4(gather_args a) { gather<u32>(a); }
extern "C" __global__ void gather_b8(gather_args a) { gather<u64>(a); }
extern "C" __global__ void gather_b16(gather_args a) { gather<word16>(a); }

struct scatter_add_args {
    u64 dst, x, idx;
    i64 rows, n, row; // rows of dst, rows of x, elements in a row
};
ARGS_SIZE(scatter_add_args, 48);

const int SCATTER_TILE = 256;

template <typename T> DEVICE void scatter_add(const scatter_add_args &a) {
    __shared__ i32 tile[SCATTER_TILE];
    T *dst = (T *)a.dst;
    const T *x = (const T *)a.x;
    const i32 *idx = (const i32 *)a.idx;
    i64 col = (i64)blockIdx.x * SCATTER_TILE + threadIdx.x;
    for (i64 k = blockIdx.y; k < a.rows; k += gridDim.y) {
        Acc<T> sum = 0;
        for (i64 i0 = 0; i0 < a.n; i0 += SCATTER_TILE) {
            int m = (int)min64(SCATTER_TILE, a.n - i0);
            if ((int)threadIdx.x < m) {
                tile[threadIdx.x] = idx[i0 + threadIdx.x];
            }
            __syncthreads();
            for (int j = 0; j < m; j++) {
                if (tile[j] == k && col < a.row) {
                    sum += widen(x[(i0 + j) * a.row + col]);
                }
            }
            __syncthreads();
        }
        if (col < a.row) {
            dst[k * a.row + col] = narrow<T>(sum);
        }
    }
}

extern "C" __global__ void scatter_add_f32(scatter_add_args a) { scatter_add<float>(a); }
extern "C" __global__ void scatter_add_f64(scatter_add_args a) { scatter_add<double>(a); }
extern "C" __global__ void scatter_add_bf16(scatter_add_args a) { scatter_add<bf16>(a); }

struct one_hot_args {
    u64 dst, idx;
    i64 n, classes;
};
ARGS_SIZE(one_hot_args, 32);

template <typename T> DEVICE void one_hot(const one_hot_args &a) {
    T *dst = (T *)a.dst;
    const i32 *idx = (const i32 *)a.idx;
    for (i64 i = global_thread(); i < a.n * a.classes; i += global_threads()) {
        i64 r = quotient(i, a.classes);
        dst[i] = narrow<T>(idx[r] == i - r * a.classes ? 1.0f : 0.0f);
    }
}

extern "C" __global__ void one_hot_f32(one_hot_args a) { one_hot<float>(a); }
extern "C" __global__ void one_hot_f64(one_hot_args a) { one_hot<double>(a); }
extern "C" __global__ void one_hot_bf16(one_hot_args a) { one_hot<bf16>(a); }
