// pool.cu: MaxPool, PoolGather, PoolScatter, AvgPool, AvgPoolGrad. Images are NHWC.
//
// What      max_pool      y = the window's maximum; idx = the winner's h·W + w (first maximum in
//                         row order, NaN wins, padding never), unless idx is null
//           pool_gather   y[n, i, j, c] = x[n, idx, c];  pool_scatter is its adjoint
//           avg_pool      y = Σ window / divisor;  avg_pool_grad gathers dy/divisor over the
//                         windows that cover a pixel, in row order
// Threads   A thread for each element of the result, channels fastest, so that a warp reads whole
//           lines. pool_scatter: a thread owns one channel of a band of one image's rows and adds,
//           in order, what idx sends there: no atomics, the same bits always.
// Bytes     Each input as often as windows overlap, from cache; pool_scatter reads idx once a band.
#include "port.h"

struct pool_args {
    u64 y, idx, x; // dy or dx in their places
    i32 n, h, w, c, oh, ow;
    i32 kh, kw, stride_h, stride_w;
    i32 pad_top, pad_left, pad_bottom, pad_right;
    i32 count_pad, pad;
};
ARGS_SIZE(pool_args, 88);

// A Span is the part [lo, hi) of a window inside the image along one axis; padded counts positions
// before the padding's end, which in ceil mode the last window may hang over.
struct Span {
    i32 lo, hi, padded;
};

DEVICE Span span_of(i32 start, i32 k, i32 n, i32 after) {
    Span s;
    s.lo = start < 0 ? 0 : start;
    s.hi = start + k < n ? start + k : n;
    s.hi = s.hi < s.lo ? s.lo : s.hi;
    s.padded = (start + k < n + after ? start + k : n + after) - start;
    return s;
}

DEVICE Span rows_of(const pool_args &a, i32 i) {
    return span_of(i * a.stride_h - a.pad_top, a.kh, a.h, a.pad_bottom);
}

DEVICE Span cols_of(const pool_args &a, i32 j) {
    return span_of(j * a.stride_w - a.pad_left, a.kw, a.w, a.pad_right);
}

// A Place is an element of an [N H W C] tensor.
struct Place {
    i32 n, i, j, c;
};

DEVICE Place place_of(i64 e, i32 h, i32 w, i32 c) {
    Place p;
    i64 pixel = quotient(e, c), row = quotient(pixel, w);
    p.c = (i32)(e - pixel * c);
    p.j = (i32)(pixel - row * w);
    p.n = (i32)quotient(row, h);
    p.i = (i32)(row - (i64)p.n * h);
    return p;
}

template <typename T> DEVICE void max_pool(const pool_args &a) {
    typedef Acc<T> A;
    i64 total = (i64)a.n * a.oh * a.ow * a.c;
    for (i64 e = global_thread(); e < total; e += global_threads()) {
        Place p = place_of(e, a.oh, a.ow, a.c);
        Span rs = rows_of(a, p.i), cs = cols_of(a, p.j);
        const T *x = (const T *)a.x + (i64)p.n * a.h * a.w * a.c + p.c;
        A best = -infinity_of((A)0);
        i32 at = -1;
        for (i32 r = rs.lo; r < rs.hi; r++) {
            for (i32 s = cs.lo; s < cs.hi; s++) {
                A v = widen(x[(i64)(r * a.w + s) * a.c]);
                if (at < 0 || v > best || (v != v && best == best)) {
                    best = v;
                    at = r * a.w + s;
                }
            }
        }
        ((T *)a.y)[e] = narrow<T>(best);
        if (a.idx) {
            ((i32 *)a.idx)[e] = at < 0 ? 0 : at;
        }
    }
}

extern "C" __global__ void max_pool_f32(pool_args a) { max_pool<float>(a); }
extern "C" __global__ void max_pool_f64(pool_args a) { max_pool<double>(a); }
extern "C" __global__ void max_pool_bf16(pool_args a) { max_pool<bf16>(a); }

template <typename T> DEVICE void pool_gather(const pool_args &a) {
    i64 each = (i64)a.oh * a.ow * a.c, image = (i64)a.h * a.w * a.c;
    for (i64 e = global_thread(); e < a.n * each; e += global_threads()) {
        i64 n = quotient(e, each), c = e - quotient(e, a.c) * a.c;
        ((T *)a.y)[e] = ((const T *)a.x)[n * image + (i64)((const i32 *)a.idx)[e] * a.c + c];
    }
}

extern "C" __global__ void pool_gather_f32(pool_args a) { pool_gather<float>(a); }
extern "C" __global__ void pool_gather_f64(pool_args a) { pool_gather<double>(a); }
extern "C" __global__ void pool_gather_bf16(pool_args a) { pool_gather<bf16>(a); }

// blockIdx.y is the band: pixels [band·per_band, …) of an image. Sums are kept in dx itself, which
// bfloat16 would round at every addition; so its kernel scatters into float scratch.
struct pool_scatter_args {
    u64 dx, dy, idx;
    i64 threads; // N·C
    i32 c, pixels, outputs; // of an image: H·W and OH·OW
    i32 per_band;
};
ARGS_SIZE(pool_scatter_args, 48);

template <typename T> DEVICE void pool_scatter(const pool_scatter_args &a) {
    typedef Acc<T> A;
    i64 t = global_thread();
    if (t >= a.threads) {
        return;
    }
    i64 n = quotient(t, a.c), c = t - n * a.c;
    i32 from = blockIdx.y * a.per_band, to = from + a.per_band;
    to = to < a.pixels ? to : a.pixels;
    A *dx = (A *)a.dx + n * a.pixels * a.c + c;
    const T *dy = (const T *)a.dy + n * a.outputs * a.c + c;
    const i32 *idx = (const i32 *)a.idx + n * a.outputs * a.c + c;
    for (i32 p = from; p < to; p++) {
        dx[(i64)p * a.c] = 0;
    }
    for (i32 o = 0; o < a.outputs; o++) {
        i32 p = idx[(i64)o * a.c];
        if (p >= from && p < to) {
            dx[(i64)p * a.c] += widen(dy[(i64)o * a.c]);
        }
    }
}

extern "C" __global__ void pool_scatter_f32(pool_scatter_args a) { pool_scatter<float>(a); }
extern "C" __global__ void pool_scatter_f64(pool_scatter_args a) { pool_scatter<double>(a); }
extern "C" __global__ void pool_scatter_bf16(pool_scatter_args a) { pool_scatter<bf16>(a); }

DEVICE i32 divisor(const pool_args &a, const Span &rs, const Span &cs) {
    i32 d = a.count_pad ? rs.padded * cs.padded : (rs.hi - rs.lo) * (cs.hi - cs.lo);
    return d < 1 ? 1 : d;
}

template <typename T> DEVICE void avg_pool(const pool_args &a) {
    typedef Acc<T> A;
    i64 total = (i64)a.n * a.oh * a.ow * a.c;
    for (i64 e = global_thread(); e < total; e += global_threads()) {
        Place p = place_of(e, a.oh, a.ow, a.c);
        Span rs = rows_of(a, p.i), cs = cols_of(a, p.j);
        const T *x = (const T *)a.x + (i64)p.n * a.h * a.w * a.c + p.c;
        A sum = 0;
        for (i32 r = rs.lo; r < rs.hi; r++) {
            for (i32 s = cs.lo; s < cs.hi; s++) {
                sum += widen(x[(i64)(r * a.w + s) * a.c]);
            }
        }
        ((T *)a.y)[e] = narrow<T>(sum / (A)divisor(a, rs, cs));
    }
}

extern "C" __global__ void avg_pool_f32(pool_args a) { avg_pool<float>(a); }
extern "C" __global__ void avg_pool_f64(pool_args a) { avg_pool<double>(a); }
extern "C" __global__ void avg_pool_bf16(pool_args a) { avg_pool<bf16>(a); }

// first_window is the smallest window index that covers position r, last_window the largest.
DEVICE i32 first_window(i32 r, i32 k, i32 stride) {
    i32 d = r - k + 1;
    return d <= 0 ? 0 : (d + stride - 1) / stride;
}

DEVICE i32 last_window(i32 r, i32 stride, i32 n) {
    i32 i = r / stride;
    return i < n ? i : n - 1;
}

template <typename T> DEVICE void avg_pool_grad(const pool_args &a) {
    typedef Acc<T> A;
    i64 total = (i64)a.n * a.h * a.w * a.c;
    for (i64 e = global_thread(); e < total; e += global_threads()) {
        Place p = place_of(e, a.h, a.w, a.c);
        i32 r = p.i + a.pad_top, s = p.j + a.pad_left;
        const T *dy = (const T *)a.y + (i64)p.n * a.oh * a.ow * a.c + p.c;
        A sum = 0;
        i32 i1 = last_window(r, a.stride_h, a.oh), j1 = last_window(s, a.stride_w, a.ow);
        for (i32 i = first_window(r, a.kh, a.stride_h); i <= i1; i++) {
            Span rs = rows_of(a, i);
            for (i32 j = first_window(s, a.kw, a.stride_w); j <= j1; j++) {
                A g = widen(dy[(i64)(i * a.ow + j) * a.c]);
                sum += g / (A)divisor(a, rs, cols_of(a, j));
            }
        }
        ((T *)a.x)[e] = narrow<T>(sum);
    }
}

extern "C" __global__ void avg_pool_grad_f32(pool_args a) { avg_pool_grad<float>(a); }
extern "C" __global__ void avg_pool_grad_f64(pool_args a) { avg_pool_grad<double>(a); }
extern "C" __global__ void avg_pool_grad_bf16(pool_args a) { avg_pool_grad<bf16>(a); }
