// layernorm.cu: LayerNorm and LayerNormGrad, normalisation along rows of C elements.
//
// What      mean = avg(x), rstd = 1/√(avg((x − mean)²) + eps)
//           y = x̂·gamma + beta, x̂ = (x − mean)·rstd
//           dx = rstd·(h − avg(h) − x̂·avg(h·x̂)), h = dy·gamma
//           Beside bfloat16 rows all others are float, as are sums.
// Threads   A team for each row: a warp up to 1,024 elements, else a block. A thread takes as many
//           neighbours as make 16 bytes of the type of sums, or one where rows do not begin at
//           multiples of that.
// Variance  Two passes over a row, so that no square of a large mean is formed.
// Bytes     Forward reads x three times and writes y; backward reads dy and x twice and writes dx.
//           A row read again lies in cache.
#include "rows.h"

struct layer_norm_args {
    u64 y, mean, rstd, x, gamma, beta; // mean, rstd [rows], gamma, beta [C]; beta may be 0
    i64 rows, c;
    double eps;
    i32 per_row, vec; // vec: rows begin at multiples of 16 bytes
};
ARGS_SIZE(layer_norm_args, 80);

// NEAR<T> elements are what a thread takes at a time.
template <typename T> constexpr int NEAR = PACK<Acc<T>>;

// each calls f(k) for the packs of N elements of a row that are this thread's.
template <int N, typename F> DEVICE void each(const Team &t, i64 rows, i64 c, F f) {
    for (i64 k = (i64)t.rank * N; t.row < rows && k < c; k += t.size * N) {
        f(k);
    }
}

template <typename T, int N> DEVICE void layer_norm(const layer_norm_args &a) {
    typedef Acc<T> A;
    __shared__ A room[WARP];
    Team team = team_of(a.per_row);
    const T *x = (const T *)a.x + team.row * a.c;
    A sum = 0, squares = 0;
    each<N>(team, a.rows, a.c, [&](i64 k) {
        Pack<T, N> v = load_pack<N>(x + k);
        UNROLL
        for (int i = 0; i < N; i++) {
            sum += widen(v.v[i]);
        }
    });
    A mean = team_fold<AddFold>(team, sum, room) / (A)a.c;
    each<N>(team, a.rows, a.c, [&](i64 k) {
        Pack<T, N> v = load_pack<N>(x + k);
        UNROLL
        for (int i = 0; i < N; i++) {
            A d = widen(v.v[i]) - mean;
            squares = fma_of(d, d, squares);
        }
    });
    A variance = team_fold<AddFold>(team, squares, room) / (A)a.c;
    A rstd = 1 / sqrt_of(variance + (A)a.eps);
    each<N>(team, a.rows, a.c, [&](i64 k) {
        Pack<T, N> v = load_pack<N>(x + k);
        Pack<A, N> scale = load_pack<N>((const A *)a.gamma + k), shift = {};
        if (a.beta) {
            shift = load_pack<N>((const A *)a.beta + k);
        }
        UNROLL
        for (int i = 0; i < N; i++) {
            v.v[i] = narrow<T>(fma_of((widen(v.v[i]) - mean) * rstd, scale.v[i], shift.v[i]));
        }
        store_pack<N>((T *)a.y + team.row * a.c + k, v);
    });
    if (team.row < a.rows && team.rank == 0) {
        ((A *)a.mean)[team.row] = mean;
        ((A *)a.rstd)[team.row] = rstd;
    }
}

template <typename T> DEVICE void layer_norm(const layer_norm_args &a) {
    a.vec ? layer_norm<T, NEAR<T>>(a) : layer_norm<T, 1>(a);
}

extern "C" __global__ void layer_norm_f32(layer_norm_args a) { layer_norm<float>(a); }
extern "C" __global__ void layer_norm_f64(layer_norm_args a) { layer_norm<double>(a); }
extern "C" __global__ void layer_norm_bf16(layer_norm_args a) { layer_norm<bf16>(a); }

struct layer_norm_grad_args {
    u64 dx, dy, x, mean, rstd, gamma; // as above
    i64 rows, c;
    i32 per_row, vec;
};
ARGS_SIZE(layer_norm_grad_args, 72);

template <typename T, int N> DEVICE void layer_norm_grad(const layer_norm_grad_args &a) {
    typedef Acc<T> A;
    __shared__ A room[WARP];
    Team team = team_of(a.per_row);
    const T *x = (const T *)a.x + team.row * a.c, *dy = (const T *)a.dy + team.row * a.c;
    A mean = 0, rstd = 0, sum = 0, along = 0;
    if (team.row < a.rows) {
        mean = ((const A *)a.mean)[team.row];
        rstd = ((const A *)a.rstd)[team.row];
    }
    each<N>(team, a.rows, a.c, [&](i64 k) {
        Pack<T, N> v = load_pack<N>(x + k), h = load_pack<N>(dy + k);
        Pack<A, N> scale = load_pack<N>((const A *)a.gamma + k);
        UNROLL
        for (int i = 0; i < N; i++) {
            A g = widen(h.v[i]) * scale.v[i];
            sum += g;
            along = fma_of(g, (widen(v.v[i]) - mean) * rstd, along);
        }
    });
    sum = team_fold<AddFold>(team, sum, room) / (A)a.c;
    along = team_fold<AddFold>(team, along, room) / (A)a.c;
    each<N>(team, a.rows, a.c, [&](i64 k) {
        Pack<T, N> v = load_pack<N>(x + k), h = load_pack<N>(dy + k);
        Pack<A, N> scale = load_pack<N>((const A *)a.gamma + k);
        UNROLL
        for (int i = 0; i < N; i++) {
            A unit = (widen(v.v[i]) - mean) * rstd;
            v.v[i] = narrow<T>(rstd * (fma_of(widen(h.v[i]), scale.v[i], -sum) - unit * along));
        }
        store_pack<N>((T *)a.dx + team.row * a.c + k, v);
    });
}

template <typename T> DEVICE void layer_norm_grad(const layer_norm_grad_args &a) {
    a.vec ? layer_norm_grad<T, NEAR<T>>(a) : layer_norm_grad<T, 1>(a);
}

extern "C" __global__ void layer_norm_grad_f32(layer_norm_grad_args a) {
    layer_norm_grad<float>(a);
}
extern "C" __global__ void layer_norm_grad_f64(layer_norm_grad_args a) {
    layer_norm_grad<double>(a);
}
extern "C" __global__ void layer_norm_grad_bf16(layer_norm_grad_args a) {
    layer_norm_grad<bf16>(a);
}
