// attention.cu: y = softmax(scale·q·kᵀ)·v without the matrix of scores in memory.
//
// What      q [B L D], k [B M D], v [B M E], y [B L E], D ≤ 64, E ≤ 256. Forward keeps, for each
//           query, lse = log Σ exp(score). Backward recomputes the scores a tile at a time:
//             p = exp(score − lse),  delta = Σ_e dy·y,  ds = p·(dy·vᵀ − delta)·scale
//             dv = pᵀ·dy,  dq = ds·k,  dk = dsᵀ·q
//           (Dao et al., FlashAttention, 2022, algorithms 1 and 4.)
// Threads   A block of 128 owns 64 rows, queries or, for dv and dk, keys: 16 a warp. It goes through
//           the rows of the other side in tiles of 128 bytes a column. A warp multiplies 16 rows by
//           a tile on the tensor cores (bf16) or the ordinary units (float), folds what it found
//           over the lanes of a row and multiplies that, rounded to T in shared memory, by what is
//           to be mixed. blockIdx.y cuts E into runs of 128 where E columns are made.
// Order     The other side is gone through in order by one block: no atomics. That costs each of
//           dv, dq and dk the scores anew, D of their D + E, 2D + E and 2D + E multiplications.
// Bytes     The other side once for each 64 rows, from cache; nothing of size L·M.
#include "room.h"

const int OWN = 64;    // rows of a block
const int SLICE = 16;  // rows of a warp
const int MAX_D = 64;  // columns of q and k
const int RUN = 128;   // columns of E that a block makes
const int PIECE = 8;   // columns that a warp makes at a time

template <typename T> constexpr int OTHERS = 128 / (int)sizeof(T); // rows of a tile
template <typename T> constexpr int UNIT = 32 / (int)sizeof(T);    // widths are multiples of this

// Rows in shared memory lie an odd number of 16 bytes apart, so that 8 rows' packs, or 8 rows' words
// of 4 lanes, lie in 32 different banks.
template <typename T> DEVICE int padded(i32 width) {
    return (width + UNIT<T> - 1) / UNIT<T> * UNIT<T>;
}
template <typename T> DEVICE int row_of(i32 width) { return padded<T>(width) + PACK<T>; }
template <typename T> constexpr int TILE_ROW = OTHERS<T> + PACK<T>;

struct attention_args {
    u64 y, lse, q, k, v;            // lse: f32 [B L]
    u64 dy, delta, dq, dk, dv;      // delta: f32 [B L]
    double scale;
    i32 batch, l, m, d, e;
    i32 vec; // rows of every operand start at multiples of 16 bytes
};
ARGS_SIZE(attention_args, 112);

// ---- a warp's products

DEVICE int lane_id() { return threadIdx.x % WARP; }

// A Slice<T> is how a warp keeps sums of 16 rows: piece j of a lane holds four numbers, number e in
// row(e), which is the lane's row stat(e) of STATS, and in column col(j, e).
//
//     multiply(acc, A, lda, B, ldb, k, pieces)  acc[16 rows, 8·pieces] += A[row][k]·B[col][k]
//     fold(x)                                   joins the values of the lanes that share a row
//     keep(S, ld, acc)                          writes S[row][col], rounded to T
template <typename T> struct Slice;

template <> struct Slice<bf16> { // the accumulators of mma_m16n8k16, see port.h
    static const int STATS = 2;
    static DEVICE int stat(int e) { return e / 2; }
    static DEVICE int row(int e) { return lane_id() / 4 + e / 2 * 8; }
    static DEVICE int col(int j, int e) { return PIECE * j + lane_id() % 4 * 2 + e % 2; }

    template <int N>
    static DEVICE void multiply(float (&acc)[N][4], const bf16 *A, int lda, const bf16 *B, int ldb,
                                int k_end, int pieces) {
        int g = lane_id() / 4, t = lane_id() % 4;
        const bf16 *pa = A + g * lda + 2 * t, *pb = B + g * ldb + 2 * t;
        UNROLL_BY(1)
        for (int k = 0; k < k_end; k += 16) {
            u32 a[4] = {*(const u32 *)(pa + k), *(const u32 *)(pa + 8 * lda + k),
                        *(const u32 *)(pa + k + 8), *(const u32 *)(pa + 8 * lda + k + 8)};
            UNROLL
            for (int j = 0; j < N; j++) {
                if (j < pieces) {
                    const bf16 *p = pb + PIECE * j * ldb + k;
                    u32 b[2] = {*(const u32 *)p, *(const u32 *)(p + 8)};
                    mma_m16n8k16(acc[j], a, b);
                }
            }
        }
    }
    template <typename F> static DEVICE float fold(float x) {
        x = F::join(x, __shfl_xor_sync(ALL_LANES, x, 2));
        return F::join(x, __shfl_xor_sync(ALL_LANES, x, 1));
    }
    template <int N> static DEVICE void keep(bf16 *S, int ld, const float (&acc)[N][4]) {
        UNROLL
        for (int j = 0; j < N; j++) {
            UNROLL
            for (int e = 0; e < 4; e += 2) {
                Pack<bf16, 2> q = {{narrow<bf16>(acc[j][e]), narrow<bf16>(acc[j][e + 1])}};
                store_pack<2>(S + row(e) * ld + col(j, e), q);
            }
        }
    }
};

template <> struct Slice<float> { // eight lanes share four rows
    static const int STATS = 4;
    static DEVICE int stat(int e) { return e; }
    static DEVICE int row(int e) { return lane_id() / 8 * 4 + e; }
    static DEVICE int col(int j, int) { return PIECE * j + lane_id() % 8; }

    template <int N>
    static DEVICE void multiply(float (&acc)[N][4], const float *A, int lda, const float *B,
                                int ldb, int k_end, int pieces) {
        const float *pa = A + row(0) * lda, *pb = B + col(0, 0) * ldb;
        UNROLL_BY(1)
        for (int k = 0; k < k_end; k += 4) {
            Pack<float, 4> a[4];
            UNROLL
            for (int e = 0; e < 4; e++) {
                a[e] = load_pack<4>(pa + e * lda + k);
            }
            UNROLL
            for (int j = 0; j < N; j++) {
                if (j < pieces) {
                    Pack<float, 4> b = load_pack<4>(pb + PIECE * j * ldb + k);
                    UNROLL
                    for (int e = 0; e < 4; e++) {
                        UNROLL
                        for (int i = 0; i < 4; i++) {
                            acc[j][e] = fma_of(a[e].v[i], b.v[i], acc[j][e]);
                        }
                    }
                }
            }
        }
    }
    template <typename F> static DEVICE float fold(float x) {
        x = F::join(x, __shfl_xor_sync(ALL_LANES, x, 4));
        x = F::join(x, __shfl_xor_sync(ALL_LANES, x, 2));
        return F::join(x, __shfl_xor_sync(ALL_LANES, x, 1));
    }
    template <int N> static DEVICE void keep(float *S, int ld, const float (&acc)[N][4]) {
        UNROLL
        for (int j = 0; j < N; j++) {
            UNROLL
            for (int e = 0; e < 4; e++) {
                S[row(e) * ld + col(j, e)] = acc[j][e];
            }
        }
    }
};

// ---- between memory and shared memory

// A Side is a matrix [rows, cols] of a sample's queries or keys.
template <typename T> struct Side {
    const T *x;
    i32 rows, cols;
    bool vec;

    // taken returns the elements of row r from column c on; those outside are 0.
    DEVICE Pack<T, PACK<T>> taken(i32 r, i32 c) const {
        Pack<T, PACK<T>> q = {};
        if (r >= rows) {
            return q;
        }
        const T *p = x + (i64)r * cols + c;
        if (vec && c < cols) {
            return load_pack<PACK<T>>(p);
        }
        UNROLL
        for (int e = 0; e < PACK<T>; e++) {
            if (c + e < cols) {
                q.v[e] = p[e];
            }
        }
        return q;
    }
    // stage writes S[r][c] = x[row0 + r][c].
    template <int ROWS> DEVICE void stage(T *S, i32 row0) const {
        int ld = row_of<T>(cols), packs = padded<T>(cols) / PACK<T>;
        for (int i = threadIdx.x; i < ROWS * packs; i += blockDim.x) {
            int r = i / packs, c = (i - r * packs) * PACK<T>;
            store_pack<PACK<T>>(S + r * ld + c, taken(row0 + r, c));
        }
    }
    // turn writes S[c][r] = x[row0 + r][col0 + c] for a tile of OTHERS rows: a lane has the rows that
    // make a word.
    DEVICE void turn(T *S, i32 row0, i32 col0, int width) const {
        const int W = 4 / sizeof(T);
        int r = lane_id() * W, step = blockDim.x / WARP * PACK<T>;
        for (int c = threadIdx.x / WARP * PACK<T>; c < width; c += step) {
            Pack<T, PACK<T>> q[W];
            UNROLL
            for (int w = 0; w < W; w++) {
                q[w] = taken(row0 + r + w, col0 + c);
            }
            UNROLL
            for (int e = 0; e < PACK<T>; e++) {
                Pack<T, W> p;
                UNROLL
                for (int w = 0; w < W; w++) {
                    p.v[w] = q[w].v[e];
                }
                store_pack<W>(S + (c + e) * TILE_ROW<T> + r, p);
            }
        }
    }
};

template <typename T> DEVICE Side<T> side(const attention_args &a, u64 x, i32 rows, i32 cols) {
    Side<T> s = {(const T *)x + (i64)blockIdx.z * rows * cols, rows, cols, a.vec != 0};
    return s;
}

// put writes a warp's sums to y [rows, cols], from row0 and col0 on, each row times factor.
template <typename T, int N>
DEVICE void put(u64 y, i32 rows, i32 cols, i32 row0, i32 col0, const float (&acc)[N][4],
                const float (&factor)[Slice<T>::STATS]) {
    T *p = (T *)y + (i64)blockIdx.z * rows * cols;
    UNROLL
    for (int j = 0; j < N; j++) {
        UNROLL
        for (int e = 0; e < 4; e++) {
            i32 r = row0 + Slice<T>::row(e), c = col0 + Slice<T>::col(j, e);
            if (r < rows && c < cols) {
                p[(i64)r * cols + c] = narrow<T>(acc[j][e] * factor[Slice<T>::stat(e)]);
            }
        }
    }
}

// ---- forward

template <typename T> DEVICE void attention(const attention_args &a) {
    typedef Slice<T> S;
    const int N = OTHERS<T>, LD = TILE_ROW<T>;
    int ld = row_of<T>(a.d), first = threadIdx.x / WARP * SLICE;
    i32 q0 = blockIdx.x * OWN, e0 = blockIdx.y * RUN;
    int width = padded<T>(a.e - e0) < RUN ? padded<T>(a.e - e0) : RUN;
    T *Q = (T *)dynamic_room(), *K = Q + OWN * ld, *P = K + N * ld, *V = P + OWN * LD;
    Side<T> k = side<T>(a, a.k, a.m, a.d), v = side<T>(a, a.v, a.m, a.e);
    side<T>(a, a.q, a.l, a.d).template stage<OWN>(Q, q0);
    float top[S::STATS], sum[S::STATS] = {}, acc[RUN / PIECE][4] = {};
    UNROLL
    for (int i = 0; i < S::STATS; i++) {
        top[i] = -infinity_of(0.0f);
    }
    for (i32 m0 = 0; m0 < a.m; m0 += N) {
        __syncthreads();
        k.template stage<N>(K, m0);
        v.turn(V, m0, e0, width);
        __syncthreads();
        float s[N / PIECE][4] = {}, best[S::STATS], more[S::STATS] = {};
        S::multiply(s, Q + first * ld, ld, K, ld, padded<T>(a.d), N / PIECE);
        UNROLL
        for (int i = 0; i < S::STATS; i++) {
            best[i] = top[i];
        }
        UNROLL
        for (int j = 0; j < N / PIECE; j++) {
            UNROLL
            for (int e = 0; e < 4; e++) {
                s[j][e] = m0 + S::col(j, e) < a.m ? s[j][e] * (float)a.scale : -infinity_of(0.0f);
                best[S::stat(e)] = larger(best[S::stat(e)], s[j][e]);
            }
        }
        UNROLL
        for (int i = 0; i < S::STATS; i++) {
            best[i] = S::template fold<MaxFold>(best[i]);
        }
        UNROLL
        for (int j = 0; j < N / PIECE; j++) {
            UNROLL
            for (int e = 0; e < 4; e++) {
                s[j][e] = exp_of(s[j][e] - best[S::stat(e)]);
                more[S::stat(e)] += s[j][e];
            }
        }
        S::keep(P + first * LD, LD, s);
        UNROLL
        for (int i = 0; i < S::STATS; i++) {
            float shrink = exp_of(top[i] - best[i]);
            sum[i] = fma_of(sum[i], shrink, S::template fold<AddFold>(more[i]));
            top[i] = best[i];
            best[i] = shrink;
        }
        UNROLL
        for (int j = 0; j < RUN / PIECE; j++) {
            UNROLL
            for (int e = 0; e < 4; e++) {
                acc[j][e] *= best[S::stat(e)];
            }
        }
        __syncwarp();
        S::multiply(acc, P + first * LD, LD, V, LD, N, width / PIECE);
    }
    float each[S::STATS];
    UNROLL
    for (int e = 0; e < 4; e++) {
        i32 row = q0 + first + S::row(e);
        each[S::stat(e)] = 1 / sum[S::stat(e)];
        if (blockIdx.y == 0 && S::col(0, e) == 0 && row < a.l) {
            ((float *)a.lse)[(i64)blockIdx.z * a.l + row] = top[S::stat(e)] + log_of(sum[S::stat(e)]);
        }
    }
    put<T>(a.y, a.l, a.e, q0 + first, e0, acc, each);
}

extern "C" __global__ __launch_bounds__(128) void attention_f32(attention_args a) {
    attention<float>(a);
}
extern "C" __global__ __launch_bounds__(128) void attention_bf16(attention_args a) {
    attention<bf16>(a);
}

// ---- backward

// delta[row] = Σ_e dy·y, a warp for each row.
template <typename T> DEVICE void attention_delta(const attention_args &a) {
    i64 row = (i64)blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP;
    if (row >= (i64)a.batch * a.l) {
        return; // a whole warp
    }
    float sum = 0;
    for (i32 e = lane_id(); e < a.e; e += WARP) {
        i64 at = row * a.e + e;
        sum = fma_of(widen(((const T *)a.dy)[at]), widen(((const T *)a.y)[at]), sum);
    }
    sum = warp_fold<AddFold>(sum);
    if (lane_id() == 0) {
        ((float *)a.delta)[row] = sum;
    }
}

extern "C" __global__ void attention_delta_f32(attention_args a) { attention_delta<float>(a); }
extern "C" __global__ void attention_delta_bf16(attention_args a) { attention_delta<bf16>(a); }

// of_queries returns this sample's part of a vector with a number for each query.
DEVICE const float *of_queries(const attention_args &a, u64 x) {
    return (const float *)x + (i64)blockIdx.z * a.l;
}

template <typename T> DEVICE void attention_grad_v(const attention_args &a) {
    typedef Slice<T> S;
    const int N = OTHERS<T>, LD = TILE_ROW<T>;
    int ld = row_of<T>(a.d), first = threadIdx.x / WARP * SLICE;
    i32 m0 = blockIdx.x * OWN, e0 = blockIdx.y * RUN;
    int width = padded<T>(a.e - e0) < RUN ? padded<T>(a.e - e0) : RUN;
    T *K = (T *)dynamic_room(), *Q = K + OWN * ld, *P = Q + N * ld, *DY = P + OWN * LD;
    Side<T> q = side<T>(a, a.q, a.l, a.d), dy = side<T>(a, a.dy, a.l, a.e);
    side<T>(a, a.k, a.m, a.d).template stage<OWN>(K, m0);
    float acc[RUN / PIECE][4] = {}, one[S::STATS];
    UNROLL
    for (int i = 0; i < S::STATS; i++) {
        one[i] = 1;
    }
    for (i32 q0 = 0; q0 < a.l; q0 += N) {
        __syncthreads();
        q.template stage<N>(Q, q0);
        dy.turn(DY, q0, e0, width);
        __syncthreads();
        float s[N / PIECE][4] = {};
        S::multiply(s, K + first * ld, ld, Q, ld, padded<T>(a.d), N / PIECE);
        UNROLL
        for (int j = 0; j < N / PIECE; j++) {
            UNROLL
            for (int e = 0; e < 4; e++) {
                i32 query = q0 + S::col(j, e);
                s[j][e] = query < a.l
                              ? exp_of(s[j][e] * (float)a.scale - of_queries(a, a.lse)[query])
                              : 0.0f;
            }
        }
        S::keep(P + first * LD, LD, s);
        __syncwarp();
        S::multiply(acc, P + first * LD, LD, DY, LD, N, width / PIECE);
    }
    put<T>(a.dv, a.m, a.e, m0 + first, e0, acc, one);
}

extern "C" __global__ __launch_bounds__(128) void attention_grad_v_f32(attention_args a) {
    attention_grad_v<float>(a);
}
extern "C" __global__ __launch_bounds__(128) void attention_grad_v_bf16(attention_args a) {
    attention_grad_v<bf16>(a);
}

// attention_grad makes dq or, of keys, dk: the two differ in which side is the block's own.
template <typename T, bool KEYS> DEVICE void attention_grad(const attention_args &a) {
    typedef Slice<T> S;
    const int N = OTHERS<T>, LD = TILE_ROW<T>;
    int ld = row_of<T>(a.d), lde = row_of<T>(a.e), first = threadIdx.x / WARP * SLICE;
    i32 own = KEYS ? a.m : a.l, others = KEYS ? a.l : a.m, row0 = blockIdx.x * OWN;
    T *A = (T *)dynamic_room(), *B = A + OWN * ld, *AE = B + N * ld, *BE = AE + OWN * lde;
    T *turned = BE + N * lde, *DS = turned + padded<T>(a.d) * LD;
    Side<T> b = side<T>(a, KEYS ? a.q : a.k, others, a.d);
    Side<T> be = side<T>(a, KEYS ? a.dy : a.v, others, a.e);
    side<T>(a, KEYS ? a.k : a.q, own, a.d).template stage<OWN>(A, row0);
    side<T>(a, KEYS ? a.v : a.dy, own, a.e).template stage<OWN>(AE, row0);
    const float *lse = of_queries(a, a.lse), *delta = of_queries(a, a.delta);
    float acc[MAX_D / PIECE][4] = {}, scale[S::STATS];
    UNROLL
    for (int i = 0; i < S::STATS; i++) {
        scale[i] = (float)a.scale;
    }
    for (i32 o0 = 0; o0 < others; o0 += N) {
        __syncthreads();
        b.template stage<N>(B, o0);
        b.turn(turned, o0, 0, padded<T>(a.d));
        be.template stage<N>(BE, o0);
        __syncthreads();
        float s[N / PIECE][4] = {}, ds[N / PIECE][4] = {};
        S::multiply(s, A + first * ld, ld, B, ld, padded<T>(a.d), N / PIECE);
        S::multiply(ds, AE + first * lde, lde, BE, lde, padded<T>(a.e), N / PIECE);
        UNROLL
        for (int j = 0; j < N / PIECE; j++) {
            UNROLL
            for (int e = 0; e < 4; e++) {
                i32 mine = row0 + first + S::row(e), other = o0 + S::col(j, e);
                i32 query = KEYS ? other : mine;
                float p = 0;
                if (mine < own && other < others) {
                    p = exp_of(s[j][e] * (float)a.scale - lse[query]);
                    p *= ds[j][e] - delta[query];
                }
                s[j][e] = p;
            }
        }
        S::keep(DS + first * LD, LD, s);
        __syncwarp();
        S::multiply(acc, DS + first * LD, LD, turned, LD, N, padded<T>(a.d) / PIECE);
    }
    put<T>(KEYS ? a.dk : a.dq, own, a.d, row0 + first, 0, acc, scale);
}

extern "C" __global__ __launch_bounds__(128) void attention_grad_q_f32(attention_args a) {
    attention_grad<float, false>(a);
}
extern "C" __global__ __launch_bounds__(128) void attention_grad_q_bf16(attention_args a) {
    attention_grad<bf16, false>(a);
}
extern "C" __global__ __launch_bounds__(128) void attention_grad_k_f32(attention_args a) {
    attention_grad<float, true>(a);
}
extern "C" __global__ __launch_bounds__(128) void attention_grad_k_bf16(attention_args a) {
    attention_grad<bf16, true>(a);
}
