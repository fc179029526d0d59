// conv.cu: Conv2D (also with bias, residual and ReLU), Conv2DInputGrad, Conv2DWeightGrad as
// implicit matrix products.
//
// What      x [N H W C], w [O KH KW C/G], y [N OH OW O]; tap (u, v) of output pixel (i, j) meets
//           input pixel (i·s−p+u·d, j·s−p+v·d), zero outside. Within each group:
//
//             forward      y[pixel, o]   = Σ over k = (u, v, c)  x[tap of pixel, c] · w[o, u, v, c]
//             input grad   dx[pixel, c]  = Σ over k = (u, v, o)  dy[under tap, o] · w[o, u, v, c]
//             weight grad  dw[o, (u v c)] = Σ over k = pixels     dy[pixel, o] · x[tap of pixel, c]
//
//           Each is the product of tile.h; no im2col matrix exists, an Operand computes where its
//           element lies. With NHWC the channels of one tap are neighbours, so loads are 16 bytes
//           wide whenever C/G (or O/G) is a multiple of PACK.
// Threads   blockIdx.x counts tiles (channels fastest), z groups, and for the weight gradient also
//           chunks of pixels.
// Order     The weight gradient's sum over all pixels is cut into chunks by shape; their sums go to
//           scratch memory and conv_join adds them in order.
// Bytes     The image about KH·KW times from cache, once from memory; the filter once for each tile
//           row.
#include "wgmma.h"

struct conv_args {
    u64 x, w, y;   // dx, dw or dy in their places
    u64 bias, res; // forward: Acc<T> [O] and like y, or 0
    i32 n, h, wd, c, o, kh, kw, oh, ow;
    i32 stride_h, stride_w, pad_top, pad_left, dil_h, dil_w;
    i32 groups;
    i32 chunk, chunks; // weight gradient: pixels in a chunk
    i32 vec_c, vec_o;  // C/G, O/G and all pointers allow 16-byte access along channels
    i32 relu, pad;
};
ARGS_SIZE(conv_args, 128);

// Geo is a convolution seen from one group.
struct Geo {
    conv_args a;
    i32 cg, og, group;
    i32 k_row; // elements of a filter: KH·KW·C/G
};

DEVICE Geo geo_of(const conv_args &a, int group) {
    Geo g;
    g.a = a;
    g.cg = a.c / a.groups;
    g.og = a.o / a.groups;
    g.group = group;
    g.k_row = a.kh * a.kw * g.cg;
    return g;
}

// A Pixel is a place in a batch of images.
struct Pixel {
    i32 img, i, j;
};

DEVICE Pixel pixel_of(i32 at, u32 h, u32 w) {
    Pixel p;
    u32 row = (u32)at / w;
    p.img = (i32)(row / h);
    p.i = (i32)(row - p.img * h);
    p.j = (i32)(at - row * w);
    return p;
}

// A Tap is a position (u, v) in the filter and a channel.
struct Tap {
    i32 u, v, ch;
};

DEVICE Tap tap_of(i32 k, u32 kw, u32 channels) {
    Tap t;
    u32 at = (u32)k / channels;
    t.ch = (i32)(k - at * channels);
    t.u = (i32)(at / kw);
    t.v = (i32)(at - t.u * kw);
    return t;
}

// input_at returns the element under tap t of the output pixel, or null in the padding.
template <typename T> DEVICE const T *input_at(const Geo &g, Pixel p, Tap t) {
    i32 r = p.i * g.a.stride_h - g.a.pad_top + t.u * g.a.dil_h;
    i32 s = p.j * g.a.stride_w - g.a.pad_left + t.v * g.a.dil_w;
    if (r < 0 || r >= g.a.h || s < 0 || s >= g.a.wd) {
        return (const T *)0;
    }
    return (const T *)g.a.x + (((i64)p.img * g.a.h + r) * g.a.wd + s) * g.a.c +
           (i64)g.group * g.cg + t.ch;
}

// output_at returns the element of y whose tap t lies on input pixel p, or null where none does.
template <typename T> DEVICE const T *output_at(const Geo &g, Pixel p, Tap t) {
    i32 r = p.i + g.a.pad_top - t.u * g.a.dil_h, s = p.j + g.a.pad_left - t.v * g.a.dil_w;
    if (r < 0 || s < 0) {
        return (const T *)0;
    }
    i32 i = r / g.a.stride_h, j = s / g.a.stride_w;
    if (i * g.a.stride_h != r || j * g.a.stride_w != s || i >= g.a.oh || j >= g.a.ow) {
        return (const T *)0;
    }
    return (const T *)g.a.y + (((i64)p.img * g.a.oh + i) * g.a.ow + j) * g.a.o +
           (i64)g.group * g.og + t.ch;
}

template <typename T> DEVICE const T *filter_at(const Geo &g, i32 o, i32 k) {
    return (const T *)g.a.w + ((i64)g.group * g.og + o) * g.k_row + k;
}

// ---- the operands

template <typename T> struct Taps { // forward A: rows are output pixels, k = (u, v, c)
    static const bool k_fast = true;
    typedef Pixel Slot;
    Geo g;
    i32 pixels;
    bool vec;
    DEVICE Slot slot(i32 row) const { return pixel_of(row, g.a.oh, g.a.ow); }
    DEVICE const T *at(const Slot &p, i32 row, i32 k) const {
        return row < pixels && k < g.k_row ? input_at<T>(g, p, tap_of(k, g.a.kw, g.cg)) : 0;
    }
};

template <typename T> struct Filters { // forward B: rows are output channels, k = (u, v, c)
    static const bool k_fast = true;
    struct Slot {};
    Geo g;
    bool vec;
    DEVICE Slot slot(i32) const { return Slot(); }
    DEVICE const T *at(const Slot &, i32 row, i32 k) const {
        return row < g.og && k < g.k_row ? filter_at<T>(g, row, k) : 0;
    }
};

template <typename T> struct Covers { // input grad A: rows are input pixels, k = (u, v, o)
    static const bool k_fast = true;
    typedef Pixel Slot;
    Geo g;
    i32 pixels, k_end;
    bool vec;
    DEVICE Slot slot(i32 row) const { return pixel_of(row, g.a.h, g.a.wd); }
    DEVICE const T *at(const Slot &p, i32 row, i32 k) const {
        return row < pixels && k < k_end ? output_at<T>(g, p, tap_of(k, g.a.kw, g.og)) : 0;
    }
};

template <typename T> struct FiltersT { // input grad B: rows are input channels, k = (u, v, o)
    static const bool k_fast = false;
    struct Slot {};
    Geo g;
    i32 k_end;
    bool vec;
    DEVICE Slot slot(i32) const { return Slot(); }
    DEVICE const T *at(const Slot &, i32 row, i32 k) const {
        if (row >= g.cg || k >= k_end) {
            return 0;
        }
        Tap t = tap_of(k, g.a.kw, g.og);
        return filter_at<T>(g, t.ch, (t.u * g.a.kw + t.v) * g.cg + row);
    }
};

template <typename T> struct OutGrads { // weight grad A: rows are output channels, k = pixels
    static const bool k_fast = false;
    struct Slot {};
    Geo g;
    i32 k_end;
    bool vec;
    DEVICE Slot slot(i32) const { return Slot(); }
    DEVICE const T *at(const Slot &, i32 row, i32 k) const {
        return row < g.og && k < k_end
                   ? (const T *)g.a.y + (i64)k * g.a.o + (i64)g.group * g.og + row
                   : 0;
    }
};

template <typename T> struct TapsT { // weight grad B: rows are (u, v, c), k = output pixels
    static const bool k_fast = false;
    typedef Tap Slot;
    Geo g;
    i32 k_end;
    bool vec;
    DEVICE Slot slot(i32 row) const { return tap_of(row, g.a.kw, g.cg); }
    DEVICE const T *at(const Slot &t, i32 row, i32 k) const {
        return row < g.k_row && k < k_end
                   ? input_at<T>(g, pixel_of(k, g.a.oh, g.a.ow), t)
                   : 0;
    }
};

// ---- the kernels, for a product P of tile.h

// An Epilogue finishes what a tile has computed: y = act(sum + bias + res), act = ReLU or identity.
template <typename T> struct Epilogue {
    Output<T> y;
    const Acc<T> *bias;
    const T *res;
    bool relu;
    i32 cols;
    template <int N, typename A> DEVICE void put(i32 m, i32 n, const A *v) const {
        A r[N];
        UNROLL
        for (int e = 0; e < N; e++) {
            r[e] = v[e];
            if (m < y.rows && n + e < cols) {
                r[e] += bias ? bias[n + e] : (A)0;
                r[e] += res ? widen(res[(i64)m * y.ld + n + e]) : (A)0;
                r[e] = relu ? larger(r[e], (A)0) : r[e];
            }
        }
        y.template put<N>(m, n, r);
    }
};

// T is the operands' type, U the result's: T, or float beside bfloat16 operands.
template <typename T, typename U, typename P> DEVICE void conv_forward(const conv_args &a) {
    Geo g = geo_of(a, blockIdx.z);
    i32 pixels = a.n * a.oh * a.ow;
    Taps<T> x = {g, pixels, a.vec_c != 0};
    Filters<T> w = {g, a.vec_c != 0};
    i64 o0 = (i64)g.group * g.og;
    Epilogue<U> y = {{(U *)a.y + o0, a.o, pixels, g.og, a.vec_o != 0},
                     a.bias ? (const Acc<U> *)a.bias + o0 : 0,
                     a.res ? (const U *)a.res + o0 : 0,
                     a.relu != 0,
                     g.og};
    P::template run<T>(x, w, y, 0, g.k_row);
}

template <typename T, typename U, typename P> DEVICE void conv_input_grad(const conv_args &a) {
    Geo g = geo_of(a, blockIdx.z);
    i32 pixels = a.n * a.h * a.wd, k = a.kh * a.kw * g.og;
    Covers<T> dy = {g, pixels, k, a.vec_o != 0};
    FiltersT<T> w = {g, k, a.vec_c != 0};
    Output<U> dx = {(U *)a.x + (i64)g.group * g.cg, a.c, pixels, g.cg, a.vec_c != 0};
    P::template run<T>(dy, w, dx, 0, k);
}

// A WeightOutput is dw itself or, where the pixels are cut into chunks, a chunk's sums of Acc<T>.
template <typename T> struct WeightOutput {
    Output<T> whole;
    Output<Acc<T>> part;
    bool cut;
    i32 cols;
    template <int N, typename A> DEVICE void put(i32 m, i32 n, const A *v) const {
        if (cut) {
            part.template put<N>(m, n, v);
        } else {
            whole.template put<N>(m, n, v);
        }
    }
};

template <typename T, typename U, typename P> DEVICE void conv_weight_grad(const conv_args &a) {
    int group = blockIdx.z % a.groups, chunk = blockIdx.z / a.groups;
    Geo g = geo_of(a, group);
    i32 pixels = a.n * a.oh * a.ow, from = chunk * a.chunk;
    i32 to = from + a.chunk < pixels ? from + a.chunk : pixels;
    OutGrads<T> dy = {g, to, a.vec_o != 0};
    TapsT<T> x = {g, to, a.vec_c != 0};
    i64 at = ((i64)chunk * a.o + (i64)group * g.og) * g.k_row;
    WeightOutput<U> dw = {
        {(U *)a.w + at, g.k_row, g.og, g.k_row, a.vec_c != 0},
        {(Acc<U> *)a.w + at, g.k_row, g.og, g.k_row, a.vec_c != 0},
        a.chunks > 1,
        g.k_row,
    };
    P::template run<T>(dy, x, dw, from, to);
}

extern "C" __global__ __launch_bounds__(256) void conv_forward_f32(conv_args a) {
    conv_forward<float, float, Simt<64, 64>>(a);
}
extern "C" __global__ __launch_bounds__(256) void conv_forward_wide_f32(conv_args a) {
    conv_forward<float, float, Simt<128, 128>>(a);
}
extern "C" __global__ __launch_bounds__(256) void conv_forward_f64(conv_args a) {
    conv_forward<double, double, Simt<64, 64>>(a);
}
extern "C" __global__ __launch_bounds__(256) void conv_forward_bf16(conv_args a) {
    conv_forward<bf16, bf16, Mma<64, 64>>(a);
}
extern "C" __global__ __launch_bounds__(256) void conv_forward_wide_bf16(conv_args a) {
    conv_forward<bf16, bf16, Mma<128, 128>>(a);
}
extern "C" __global__ __launch_bounds__(256) void conv_forward_mixed(conv_args a) {
    conv_forward<bf16, float, Mma<64, 64>>(a);
}
extern "C" __global__ __launch_bounds__(256) void conv_forward_wide_mixed(conv_args a) {
    conv_forward<bf16, float, Mma<128, 128>>(a);
}

extern "C" __global__ __launch_bounds__(256) void conv_input_grad_f32(conv_args a) {
    conv_input_grad<float, float, Simt<64, 64>>(a);
}
extern "C" __global__ __launch_bounds__(256) void conv_input_grad_wide_f32(conv_args a) {
    conv_input_grad<float, float, Simt<128, 128>>(a);
}
extern "C" __global__ __launch_bounds__(256) void conv_input_grad_f64(conv_args a) {
    conv_input_grad<double, double, Simt<64, 64>>(a);
}
extern "C" __global__ __launch_bounds__(256) void conv_input_grad_bf16(conv_args a) {
    conv_input_grad<bf16, bf16, Mma<64, 64>>(a);
}
extern "C" __global__ __launch_bounds__(256) void conv_input_grad_wide_bf16(conv_args a) {
    conv_input_grad<bf16, bf16, Mma<128, 128>>(a);
}
extern "C" __global__ __launch_bounds__(256) void conv_input_grad_mixed(conv_args a) {
    conv_input_grad<bf16, float, Mma<64, 64>>(a);
}
extern "C" __global__ __launch_bounds__(256) void conv_input_grad_wide_mixed(conv_args a) {
    conv_input_grad<bf16, float, Mma<128, 128>>(a);
}

extern "C" __global__ __launch_bounds__(256) void conv_weight_grad_f32(conv_args a) {
    conv_weight_grad<float, float, Simt<64, 64>>(a);
}
extern "C" __global__ __launch_bounds__(256) void conv_weight_grad_wide_f32(conv_args a) {
    conv_weight_grad<float, float, Simt<128, 128>>(a);
}
extern "C" __global__ __launch_bounds__(256) void conv_weight_grad_f64(conv_args a) {
    conv_weight_grad<double, double, Simt<64, 64>>(a);
}
extern "C" __global__ __launch_bounds__(256) void conv_weight_grad_bf16(conv_args a) {
    conv_weight_grad<bf16, bf16, Mma<64, 64>>(a);
}
extern "C" __global__ __launch_bounds__(256) void conv_weight_grad_wide_bf16(conv_args a) {
    conv_weight_grad<bf16, bf16, Mma<128, 128>>(a);
}
extern "C" __global__ __launch_bounds__(256) void conv_weight_grad_mixed(conv_args a) {
    conv_weight_grad<bf16, float, Mma<64, 64>>(a);
}
extern "C" __global__ __launch_bounds__(256) void conv_weight_grad_wide_mixed(conv_args a) {
    conv_weight_grad<bf16, float, Mma<128, 128>>(a);
}
extern "C" __global__ __launch_bounds__(256) void conv_forward_hopper_bf16(conv_args a) {
    conv_forward<bf16, bf16, Wgmma>(a);
}
extern "C" __global__ __launch_bounds__(256) void conv_forward_hopper_mixed(conv_args a) {
    conv_forward<bf16, float, Wgmma>(a);
}
extern "C" __global__ __launch_bounds__(256) void conv_input_grad_hopper_bf16(conv_args a) {
    conv_input_grad<bf16, bf16, Wgmma>(a);
}
extern "C" __global__ __launch_bounds__(256) void conv_input_grad_hopper_mixed(conv_args a) {
    conv_input_grad<bf16, float, Wgmma>(a);
}
extern "C" __global__ __launch_bounds__(256) void conv_weight_grad_hopper_bf16(conv_args a) {
    conv_weight_grad<bf16, bf16, Wgmma>(a);
}
extern "C" __global__ __launch_bounds__(256) void conv_weight_grad_hopper_mixed(conv_args a) {
    conv_weight_grad<bf16, float, Wgmma>(a);
}

// ---- dst = Σ over chunks, in order

struct conv_join_args {
    u64 dst, parts; // parts [chunks, n] of Acc<T>
    i64 n;
    i32 chunks, pad;
};
ARGS_SIZE(conv_join_args, 32);

template <typename T> DEVICE void conv_join(const conv_join_args &a) {
    const Acc<T> *parts = (const Acc<T> *)a.parts;
    for (i64 i = global_thread(); i < a.n; i += global_threads()) {
        Acc<T> sum = parts[i];
        for (i32 k = 1; k < a.chunks; k++) {
            sum += parts[k * a.n + i];
        }
        ((T *)a.dst)[i] = narrow<T>(sum);
    }
}

extern "C" __global__ void conv_join_f32(conv_join_args a) { conv_join<float>(a); }
extern "C" __global__ void conv_join_f64(conv_join_args a) { conv_join<double>(a); }
extern "C" __global__ void conv_join_bf16(conv_join_args a) { conv_join<bf16>(a); }
