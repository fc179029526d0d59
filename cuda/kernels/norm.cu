// norm.cu: NormStats, NormApply, NormBackward: batch normalisation, plain and conditional.
//
// x is [M, C] to these kernels, M all axes but the last. Per channel:
//
//     stats      mean, variance (divided by M), rstd = 1/√(variance + eps), and of gamma and beta
//                scale = gamma·rstd, shift = beta − scale·mean
//     apply      y = act(x·scale + shift + res), act = ReLU or identity
//     backward   g = dy, or dy·[y > 0], or dy·[x·gamma·rstd + shift > 0], the same without a res;
//                x̂ = (x − mean)·rstd;  h = g·gamma;  dres = g
//                dbeta = Σ g,  dgamma = Σ g·x̂  over what shares an element of gamma
//                dx = rstd·(h − avg(h) − x̂·avg(h·x̂))
//
// scale, shift, gamma are [C] or, conditional on the sample, [S, C].
//
// Threads   Reductions: a block of 32 channels by 8 row lanes, so that a warp reads a line of the
//           row; each block takes a chunk of rows fixed by the shape and a second launch joins
//           chunks in order. Element-wise parts: a thread owns 8 neighbours, which are one byte of
//           the bit mask.
// Variance  One pass. A thread reads 8 rows, computes their mean and sum of squared deviations in
//           registers and joins that with what it has (Chan, Golub, LeVeque, 1979): as exact as two
//           passes, because no square of a large mean is ever formed.
// ReLU      The mask is 1 bit an element, bit e%8 of byte e/8: backward's second pass reads it
//           instead of y, a sixteenth of y in bfloat16; its first pass, which is given y, writes it.
//           Without a res neither need be read: x says it.
// Bytes     stats: x. apply: x, res, y. backward: dy and x twice, with a res y in the first pass and
//           the mask in the second, dx once.
#include "port.h"

const int LANES = 8;  // row lanes of a reducing block
const int GROUP = 8;  // rows a thread reads before it joins; also neighbours in element-wise parts

// ---- statistics: (count, mean, m2), m2 the sum of squared deviations from the mean

template <typename A> struct Moments {
    A n, mean, m2;
};

template <typename A> DEVICE Moments<A> joined(const Moments<A> &a, const Moments<A> &b) {
    if (b.n == 0) {
        return a;
    }
    if (a.n == 0) {
        return b;
    }
    Moments<A> s;
    s.n = a.n + b.n;
    A d = b.mean - a.mean, part = b.n / s.n;
    s.mean = a.mean + d * part;
    s.m2 = a.m2 + b.m2 + d * d * (a.n * part);
    return s;
}

// join_lanes joins the moments of the block's row lanes in order; lane 0 gets them.
template <typename A> DEVICE Moments<A> join_lanes(Moments<A> s, Moments<A> (*room)[WARP]) {
    room[threadIdx.y][threadIdx.x] = s;
    __syncthreads();
    if (threadIdx.y == 0) {
        for (int k = 1; k < LANES; k++) {
            s = joined(s, room[k][threadIdx.x]);
        }
    }
    return s;
}

struct norm_stats_args {
    u64 x, parts; // parts [chunks, 2, C]: mean and m2 of each chunk
    i64 m, chunk; // rows, rows in a chunk
    i32 c, pad;
};
ARGS_SIZE(norm_stats_args, 40);

template <typename T> DEVICE void norm_stats(const norm_stats_args &a) {
    typedef Acc<T> A;
    __shared__ Moments<A> room[LANES][WARP];
    int c = blockIdx.x * WARP + threadIdx.x;
    i64 from = (i64)blockIdx.y * a.chunk, to = min64(from + a.chunk, a.m);
    Moments<A> s = {0, 0, 0};
    for (i64 r0 = from + threadIdx.y; c < a.c && r0 < to; r0 += LANES * GROUP) {
        const T *x = (const T *)a.x + r0 * a.c + c;
        A v[GROUP];
        int n = (int)min64(GROUP, (to - r0 + LANES - 1) / LANES);
        Moments<A> g = {(A)n, 0, 0};
        for (int k = 0; k < GROUP; k++) {
            v[k] = k < n ? widen(x[(i64)k * LANES * a.c]) : (A)0;
            g.mean += v[k];
        }
        g.mean /= g.n;
        for (int k = 0; k < GROUP; k++) {
            A d = k < n ? v[k] - g.mean : (A)0;
            g.m2 += d * d;
        }
        s = joined(s, g);
    }
    s = join_lanes(s, room);
    if (threadIdx.y == 0 && c < a.c) {
        A *part = (A *)a.parts + (i64)blockIdx.y * 2 * a.c + c;
        part[0] = s.mean;
        part[a.c] = s.m2;
    }
}

extern "C" __global__ void norm_stats_f32(norm_stats_args a) { norm_stats<float>(a); }
extern "C" __global__ void norm_stats_f64(norm_stats_args a) { norm_stats<double>(a); }
extern "C" __global__ void norm_stats_bf16(norm_stats_args a) { norm_stats<bf16>(a); }

struct norm_finish_args {
    u64 mean, variance, rstd, parts; // of type Acc<T>
    u64 scale, shift, gamma, beta;   // [rows, C], 0 where there is no gamma
    i64 m, chunk;
    double eps;
    i32 c, chunks, rows, pad;
};
ARGS_SIZE(norm_finish_args, 104);

template <typename A> DEVICE void norm_finish(const norm_finish_args &a) {
    __shared__ Moments<A> room[LANES][WARP];
    int c = blockIdx.x * WARP + threadIdx.x;
    Moments<A> s = {0, 0, 0};
    for (int k = threadIdx.y; c < a.c && k < a.chunks; k += LANES) {
        const A *part = (const A *)a.parts + (i64)k * 2 * a.c + c;
        Moments<A> p = {(A)min64(a.chunk, a.m - k * a.chunk), part[0], part[a.c]};
        s = joined(s, p);
    }
    s = join_lanes(s, room);
    if (threadIdx.y == 0) {
        A variance = s.m2 / s.n;
        s.mean = s.n == 0 ? variance : s.mean; // of no row: NaN, as 0/0
        room[0][threadIdx.x].mean = s.mean;
        room[0][threadIdx.x].m2 = 1 / sqrt_of(variance + (A)a.eps);
        if (c < a.c) {
            ((A *)a.mean)[c] = s.mean;
            ((A *)a.variance)[c] = variance;
            ((A *)a.rstd)[c] = room[0][threadIdx.x].m2;
        }
    }
    __syncthreads();
    A mean = room[0][threadIdx.x].mean, rstd = room[0][threadIdx.x].m2;
    for (i32 r = threadIdx.y; c < a.c && r < a.rows; r += LANES) {
        i64 i = (i64)r * a.c + c;
        A scale = ((const A *)a.gamma)[i] * rstd;
        ((A *)a.scale)[i] = scale;
        ((A *)a.shift)[i] = fma_of(-scale, mean, ((const A *)a.beta)[i]);
    }
}

extern "C" __global__ void norm_finish_f32(norm_finish_args a) { norm_finish<float>(a); }
extern "C" __global__ void norm_finish_f64(norm_finish_args a) { norm_finish<double>(a); }

// ---- element-wise parts: eight neighbours at a time

template <typename A> struct Eight {
    A v[GROUP];
};

// load8 reads elements e…e+7 of p, as packs where vec says so; past the end (n) they are 0.
template <typename T> DEVICE Eight<Acc<T>> load8(const T *p, i64 e, i64 n, bool vec) {
    Eight<Acc<T>> r;
    if (vec) {
        const int N = PACK<T> < GROUP ? PACK<T> : GROUP;
        for (int k = 0; k < GROUP; k += N) {
            Pack<T, N> q = load_pack<N>(p + e + k);
            for (int i = 0; i < N; i++) {
                r.v[k + i] = widen(q.v[i]);
            }
        }
        return r;
    }
    for (int k = 0; k < GROUP; k++) {
        r.v[k] = e + k < n ? widen(p[e + k]) : (Acc<T>)0;
    }
    return r;
}

template <typename T>
DEVICE void store8(T *p, i64 e, i64 n, bool vec, const Eight<Acc<T>> &r) {
    if (vec) {
        const int N = PACK<T> < GROUP ? PACK<T> : GROUP;
        for (int k = 0; k < GROUP; k += N) {
            Pack<T, N> q;
            for (int i = 0; i < N; i++) {
                q.v[i] = narrow<T>(r.v[k + i]);
            }
            store_pack<N>(p + e + k, q);
        }
        return;
    }
    for (int k = 0; k < GROUP && e + k < n; k++) {
        p[e + k] = narrow<T>(r.v[k]);
    }
}

// A Row finds the per-channel numbers that belong to element e.
struct Row {
    i64 channel, sample_row; // e % C, and the offset of the sample's row in an [S, C] tensor
};

DEVICE Row row_of(i64 e, i64 c, i64 each) {
    Row r;
    r.channel = e - quotient(e, c) * c;
    r.sample_row = quotient(e, each) * c;
    return r;
}

// per_channel8 reads the numbers for elements e…e+7 from p, [C] or [S, C].
template <typename T>
DEVICE Eight<Acc<T>> per_channel8(const T *p, i64 e, i64 n, i64 c, i64 each, bool by_sample,
                                  bool vec) {
    Row r = row_of(e, c, each);
    if (vec) { // eight neighbours lie in one sample's one run of channels
        return load8(p, (by_sample ? r.sample_row : 0) + r.channel, 0, true);
    }
    Eight<Acc<T>> v;
    for (int k = 0; k < GROUP; k++) {
        Row q = row_of(e + k < n ? e + k : e, c, each);
        v.v[k] = widen(p[(by_sample ? q.sample_row : 0) + q.channel]);
    }
    return v;
}

struct norm_apply_args {
    u64 y, x, scale, shift, res; // res may be 0
    i64 n, each;                 // elements, elements of a sample
    i32 c, relu;
    i32 scale_by_sample, shift_by_sample;
    i32 vec, pad; // C is a multiple of 8 and all pointers of 16
};
ARGS_SIZE(norm_apply_args, 80);

// P is the type of scale and shift: T, or float beside bfloat16 activations.
template <typename T, typename P> DEVICE void norm_apply(const norm_apply_args &a) {
    typedef Acc<T> A;
    i64 groups = (a.n + GROUP - 1) / GROUP;
    bool vec = a.vec != 0;
    for (i64 i = global_thread(); i < groups; i += global_threads()) {
        i64 e = i * GROUP;
        Eight<A> v = load8((const T *)a.x, e, a.n, vec), r;
        Eight<A> s = per_channel8((const P *)a.scale, e, a.n, a.c, a.each, a.scale_by_sample, vec);
        Eight<A> b = per_channel8((const P *)a.shift, e, a.n, a.c, a.each, a.shift_by_sample, vec);
        if (a.res) {
            r = load8((const T *)a.res, e, a.n, vec);
        }
        for (int k = 0; k < GROUP; k++) {
            A y = fma_of(v.v[k], s.v[k], b.v[k]);
            if (a.res) {
                y += r.v[k];
            }
            v.v[k] = a.relu ? larger(y, (A)0) : y;
        }
        store8((T *)a.y, e, a.n, vec, v);
    }
}

extern "C" __global__ void norm_apply_f32(norm_apply_args a) { norm_apply<float, float>(a); }
extern "C" __global__ void norm_apply_f64(norm_apply_args a) { norm_apply<double, double>(a); }
extern "C" __global__ void norm_apply_bf16(norm_apply_args a) { norm_apply<bf16, float>(a); }

// ---- y = act(x·scale + shift), every pixel repeated k×k times: what a generator's block does
// between a normalisation and its convolution. The small image is neither written nor read again:
// x once, y once, instead of x, twice the small image, and y.

struct norm_upsample_args {
    u64 y, x, scale, shift;
    i64 n, each; // elements of x, of a sample of x
    i32 c, w, k; // channels, width of x, factor
    i32 relu;
    i32 scale_by_sample, shift_by_sample;
    i32 vec, pad; // as in norm_apply_args
};
ARGS_SIZE(norm_upsample_args, 80);

template <typename T, typename P> DEVICE void norm_upsample(const norm_upsample_args &a) {
    typedef Acc<T> A;
    i64 groups = (a.n + GROUP - 1) / GROUP, large_row = (i64)a.w * a.k * a.c;
    bool vec = a.vec != 0;
    for (i64 i = global_thread(); i < groups; i += global_threads()) {
        i64 e = i * GROUP;
        Eight<A> v = load8((const T *)a.x, e, a.n, vec);
        Eight<A> s = per_channel8((const P *)a.scale, e, a.n, a.c, a.each, a.scale_by_sample, vec);
        Eight<A> b = per_channel8((const P *)a.shift, e, a.n, a.c, a.each, a.shift_by_sample, vec);
        for (int q = 0; q < GROUP; q++) {
            A y = fma_of(v.v[q], s.v[q], b.v[q]);
            v.v[q] = a.relu ? larger(y, (A)0) : y;
        }
        // Eight neighbours lie in one pixel where vec says so; else each finds its own.
        for (int q = 0; q < GROUP && e + q < a.n; q += vec ? GROUP : 1) {
            i64 pixel = quotient(e + q, a.c), row = quotient(pixel, a.w);
            i64 at = row * a.k * large_row + (pixel - row * a.w) * a.k * a.c + (e + q - pixel * a.c);
            for (i32 u = 0; u < a.k; u++) {
                for (i32 w = 0; w < a.k; w++) {
                    i64 to = at + u * large_row + (i64)w * a.c;
                    if (vec) {
                        store8((T *)a.y, to, 0, true, v);
                    } else {
                        ((T *)a.y)[to] = narrow<T>(v.v[q]);
                    }
                }
            }
        }
    }
}

extern "C" __global__ void norm_upsample_f32(norm_upsample_args a) {
    norm_upsample<float, float>(a);
}
extern "C" __global__ void norm_upsample_f64(norm_upsample_args a) {
    norm_upsample<double, double>(a);
}
extern "C" __global__ void norm_upsample_bf16(norm_upsample_args a) {
    norm_upsample<bf16, float>(a);
}

// ---- backward. A segment is what shares a row of gamma: everything, or one sample.

struct norm_backward_args {
    u64 dx, dres;                // may be 0
    u64 dy, x, y, mask, shift;   // y or shift or none, in the second pass mask for y: the ReLU
    u64 mean, rstd, gamma;       // of type P
    u64 sums;                    // [2, C] of Acc<T>: avg(h), avg(h·x̂)
    u64 parts;                   // [S, chunks, 2, C] of Acc<T>: Σg, Σg·x̂
    u64 keep;                    // where the sums' pass leaves the mask, or 0; C a multiple of 8
    i64 n, each;                 // elements, elements of a segment
    i64 rows, chunk;             // rows of a segment, rows in a chunk
    i32 c, chunks;
    i32 segments, vec;
};
ARGS_SIZE(norm_backward_args, 152);

// passes reports whether the ReLU let element e through, by y or mask.
template <typename T> DEVICE bool passes(const norm_backward_args &a, i64 e) {
    if (a.mask) {
        return ((const u8 *)a.mask)[e / 8] >> (e % 8) & 1;
    }
    return !a.y || widen(((const T *)a.y)[e]) > 0;
}

template <typename T, typename P> DEVICE void norm_backward_sums(const norm_backward_args &a) {
    typedef Acc<T> A;
    __shared__ A room_g[LANES][WARP], room_gx[LANES][WARP];
    int c = blockIdx.x * WARP + threadIdx.x;
    i64 from = (i64)blockIdx.y * a.chunk, to = min64(from + a.chunk, a.rows);
    A mean = 0, rstd = 0;
    if (c < a.c) {
        mean = widen(((const P *)a.mean)[c]);
        rstd = widen(((const P *)a.rstd)[c]);
    }
    for (i64 s = blockIdx.z; s < a.segments; s += gridDim.z) {
        A sum_g = 0, sum_gx = 0, scale = 0, shift = 0;
        if (a.shift && c < a.c) {
            scale = widen(((const P *)a.gamma)[s * a.c + c]) * rstd;
            shift = widen(((const P *)a.shift)[s * a.c + c]);
        }
        for (i64 r = from + threadIdx.y; r < to; r += LANES) { // the same for a warp
            i64 e = s * a.each + r * a.c + c;
            bool pass = c < a.c && passes<T>(a, e);
            if (c < a.c) {
                A x = widen(((const T *)a.x)[e]);
                A g = pass && !(a.shift && !(fma_of(x, scale, shift) > 0))
                          ? widen(((const T *)a.dy)[e]) : (A)0;
                sum_g += g;
                sum_gx += g * ((x - mean) * rstd);
            }
            if (a.keep) {
                u32 bits = __ballot_sync(ALL_LANES, pass); // of 32 neighbours
                if (c < a.c && threadIdx.x % 8 == 0) {
                    ((u8 *)a.keep)[e / 8] = (u8)(bits >> threadIdx.x);
                }
            }
        }
        room_g[threadIdx.y][threadIdx.x] = sum_g;
        room_gx[threadIdx.y][threadIdx.x] = sum_gx;
        __syncthreads();
        if (threadIdx.y == 0 && c < a.c) {
            for (int k = 1; k < LANES; k++) {
                sum_g += room_g[k][threadIdx.x];
                sum_gx += room_gx[k][threadIdx.x];
            }
            A *part = (A *)a.parts + (s * a.chunks + blockIdx.y) * 2 * a.c + c;
            part[0] = sum_g;
            part[a.c] = sum_gx;
        }
        __syncthreads();
    }
}

extern "C" __global__ void norm_backward_sums_f32(norm_backward_args a) {
    norm_backward_sums<float, float>(a);
}
extern "C" __global__ void norm_backward_sums_f64(norm_backward_args a) {
    norm_backward_sums<double, double>(a);
}
extern "C" __global__ void norm_backward_sums_bf16(norm_backward_args a) {
    norm_backward_sums<bf16, float>(a);
}

// norm_backward_join adds the chunks of every segment and weighs segments by gamma.
struct norm_backward_join_args {
    u64 dgamma, dbeta; // may be 0; of type P
    u64 gamma;
    u64 sums, parts; // as above
    i64 m;           // rows of all segments
    i32 c, chunks;
    i32 segments, pad;
};
ARGS_SIZE(norm_backward_join_args, 64);

template <typename P> DEVICE void norm_backward_join(const norm_backward_join_args &a) {
    __shared__ P room_g[LANES][WARP], room_gx[LANES][WARP];
    int c = blockIdx.x * WARP + threadIdx.x, lane = threadIdx.y;
    P avg_h = 0, avg_hx = 0;
    // One segment: lanes share its chunks. Many: a lane takes every eighth segment.
    bool one = a.segments == 1;
    for (i64 s = one ? 0 : lane; c < a.c && s < a.segments; s += one ? 1 : LANES) {
        P g = 0, gx = 0;
        for (int k = one ? lane : 0; k < a.chunks; k += one ? LANES : 1) {
            const P *part = (const P *)a.parts + (s * a.chunks + k) * 2 * a.c + c;
            g += part[0];
            gx += part[a.c];
        }
        if (!one) {
            i64 at = s * a.c + c;
            if (a.dbeta) {
                ((P *)a.dbeta)[at] = g;
            }
            if (a.dgamma) {
                ((P *)a.dgamma)[at] = gx;
            }
            P gamma = ((const P *)a.gamma)[at];
            g *= gamma;
            gx *= gamma;
        }
        avg_h += g;
        avg_hx += gx;
    }
    room_g[lane][threadIdx.x] = avg_h;
    room_gx[lane][threadIdx.x] = avg_hx;
    __syncthreads();
    if (lane != 0 || c >= a.c) {
        return;
    }
    for (int k = 1; k < LANES; k++) {
        avg_h += room_g[k][threadIdx.x];
        avg_hx += room_gx[k][threadIdx.x];
    }
    if (one) {
        if (a.dbeta) {
            ((P *)a.dbeta)[c] = avg_h;
        }
        if (a.dgamma) {
            ((P *)a.dgamma)[c] = avg_hx;
        }
        P gamma = ((const P *)a.gamma)[c];
        avg_h *= gamma;
        avg_hx *= gamma;
    }
    ((P *)a.sums)[c] = avg_h / (P)a.m;
    ((P *)a.sums)[a.c + c] = avg_hx / (P)a.m;
}

extern "C" __global__ void norm_backward_join_f32(norm_backward_join_args a) {
    norm_backward_join<float>(a);
}
extern "C" __global__ void norm_backward_join_f64(norm_backward_join_args a) {
    norm_backward_join<double>(a);
}

template <typename T, typename P> DEVICE void norm_backward(const norm_backward_args &a) {
    typedef Acc<T> A;
    i64 groups = (a.n + GROUP - 1) / GROUP;
    bool vec = a.vec != 0, by_sample = a.segments > 1;
    const A *sums = (const A *)a.sums;
    for (i64 i = global_thread(); i < groups; i += global_threads()) {
        i64 e = i * GROUP;
        Eight<A> g = load8((const T *)a.dy, e, a.n, vec);
        for (int k = 0; k < GROUP && e + k < a.n; k++) {
            g.v[k] = passes<T>(a, e + k) ? g.v[k] : (A)0;
        }
        if (a.dres) {
            store8((T *)a.dres, e, a.n, vec, g);
        }
        if (!a.dx) {
            continue;
        }
        Eight<A> v = load8((const T *)a.x, e, a.n, vec);
        Eight<A> mean = per_channel8((const P *)a.mean, e, a.n, a.c, a.n, false, vec);
        Eight<A> rstd = per_channel8((const P *)a.rstd, e, a.n, a.c, a.n, false, vec);
        Eight<A> gamma = per_channel8((const P *)a.gamma, e, a.n, a.c, a.each, by_sample, vec);
        if (a.shift) {
            Eight<A> b = per_channel8((const P *)a.shift, e, a.n, a.c, a.each, by_sample, vec);
            for (int k = 0; k < GROUP; k++) {
                g.v[k] = fma_of(v.v[k], gamma.v[k] * rstd.v[k], b.v[k]) > 0 ? g.v[k] : (A)0;
            }
        }
        Eight<A> avg_h = per_channel8(sums, e, a.n, a.c, a.n, false, vec);
        Eight<A> avg_hx = per_channel8(sums + a.c, e, a.n, a.c, a.n, false, vec);
        for (int k = 0; k < GROUP; k++) {
            A xhat = (v.v[k] - mean.v[k]) * rstd.v[k];
            v.v[k] = rstd.v[k] * (g.v[k] * gamma.v[k] - avg_h.v[k] - xhat * avg_hx.v[k]);
        }
        store8((T *)a.dx, e, a.n, vec, v);
    }
}

extern "C" __global__ void norm_backward_f32(norm_backward_args a) {
    norm_backward<float, float>(a);
}
extern "C" __global__ void norm_backward_f64(norm_backward_args a) {
    norm_backward<double, double>(a);
}
extern "C" __global__ void norm_backward_bf16(norm_backward_args a) {
    norm_backward<bf16, float>(a);
}
