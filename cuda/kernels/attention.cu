// attention.cu: y = softmax(scale·q·kᵀ)·v without the matrix of scores in memory.
//
// What      q [B L D], k [B M D], v [B M E], y [B L E], D ≤ 64, E ≤ 256. Forward keeps, for each
//           query, lse = log Σ exp(score). Backward recomputes the scores a tile at a time:
//             p = exp(score − lse),  delta = Σ_e dy·y,  ds = p·(dy·vᵀ − delta)·scale
//             dv = pᵀ·dy,  dq = ds·k,  dk = dsᵀ·q
//           (Dao et al., FlashAttention, 2022, algorithms 1 and 4.)
// Threads   A block of 128 owns 64 rows, queries or, for dv and dk, keys: 16 a warp. It goes through
//           the rows of the other side in tiles of 128 bytes a column, of which the next comes by
//           asynchronous copies while one is used. A warp multiplies 16 rows by a tile on the tensor
//           cores (bf16) or the ordinary units (float), folds what it found over the lanes of a row
//           and multiplies that, rounded to T, by the rows that are to be mixed. blockIdx.y cuts E
//           into runs of 128 where E columns are made.
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
template <typename T> constexpr int TILE_ROW = OTHERS<T> + PACK<T>;

struct attention_args {
    u64 y, lse, q, k, v;            // lse: f32 [B L]
    u64 dy, delta, dq, dk, dv;      // delta: f32 [B L]
    double scale;
    i32 batch, l, m, d, e;
    i32 vec;         // rows of every operand start at multiples of 16 bytes
    i32 stages, pad; // tiles in shared memory: 2, or 1 where two find no room
};
ARGS_SIZE(attention_args, 120);

// ---- a warp's products

DEVICE int lane_id() { return threadIdx.x % WARP; }

// A Slice<T> is how a warp keeps sums of 16 rows: piece j of a lane holds four numbers, number e in
// row(e), which is the lane's row stat(e) of STATS, and in column col(j, e) or, of what was mixed,
// mixed(j, e).
//
//     multiply(acc, A, lda, B, ldb, k)  acc[16 rows, cols] += A[row][k]·B[col][k]
//     mix(acc, s, P, V, ldv, width)     acc[16 rows, width] += T(s[row][k])·V[k][col], k < OTHERS;
//                                       P has room for 16 rows of s and is this warp's
//     fold(x)                           joins the values of the lanes that share a row
template <typename T> struct Slice;

DEVICE u32 pair_of(float lo, float hi) {
    return narrow<bf16>(lo).bits | (u32)narrow<bf16>(hi).bits << 16;
}

template <> struct Slice<bf16> { // the accumulators of mma_m16n8k16, see port.h
    static const int STATS = 2;
    static DEVICE int stat(int e) { return e / 2; }
    static DEVICE int row(int e) { return lane_id() / 4 + e / 2 * 8; }
    static DEVICE int col(int j, int e) { return PIECE * j + lane_id() % 4 * 2 + e % 2; }
    static DEVICE int mixed(int j, int e) { return col(j, e); }

    template <int N>
    static DEVICE void multiply(float (&acc)[N][4], const bf16 *A, int lda, const bf16 *B, int ldb,
                                int k_end) {
        int g = lane_id() / 4, t = lane_id() % 4;
        const bf16 *pa = A + g * lda + 2 * t, *pb = B + g * ldb + 2 * t;
        UNROLL_BY(1)
        for (int k = 0; k < k_end; k += 16) {
            u32 a[4] = {*(const u32 *)(pa + k), *(const u32 *)(pa + 8 * lda + k),
                        *(const u32 *)(pa + k + 8), *(const u32 *)(pa + 8 * lda + k + 8)};
            UNROLL
            for (int j = 0; j < N; j++) {
                const bf16 *p = pb + PIECE * j * ldb + k;
                u32 b[2] = {*(const u32 *)p, *(const u32 *)(p + 8)};
                mma_m16n8k16(acc[j], a, b);
            }
        }
    }
    // Two pieces of s, as they lie, are a fragment a: neither goes through shared memory.
    template <int M, int N>
    static DEVICE void mix(float (&acc)[M][4], const float (&s)[N][4], bf16 *, const bf16 *V,
                           int ldv, int width) {
        const bf16 *pv = V + lane_id() % 16 * ldv + lane_id() / 16 * PIECE;
        UNROLL
        for (int i = 0; i < N; i += 2) {
            u32 a[4] = {pair_of(s[i][0], s[i][1]), pair_of(s[i][2], s[i][3]),
                        pair_of(s[i + 1][0], s[i + 1][1]), pair_of(s[i + 1][2], s[i + 1][3])};
            UNROLL
            for (int j = 0; j < M; j += 2) {
                if (PIECE * j < width) {
                    u32 b[4];
                    load_turned(b, pv + PIECE * i * ldv + PIECE * j);
                    mma_m16n8k16(acc[j], a, b);
                    mma_m16n8k16(acc[j + 1], a, b + 2);
                }
            }
        }
    }
    template <typename F> static DEVICE float fold(float x) {
        x = F::join(x, __shfl_xor_sync(ALL_LANES, x, 2));
        return F::join(x, __shfl_xor_sync(ALL_LANES, x, 1));
    }
};

template <> struct Slice<float> { // eight lanes share four rows
    static const int STATS = 4;
    static DEVICE int stat(int e) { return e; }
    static DEVICE int row(int e) { return lane_id() / 8 * 4 + e; }
    static DEVICE int col(int j, int) { return PIECE * j + lane_id() % 8; }
    // Four pieces of what was mixed are neighbours, which one load of four brings.
    static DEVICE int mixed(int j, int) { return j / 4 * 4 * PIECE + lane_id() % 8 * 4 + j % 4; }

    template <int N>
    static DEVICE void multiply(float (&acc)[N][4], const float *A, int lda, const float *B,
                                int ldb, int k_end) {
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
    template <int M, int N>
    static DEVICE void mix(float (&acc)[M][4], const float (&s)[N][4], float *P, const float *V,
                           int ldv, int width) {
        const int LD = TILE_ROW<float>;
        UNROLL
        for (int j = 0; j < N; j++) {
            UNROLL
            for (int e = 0; e < 4; e++) {
                P[row(e) * LD + col(j, e)] = s[j][e];
            }
        }
        __syncwarp();
        const float *pa = P + row(0) * LD;
        UNROLL_BY(1)
        for (int k = 0; k < OTHERS<float>; k += 4) {
            Pack<float, 4> a[4];
            UNROLL
            for (int e = 0; e < 4; e++) {
                a[e] = load_pack<4>(pa + e * LD + k);
            }
            UNROLL
            for (int i = 0; i < 4; i++) {
                UNROLL
                for (int j = 0; j < M; j += 4) {
                    Pack<float, 4> v = {};
                    if (mixed(j, 0) < width) {
                        v = load_pack<4>(V + (k + i) * ldv + mixed(j, 0));
                    }
                    UNROLL
                    for (int n = 0; n < 4; n++) {
                        UNROLL
                        for (int e = 0; e < 4; e++) {
                            acc[j + n][e] = fma_of(a[e].v[i], v.v[n], acc[j + n][e]);
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
};

// ---- between memory and shared memory

// A Side is a matrix [rows, cols] of a sample's queries or keys.
template <typename T> struct Side {
    const T *x;
    i32 rows, cols;
    bool vec;

    // start begins to write S[r][c] = x[row0 + r][col0 + c] for ROWS rows and width columns, padded
    // ones; outside it is 0.
    template <int ROWS> DEVICE void start(T *S, i32 row0, i32 col0, int width) const {
        int ld = width + PACK<T>, packs = width / PACK<T>;
        for (int i = threadIdx.x; i < ROWS * packs; i += blockDim.x) {
            int r = i / packs, c = (i - r * packs) * PACK<T>;
            T *to = S + r * ld + c;
            const T *from = x + (i64)(row0 + r) * cols + col0 + c;
            i32 here = row0 + r < rows ? cols - col0 - c : 0; // columns of the pack that are there
            if (vec && here > 0) {
                copy_async16(to, from);
                continue;
            }
            Pack<T, PACK<T>> q = {};
            UNROLL
            for (int e = 0; e < PACK<T>; e++) {
                if (e < here) {
                    q.v[e] = from[e];
                }
            }
            store_pack<PACK<T>>(to, q);
        }
    }
};

// through goes through the tiles of the other side: start(i, place) begins to fetch tile i into that
// of the places, of which there are as many as stages, and use(i, place) works on it. With two places
// the next tile comes while one is used.
template <typename Start, typename Use>
DEVICE void through(i32 tiles, i32 stages, Start start, Use use) {
    const i32 ahead = stages - 1;
    UNROLL_BY(1)
    for (i32 i = -ahead; i < tiles; i++) {
        if (ahead) {
            copy_wait<0>();
        }
        __syncthreads(); // everybody is done with tile i−1 and, with two places, tile i is there
        if (i + ahead < tiles) {
            start(i + ahead, (i + ahead) % stages);
            copy_commit();
        }
        if (!ahead) {
            copy_wait<0>();
            __syncthreads();
        }
        if (i >= 0) {
            use(i, i % stages);
        }
    }
}

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
            i32 r = row0 + Slice<T>::row(e), c = col0 + Slice<T>::mixed(j, e);
            if (r < rows && c < cols) {
                p[(i64)r * cols + c] = narrow<T>(acc[j][e] * factor[Slice<T>::stat(e)]);
            }
        }
    }
}

// run_from returns how many columns, padded, of width a block makes from column e0 on.
template <typename T> DEVICE int run_from(i32 width, i32 e0) {
    int left = padded<T>(width - e0);
    return left < RUN ? left : RUN;
}

// ---- forward

template <typename T> DEVICE void attention(const attention_args &a) {
    typedef Slice<T> S;
    const int N = OTHERS<T>;
    i32 q0 = blockIdx.x * OWN, e0 = blockIdx.y * RUN;
    int d = padded<T>(a.d), run = run_from<T>(a.e, e0), ld = d + PACK<T>, ldv = run + PACK<T>;
    int first = threadIdx.x / WARP * SLICE;
    T *Q = (T *)dynamic_room(), *K = Q + OWN * ld, *V = K + a.stages * N * ld;
    T *P = V + a.stages * N * ldv + first * TILE_ROW<T>;
    Side<T> k = side<T>(a, a.k, a.m, a.d), v = side<T>(a, a.v, a.m, a.e);
    side<T>(a, a.q, a.l, a.d).template start<OWN>(Q, q0, 0, d);
    float top[S::STATS], sum[S::STATS] = {}, acc[RUN / PIECE][4] = {};
    UNROLL
    for (int i = 0; i < S::STATS; i++) {
        top[i] = -infinity_of(0.0f);
    }
    auto start = [&](i32 tile, int at) {
        k.template start<N>(K + at * N * ld, tile * N, 0, d);
        v.template start<N>(V + at * N * ldv, tile * N, e0, run);
    };
    auto use = [&](i32 tile, int at) {
        float s[N / PIECE][4] = {}, best[S::STATS], more[S::STATS] = {};
        S::multiply(s, Q + first * ld, ld, K + at * N * ld, ld, d);
        UNROLL
        for (int i = 0; i < S::STATS; i++) {
            best[i] = top[i];
        }
        UNROLL
        for (int j = 0; j < N / PIECE; j++) {
            UNROLL
            for (int e = 0; e < 4; e++) {
                bool there = tile * N + S::col(j, e) < a.m;
                s[j][e] = there ? s[j][e] * (float)a.scale : -infinity_of(0.0f);
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
        S::mix(acc, s, P, V + at * N * ldv, ldv, run);
    };
    through((a.m + N - 1) / N, a.stages, start, use);
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
    const int N = OTHERS<T>;
    i32 m0 = blockIdx.x * OWN, e0 = blockIdx.y * RUN;
    int d = padded<T>(a.d), run = run_from<T>(a.e, e0), ld = d + PACK<T>, ldv = run + PACK<T>;
    int first = threadIdx.x / WARP * SLICE;
    T *K = (T *)dynamic_room(), *Q = K + OWN * ld, *DY = Q + a.stages * N * ld;
    T *P = DY + a.stages * N * ldv + first * TILE_ROW<T>;
    Side<T> q = side<T>(a, a.q, a.l, a.d), dy = side<T>(a, a.dy, a.l, a.e);
    side<T>(a, a.k, a.m, a.d).template start<OWN>(K, m0, 0, d);
    const float *lse = of_queries(a, a.lse);
    float acc[RUN / PIECE][4] = {}, one[S::STATS];
    UNROLL
    for (int i = 0; i < S::STATS; i++) {
        one[i] = 1;
    }
    auto start = [&](i32 tile, int at) {
        q.template start<N>(Q + at * N * ld, tile * N, 0, d);
        dy.template start<N>(DY + at * N * ldv, tile * N, e0, run);
    };
    auto use = [&](i32 tile, int at) {
        float s[N / PIECE][4] = {};
        S::multiply(s, K + first * ld, ld, Q + at * N * ld, ld, d);
        UNROLL
        for (int j = 0; j < N / PIECE; j++) {
            UNROLL
            for (int e = 0; e < 4; e++) {
                i32 query = tile * N + S::col(j, e);
                s[j][e] = query < a.l ? exp_of(s[j][e] * (float)a.scale - lse[query]) : 0.0f;
            }
        }
        S::mix(acc, s, P, DY + at * N * ldv, ldv, run);
    };
    through((a.l + N - 1) / N, a.stages, start, use);
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
    const int N = OTHERS<T>;
    i32 own = KEYS ? a.m : a.l, others = KEYS ? a.l : a.m, row0 = blockIdx.x * OWN;
    int d = padded<T>(a.d), width = padded<T>(a.e), ld = d + PACK<T>, lde = width + PACK<T>;
    int first = threadIdx.x / WARP * SLICE;
    T *A = (T *)dynamic_room(), *AE = A + OWN * ld, *B = AE + OWN * lde, *BE = B + a.stages * N * ld;
    T *P = BE + a.stages * N * lde + first * TILE_ROW<T>;
    Side<T> b = side<T>(a, KEYS ? a.q : a.k, others, a.d);
    Side<T> be = side<T>(a, KEYS ? a.dy : a.v, others, a.e);
    side<T>(a, KEYS ? a.k : a.q, own, a.d).template start<OWN>(A, row0, 0, d);
    side<T>(a, KEYS ? a.v : a.dy, own, a.e).template start<OWN>(AE, row0, 0, width);
    const float *lse = of_queries(a, a.lse), *delta = of_queries(a, a.delta);
    float acc[MAX_D / PIECE][4] = {}, scale[S::STATS];
    UNROLL
    for (int i = 0; i < S::STATS; i++) {
        scale[i] = (float)a.scale;
    }
    auto start = [&](i32 tile, int at) {
        b.template start<N>(B + at * N * ld, tile * N, 0, d);
        be.template start<N>(BE + at * N * lde, tile * N, 0, width);
    };
    auto use = [&](i32 tile, int at) {
        float s[N / PIECE][4] = {}, ds[N / PIECE][4] = {};
        S::multiply(s, A + first * ld, ld, B + at * N * ld, ld, d);
        S::multiply(ds, AE + first * lde, lde, BE + at * N * lde, lde, width);
        UNROLL
        for (int j = 0; j < N / PIECE; j++) {
            UNROLL
            for (int e = 0; e < 4; e++) {
                i32 mine = row0 + first + S::row(e), other = tile * N + S::col(j, e);
                i32 query = KEYS ? other : mine;
                float p = 0;
                if (mine < own && other < others) {
                    p = exp_of(s[j][e] * (float)a.scale - lse[query]);
                    p *= ds[j][e] - delta[query];
                }
                s[j][e] = p;
            }
        }
        S::mix(acc, s, P, B + at * N * ld, ld, d);
    };
    through((others + N - 1) / N, a.stages, start, use);
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
