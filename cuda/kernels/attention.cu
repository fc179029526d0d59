// attention.cu: y = softmax(scale·q·kᵀ)·v without the matrix of scores in memory.
//
// What      q [B L D], k [B M D], v [B M E], y [B L E], D ≤ 64, E ≤ 256. Forward keeps, for each
//           query, lse = log Σ exp(score). Backward recomputes the scores a tile at a time:
//             p = exp(score − lse),  delta = Σ_e dy·y,  ds = p·(dy·vᵀ − delta)·scale
//             dq = ds·k,  dk = dsᵀ·q,  dv = pᵀ·dy
//           (Dao et al., FlashAttention, 2022, algorithms 1 and 4.)
// Threads   A block of 256 owns 16 queries (dk, dv: 16 keys); 16 lanes share each. Forward goes
//           through tiles of 32 keys: a lane scores two keys, the lanes agree on the new maximum by
//           shuffles, then each adds to its own E/16 columns of y. blockIdx.y cuts E into runs of
//           128.
// Order     Keys and queries are gone through in order by one block each: no atomics.
// Bytes     k and v once for each 16 queries, from cache; nothing of size L·M.
#include "port.h"

const int SIDE = 16;      // queries of a block; lanes of a query
const int MAX_D = 64;     // columns of q and k
const int MAX_E = 256;    // columns of v
const int KEYS = 32;      // keys of a forward tile
const int RUN = 128;      // columns of v that a forward block owns

struct attention_args {
    u64 y, lse, q, k, v;            // lse: f32 [B L]
    u64 dy, delta, dq, dk, dv;      // delta: f32 [B L]
    double scale;
    i32 batch, l, m, d, e, pad;
};
ARGS_SIZE(attention_args, 112);

// lanes_fold joins the values of the 16 lanes of a query.
template <typename F> DEVICE float lanes_fold(float x) {
    for (int d = SIDE / 2; d > 0; d /= 2) {
        x = F::join(x, __shfl_xor_sync(ALL_LANES, x, d));
    }
    return x;
}

// stage copies rows [row0, row0 + ROWS) of x [rows, cols], columns [col0, col0 + width), to shared
// memory; what lies outside becomes 0.
template <int ROWS, int LD, typename T>
DEVICE void stage(float (*S)[LD], const T *x, i32 row0, i32 rows, i32 cols, i32 col0, i32 width) {
    for (i32 i = threadIdx.x; i < ROWS * width; i += blockDim.x) {
        i32 r = i / width, c = i - r * width;
        S[r][c] = row0 + r < rows && col0 + c < cols
                      ? widen(x[(i64)(row0 + r) * cols + col0 + c])
                      : 0.0f;
    }
}

template <int LD1, int LD2>
DEVICE float dot(const float (*A)[LD1], int i, const float (*B)[LD2], int j, i32 n) {
    float sum = 0;
    for (i32 d = 0; d < n; d++) {
        sum = fma_of(A[i][d], B[j][d], sum);
    }
    return sum;
}

template <typename T> DEVICE void attention(const attention_args &a) {
    __shared__ float Q[SIDE][MAX_D + 1], K[KEYS][MAX_D + 1], V[KEYS][RUN], P[SIDE][KEYS + 1];
    int mine = threadIdx.x / SIDE, lane = threadIdx.x % SIDE;
    i64 b = blockIdx.z;
    i32 q0 = blockIdx.x * SIDE, e0 = blockIdx.y * RUN;
    const T *k = (const T *)a.k + b * a.m * a.d, *v = (const T *)a.v + b * a.m * a.e;
    stage<SIDE>(Q, (const T *)a.q + b * a.l * a.d, q0, a.l, a.d, 0, a.d);
    float top = -infinity_of(0.0f), sum = 0, acc[RUN / SIDE] = {};
    for (i32 m0 = 0; m0 < a.m; m0 += KEYS) {
        __syncthreads();
        stage<KEYS>(K, k, m0, a.m, a.d, 0, a.d);
        stage<KEYS>(V, v, m0, a.m, a.e, e0, RUN);
        __syncthreads();
        float s[2];
        UNROLL
        for (int j = 0; j < 2; j++) {
            int key = lane + j * SIDE;
            s[j] = m0 + key < a.m ? dot(Q, mine, K, key, a.d) * (float)a.scale
                                  : -infinity_of(0.0f);
        }
        float next = larger(top, lanes_fold<MaxFold>(larger(s[0], s[1])));
        float shrink = exp_of(top - next), p0 = exp_of(s[0] - next), p1 = exp_of(s[1] - next);
        P[mine][lane] = p0;
        P[mine][lane + SIDE] = p1;
        sum = fma_of(sum, shrink, lanes_fold<AddFold>(p0 + p1));
        top = next;
        __syncwarp();
        UNROLL
        for (int j = 0; j < RUN / SIDE; j++) {
            float t = acc[j] * shrink;
            for (int key = 0; key < KEYS; key++) {
                t = fma_of(P[mine][key], V[key][lane + j * SIDE], t);
            }
            acc[j] = t;
        }
    }
    i32 row = q0 + mine;
    if (row >= a.l) {
        return;
    }
    T *y = (T *)a.y + (b * a.l + row) * a.e + e0;
    UNROLL
    for (int j = 0; j < RUN / SIDE; j++) {
        if (e0 + lane + j * SIDE < a.e) {
            y[lane + j * SIDE] = narrow<T>(acc[j] / sum);
        }
    }
    if (blockIdx.y == 0 && lane == 0) {
        ((float *)a.lse)[b * a.l + row] = top + log_of(sum);
    }
}

extern "C" __global__ __launch_bounds__(256) void attention_f32(attention_args a) {
    attention<float>(a);
}
extern "C" __global__ __launch_bounds__(256) void attention_bf16(attention_args a) {
    attention<bf16>(a);
}

// delta[row] = Σ_e dy·y, a warp for each row.
template <typename T> DEVICE void attention_delta(const attention_args &a) {
    i64 row = (i64)blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP;
    if (row >= (i64)a.batch * a.l) {
        return; // a whole warp
    }
    float sum = 0;
    for (i32 e = threadIdx.x % WARP; e < a.e; e += WARP) {
        i64 at = row * a.e + e;
        sum = fma_of(widen(((const T *)a.dy)[at]), widen(((const T *)a.y)[at]), sum);
    }
    sum = warp_fold<AddFold>(sum);
    if (threadIdx.x % WARP == 0) {
        ((float *)a.delta)[row] = sum;
    }
}

extern "C" __global__ void attention_delta_f32(attention_args a) { attention_delta<float>(a); }
extern "C" __global__ void attention_delta_bf16(attention_args a) { attention_delta<bf16>(a); }

// The tiles of backward: 16 queries with their dy, 16 keys with their v.
struct GradTiles {
    float Q[SIDE][MAX_D + 1], K[SIDE][MAX_D + 1];
    float DY[SIDE][MAX_E + 1], V[SIDE][MAX_E + 1];
    float P[SIDE][SIDE + 1], DS[SIDE][SIDE + 1];
};

// score fills P and DS at (row, col) for query q0 + qi and key m0 + ki.
template <typename T>
DEVICE void score(const attention_args &a, GradTiles &s, i64 b, i32 q0, int qi, i32 m0, int ki,
                  int row, int col) {
    bool inside = q0 + qi < a.l && m0 + ki < a.m;
    float p = 0, ds = 0;
    if (inside) {
        i64 at = b * a.l + q0 + qi;
        p = exp_of(dot(s.Q, qi, s.K, ki, a.d) * (float)a.scale - ((const float *)a.lse)[at]);
        ds = p * (dot(s.DY, qi, s.V, ki, a.e) - ((const float *)a.delta)[at]) * (float)a.scale;
    }
    s.P[row][col] = p;
    s.DS[row][col] = ds;
}

template <typename T> DEVICE void attention_grad_q(const attention_args &a) {
    __shared__ GradTiles s;
    int mine = threadIdx.x / SIDE, lane = threadIdx.x % SIDE;
    i64 b = blockIdx.z;
    i32 q0 = blockIdx.x * SIDE;
    stage<SIDE>(s.Q, (const T *)a.q + b * a.l * a.d, q0, a.l, a.d, 0, a.d);
    stage<SIDE>(s.DY, (const T *)a.dy + b * a.l * a.e, q0, a.l, a.e, 0, a.e);
    float dq[MAX_D / SIDE] = {};
    for (i32 m0 = 0; m0 < a.m; m0 += SIDE) {
        __syncthreads();
        stage<SIDE>(s.K, (const T *)a.k + b * a.m * a.d, m0, a.m, a.d, 0, a.d);
        stage<SIDE>(s.V, (const T *)a.v + b * a.m * a.e, m0, a.m, a.e, 0, a.e);
        __syncthreads();
        score<T>(a, s, b, q0, mine, m0, lane, mine, lane);
        __syncwarp();
        UNROLL
        for (int j = 0; j < MAX_D / SIDE; j++) {
            int d = lane + j * SIDE;
            for (int key = 0; d < a.d && key < SIDE; key++) {
                dq[j] = fma_of(s.DS[mine][key], s.K[key][d], dq[j]);
            }
        }
    }
    UNROLL
    for (int j = 0; j < MAX_D / SIDE; j++) {
        int d = lane + j * SIDE;
        if (d < a.d && q0 + mine < a.l) {
            ((T *)a.dq)[(b * a.l + q0 + mine) * a.d + d] = narrow<T>(dq[j]);
        }
    }
}

extern "C" __global__ __launch_bounds__(256) void attention_grad_q_f32(attention_args a) {
    attention_grad_q<float>(a);
}
extern "C" __global__ __launch_bounds__(256) void attention_grad_q_bf16(attention_args a) {
    attention_grad_q<bf16>(a);
}

template <typename T> DEVICE void attention_grad_kv(const attention_args &a) {
    __shared__ GradTiles s;
    int mine = threadIdx.x / SIDE, lane = threadIdx.x % SIDE;
    i64 b = blockIdx.z;
    i32 m0 = blockIdx.x * SIDE;
    stage<SIDE>(s.K, (const T *)a.k + b * a.m * a.d, m0, a.m, a.d, 0, a.d);
    stage<SIDE>(s.V, (const T *)a.v + b * a.m * a.e, m0, a.m, a.e, 0, a.e);
    float dk[MAX_D / SIDE] = {}, dv[MAX_E / SIDE] = {};
    for (i32 q0 = 0; q0 < a.l; q0 += SIDE) {
        __syncthreads();
        stage<SIDE>(s.Q, (const T *)a.q + b * a.l * a.d, q0, a.l, a.d, 0, a.d);
        stage<SIDE>(s.DY, (const T *)a.dy + b * a.l * a.e, q0, a.l, a.e, 0, a.e);
        __syncthreads();
        score<T>(a, s, b, q0, lane, m0, mine, mine, lane);
        __syncwarp();
        UNROLL
        for (int j = 0; j < MAX_D / SIDE; j++) {
            int d = lane + j * SIDE;
            for (int q = 0; d < a.d && q < SIDE; q++) {
                dk[j] = fma_of(s.DS[mine][q], s.Q[q][d], dk[j]);
            }
        }
        UNROLL
        for (int j = 0; j < MAX_E / SIDE; j++) {
            int e = lane + j * SIDE;
            for (int q = 0; e < a.e && q < SIDE; q++) {
                dv[j] = fma_of(s.P[mine][q], s.DY[q][e], dv[j]);
            }
        }
    }
    if (m0 + mine >= a.m) {
        return;
    }
    i64 row = b * a.m + m0 + mine;
    UNROLL
    for (int j = 0; j < MAX_D / SIDE; j++) {
        int d = lane + j * SIDE;
        if (d < a.d) {
            ((T *)a.dk)[row * a.d + d] = narrow<T>(dk[j]);
        }
    }
    UNROLL
    for (int j = 0; j < MAX_E / SIDE; j++) {
        int e = lane + j * SIDE;
        if (e < a.e) {
            ((T *)a.dv)[row * a.e + e] = narrow<T>(dv[j]);
        }
    }
}

extern "C" __global__ __launch_bounds__(256) void attention_grad_kv_f32(attention_args a) {
    attention_grad_kv<float>(a);
}
extern "C" __global__ __launch_bounds__(256) void attention_grad_kv_bf16(attention_args a) {
    attention_grad_kv<bf16>(a);
}
