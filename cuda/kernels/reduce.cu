// reduce.cu: Reduce, ArgMax, Softmax.
//
// What      Σ, mean, maximum, minimum over some axes; the first maximum's index and softmax or log
//           softmax over the last one. Maximum and minimum are NaN if any element is.
// Threads   rows: a team (a warp for short rows, else a block) reads one row, or one chunk of it,
//           thread t taking elements t, t+team, …; then the team folds in a butterfly. columns: 32
//           neighbouring columns by 8 row lanes, so that a warp reads a whole line; the 8 partial
//           results are folded in order through shared memory. general: a block for each output
//           element finds its inputs by dividing the index.
// Order     Long sums are split into chunks by shape alone and the chunks' results are reduced by a
//           second launch: the same bits on every card.
// Bytes     The input once (softmax: up to three times, from cache when a row fits there).
#include "rows.h"

enum ReduceOp { SUM, MEAN, MAX_OF, MIN_OF }; // in the order of tensor.ReduceOp

// ---- rows: x [rows, n], each cut into chunks; dst [rows, chunks]

struct reduce_rows_args {
    u64 dst, x;
    i64 rows, n, chunk; // rows counts chunks as well: rows of dst
    i64 chunks;
    double scale; // the result is divided by it
    i32 op, per_row;
    i32 partial_in, partial_out; // x or dst is of type Acc<T>
};
ARGS_SIZE(reduce_rows_args, 72);

template <typename In, typename Out, typename F>
DEVICE void fold_rows(const reduce_rows_args &a) {
    typedef Acc<In> A;
    __shared__ A room[WARP];
    Team t = team_of(a.per_row);
    A sum = F::template start<A>();
    if (t.row < a.rows) {
        i64 r = quotient(t.row, a.chunks), from = (t.row - r * a.chunks) * a.chunk;
        const In *x = (const In *)a.x + r * a.n;
        i64 to = min64(from + a.chunk, a.n);
        for (i64 i = from + t.rank; i < to; i += t.size) {
            sum = F::join(sum, widen(x[i]));
        }
    }
    sum = team_fold<F>(t, sum, room);
    if (t.row < a.rows && t.rank == 0) {
        ((Out *)a.dst)[t.row] = narrow<Out>(sum / (A)a.scale);
    }
}

template <typename In, typename Out> DEVICE void reduce_rows_in(const reduce_rows_args &a) {
    switch (a.op) {
    case MAX_OF: return fold_rows<In, Out, MaxFold>(a);
    case MIN_OF: return fold_rows<In, Out, MinFold>(a);
    default: return fold_rows<In, Out, AddFold>(a);
    }
}

template <typename T> DEVICE void reduce_rows(const reduce_rows_args &a) {
    if (a.partial_in) {
        reduce_rows_in<Acc<T>, T>(a);
    } else if (a.partial_out) {
        reduce_rows_in<T, Acc<T>>(a);
    } else {
        reduce_rows_in<T, T>(a);
    }
}

extern "C" __global__ void reduce_rows_f32(reduce_rows_args a) { reduce_rows<float>(a); }
extern "C" __global__ void reduce_rows_f64(reduce_rows_args a) { reduce_rows<double>(a); }
extern "C" __global__ void reduce_rows_bf16(reduce_rows_args a) { reduce_rows<bf16>(a); }

// ---- columns: dst[o, chunk, c] folds x[o·outer + r·stride + c] over the chunk's r

struct reduce_columns_args {
    u64 dst, x;
    i64 outer, stride; // in elements
    i64 n, chunk;      // extent of the reduced axis
    double scale;
    i32 columns, chunks;
    i32 op, partial_in, partial_out, pad;
};
ARGS_SIZE(reduce_columns_args, 80);

const int COLUMN_LANES = 8;

template <typename In, typename Out, typename F>
DEVICE void fold_columns(const reduce_columns_args &a) {
    typedef Acc<In> A;
    __shared__ A part[COLUMN_LANES][WARP];
    int c = blockIdx.x * WARP + threadIdx.x;
    i64 o = blockIdx.z, from = blockIdx.y * a.chunk, to = min64(from + a.chunk, a.n);
    A sum = F::template start<A>();
    if (c < a.columns) {
        const In *x = (const In *)a.x + o * a.outer + c;
        for (i64 r = from + threadIdx.y; r < to; r += COLUMN_LANES) {
            sum = F::join(sum, widen(x[r * a.stride]));
        }
    }
    part[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y == 0 && c < a.columns) {
        for (int k = 1; k < COLUMN_LANES; k++) {
            sum = F::join(sum, part[k][threadIdx.x]);
        }
        ((Out *)a.dst)[(o * a.chunks + blockIdx.y) * a.columns + c] =
            narrow<Out>(sum / (A)a.scale);
    }
}

template <typename In, typename Out> DEVICE void reduce_columns_in(const reduce_columns_args &a) {
    switch (a.op) {
    case MAX_OF: return fold_columns<In, Out, MaxFold>(a);
    case MIN_OF: return fold_columns<In, Out, MinFold>(a);
    default: return fold_columns<In, Out, AddFold>(a);
    }
}

template <typename T> DEVICE void reduce_columns(const reduce_columns_args &a) {
    if (a.partial_in) {
        reduce_columns_in<Acc<T>, T>(a);
    } else if (a.partial_out) {
        reduce_columns_in<T, Acc<T>>(a);
    } else {
        reduce_columns_in<T, T>(a);
    }
}

extern "C" __global__ void reduce_columns_f32(reduce_columns_args a) { reduce_columns<float>(a); }
extern "C" __global__ void reduce_columns_f64(reduce_columns_args a) { reduce_columns<double>(a); }
extern "C" __global__ void reduce_columns_bf16(reduce_columns_args a) { reduce_columns<bf16>(a); }

// ---- general: any set of kept and of reduced axes

struct reduce_general_args {
    u64 dst, x;
    i64 outputs, n; // elements of dst, elements that meet in each
    i64 kept_stride[MAX_RANK], reduced_stride[MAX_RANK];
    i32 kept_shape[MAX_RANK], reduced_shape[MAX_RANK];
    double scale;
    i32 kept, reduced; // ranks
    i32 op, pad;
};
ARGS_SIZE(reduce_general_args, 248);

DEVICE i64 offset_of(i64 i, int rank, const i32 *shape, const i64 *stride) {
    i64 at = 0;
    for (int k = rank - 1; k >= 0; k--) {
        i64 q = quotient(i, shape[k]);
        at += (i - q * shape[k]) * stride[k];
        i = q;
    }
    return at;
}

template <typename T, typename F> DEVICE void fold_general(const reduce_general_args &a) {
    typedef Acc<T> A;
    __shared__ A room[WARP];
    for (i64 o = blockIdx.x; o < a.outputs; o += gridDim.x) {
        const T *x = (const T *)a.x + offset_of(o, a.kept, a.kept_shape, a.kept_stride);
        A sum = F::template start<A>();
        for (i64 i = threadIdx.x; i < a.n; i += blockDim.x) {
            sum = F::join(
                sum, widen(x[offset_of(i, a.reduced, a.reduced_shape, a.reduced_stride)]));
        }
        sum = block_fold<F>(sum, room);
        if (threadIdx.x == 0) {
            ((T *)a.dst)[o] = narrow<T>(sum / (A)a.scale);
        }
    }
}

template <typename T> DEVICE void reduce_general(const reduce_general_args &a) {
    switch (a.op) {
    case MAX_OF: return fold_general<T, MaxFold>(a);
    case MIN_OF: return fold_general<T, MinFold>(a);
    default: return fold_general<T, AddFold>(a);
    }
}

extern "C" __global__ void reduce_general_f32(reduce_general_args a) { reduce_general<float>(a); }
extern "C" __global__ void reduce_general_f64(reduce_general_args a) { reduce_general<double>(a); }
extern "C" __global__ void reduce_general_bf16(reduce_general_args a) { reduce_general<bf16>(a); }

// ---- ArgMax: dst[r] is the index of the first maximum of x[r, …]; a NaN counts as largest

struct rows_args {
    u64 dst, x;
    i64 rows, n;
    i32 per_row, log; // threads that share a row; log is softmax's
};
ARGS_SIZE(rows_args, 40);

// beats reports whether (v, i) comes before (w, j): larger, or the first NaN, or the earlier equal.
template <typename A> DEVICE bool beats(A v, i64 i, A w, i64 j) {
    if (v != v || w != w) {
        return v != v && (w == w || i < j);
    }
    return v > w || (v == w && i < j);
}

// A warp for each row.
template <typename T> DEVICE void argmax(const rows_args &a) {
    typedef Acc<T> A;
    Team t = team_of(WARP);
    A best = -infinity_of((A)0);
    i64 at = a.n; // no element yet: any beats it
    if (t.row < a.rows) {
        const T *x = (const T *)a.x + t.row * a.n;
        for (i64 i = t.rank; i < a.n; i += WARP) {
            A v = widen(x[i]);
            if (beats(v, i, best, at)) {
                best = v;
                at = i;
            }
        }
    }
    for (int d = WARP / 2; d > 0; d /= 2) {
        A v = __shfl_xor_sync(ALL_LANES, best, d);
        i64 i = __shfl_xor_sync(ALL_LANES, at, d);
        if (beats(v, i, best, at)) {
            best = v;
            at = i;
        }
    }
    if (t.row < a.rows && t.rank == 0) {
        ((i32 *)a.dst)[t.row] = (i32)at;
    }
}

extern "C" __global__ void argmax_f32(rows_args a) { argmax<float>(a); }
extern "C" __global__ void argmax_f64(rows_args a) { argmax<double>(a); }
extern "C" __global__ void argmax_bf16(rows_args a) { argmax<bf16>(a); }

// ---- Softmax: exp(x−max)/Σ, or with log set x−max−log Σ. dst may be x: a thread writes only what
// it alone reads after the last barrier.

template <typename T> DEVICE void softmax(const rows_args &a) {
    typedef Acc<T> A;
    __shared__ A room[WARP];
    Team t = team_of(a.per_row);
    bool mine = t.row < a.rows;
    const T *x = (const T *)a.x + t.row * a.n;
    A top = MaxFold::start<A>(), sum = 0;
    for (i64 i = t.rank; mine && i < a.n; i += t.size) {
        top = larger(top, widen(x[i]));
    }
    top = team_fold<MaxFold>(t, top, room);
    for (i64 i = t.rank; mine && i < a.n; i += t.size) {
        sum += exp_of(widen(x[i]) - top);
    }
    sum = team_fold<AddFold>(t, sum, room);
    A log_sum = log_of(sum);
    T *dst = (T *)a.dst + t.row * a.n;
    for (i64 i = t.rank; mine && i < a.n; i += t.size) {
        A z = widen(x[i]) - top;
        dst[i] = narrow<T>(a.log ? z - log_sum : exp_of(z) / sum);
    }
}

extern "C" __global__ void softmax_f32(rows_args a) { softmax<float>(a); }
extern "C" __global__ void softmax_f64(rows_args a) { softmax<double>(a); }
extern "C" __global__ void softmax_bf16(rows_args a) { softmax<bf16>(a); }
