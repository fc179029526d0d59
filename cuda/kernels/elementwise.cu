// elementwise.cu: Fill, Cast, Unary, Binary, Select, AddReLUMask.
//
// What      dst[i] = f(x[i], …), every element on its own.
// Threads   A grid-stride loop in which a thread moves 16 bytes at a time where all operands are
//           aligned; the rest, and operands that are not, go element by element. With broadcasting,
//           a thread computes the operands' offsets from its element's index.
// Bytes     Each operand once: a kernel here is as fast as memory, whatever it computes.
#include "port.h"

// ---- Fill: a pattern of 1, 2, 4 or 8 bytes

struct fill_args {
    u64 dst;
    i64 n;
    u64 pattern; // the element's bits, lowest first
};
ARGS_SIZE(fill_args, 24);

template <typename W> DEVICE void fill(const fill_args &a) {
    W *dst = (W *)a.dst;
    W v = (W)a.pattern;
    const int N = PACK<W>;
    i64 packs = aligned16(a.dst) ? a.n / N : 0;
    Pack<W, N> all;
    for (int k = 0; k < N; k++) {
        all.v[k] = v;
    }
    for (i64 i = global_thread(); i < packs; i += global_threads()) {
        store_pack<N>(dst + i * N, all);
    }
    for (i64 i = packs * N + global_thread(); i < a.n; i += global_threads()) {
        dst[i] = v;
    }
}

extern "C" __global__ void fill_b1(fill_args a) { fill<u8>(a); }
extern "C" __global__ void fill_b2(fill_args a) { fill<u16>(a); }
extern "C" __global__ void fill_b4(fill_args a) { fill<u32>(a); }
extern "C" __global__ void fill_b8(fill_args a) { fill<u64>(a); }

// ---- Unary. map applies f to every element.

struct unary_args {
    u64 dst, x;
    i64 n;
    double a, b; // attributes
    i32 op;      // tensor.UnaryOp
    i32 pad;
};
ARGS_SIZE(unary_args, 48);

template <typename T, typename F> DEVICE void map(const unary_args &a, F f) {
    T *dst = (T *)a.dst;
    const T *x = (const T *)a.x;
    const int N = PACK<T>;
    i64 packs = aligned16(a.dst | a.x) ? a.n / N : 0;
    for (i64 i = global_thread(); i < packs; i += global_threads()) {
        Pack<T, N> p = load_pack<N>(x + i * N);
        for (int k = 0; k < N; k++) {
            p.v[k] = narrow<T>(f(widen(p.v[k])));
        }
        store_pack<N>(dst + i * N, p);
    }
    for (i64 i = packs * N + global_thread(); i < a.n; i += global_threads()) {
        dst[i] = narrow<T>(f(widen(x[i])));
    }
}

// The long ones are functions of their own: inlined eight times in each of three types they would
// make most of this file's machine code, and a call is cheap beside them.
__device__ __noinline__ float tanh_of(float x) { return tanhf(x); }
__device__ __noinline__ double tanh_of(double x) { return tanh(x); }
__device__ __noinline__ float log1p_of(float x) { return log1pf(x); }
__device__ __noinline__ double log1p_of(double x) { return log1p(x); }
__device__ __noinline__ float pow_of(float x, float a) { return powf(x, a); }
__device__ __noinline__ double pow_of(double x, double a) { return pow(x, a); }
__device__ __noinline__ float erf_of(float x) { return erff(x); }
__device__ __noinline__ double erf_of(double x) { return erf(x); }
DEVICE float abs_of(float x) { return fabsf(x); }
DEVICE double abs_of(double x) { return fabs(x); }

// sigmoid never raises e to a positive power, so it keeps its relative accuracy on both sides.
template <typename A> DEVICE A sigmoid(A x) {
    A e = exp_of(x < 0 ? x : -x);
    return x < 0 ? e / (1 + e) : 1 / (1 + e);
}

enum UnaryOp { // in the order of tensor.UnaryOp
    NEG, ABS, SIGN, STEP, EXP, LOG, SQRT, RSQRT, RECIP, SQUARE, TANH, SIGMOID, SOFTPLUS, RELU,
    LEAKY_RELU, CLAMP, AFFINE, POW, ERF, IN_RANGE
};

template <typename T> DEVICE void unary(const unary_args &p) {
    typedef Acc<T> A;
    A a = (A)p.a, b = (A)p.b;
    switch (p.op) {
    case NEG: return map<T>(p, [](A x) { return -x; });
    case ABS: return map<T>(p, [](A x) { return abs_of(x); });
    case SIGN: return map<T>(p, [](A x) { return (A)((x > 0) - (x < 0)); });
    case STEP: return map<T>(p, [](A x) { return (A)(x > 0); });
    case EXP: return map<T>(p, [](A x) { return exp_of(x); });
    case LOG: return map<T>(p, [](A x) { return log_of(x); });
    case SQRT: return map<T>(p, [](A x) { return sqrt_of(x); });
    case RSQRT: return map<T>(p, [](A x) { return 1 / sqrt_of(x); });
    case RECIP: return map<T>(p, [](A x) { return 1 / x; });
    case SQUARE: return map<T>(p, [](A x) { return x * x; });
    case TANH: return map<T>(p, [](A x) { return tanh_of(x); });
    case SIGMOID: return map<T>(p, [](A x) { return sigmoid(x); });
    case SOFTPLUS:
        return map<T>(p, [](A x) { return larger(x, (A)0) + log1p_of(exp_of(-abs_of(x))); });
    case RELU: return map<T>(p, [](A x) { return larger(x, (A)0); });
    case LEAKY_RELU: return map<T>(p, [=](A x) { return x > 0 ? x : a * x; });
    case CLAMP: return map<T>(p, [=](A x) { return smaller(larger(x, a), b); });
    case AFFINE: return map<T>(p, [=](A x) { return fma_of(a, x, b); });
    case POW: return map<T>(p, [=](A x) { return pow_of(x, a); });
    case ERF: return map<T>(p, [](A x) { return erf_of(x); });
    case IN_RANGE: return map<T>(p, [=](A x) { return (A)(a < x && x < b); });
    }
}

extern "C" __global__ void unary_f32(unary_args a) { unary<float>(a); }
extern "C" __global__ void unary_f64(unary_args a) { unary<double>(a); }
extern "C" __global__ void unary_bf16(unary_args a) { unary<bf16>(a); }

// ---- Binary. zip applies f to pairs. In the flat form an operand advances with dst or is one
// element; in the strided form every axis has a stride, 0 where the operand is broadcast.

struct binary_args {
    u64 dst, x, y;
    i64 n;
    i64 sx[MAX_RANK], sy[MAX_RANK]; // strides in elements, outermost first
    i32 shape[MAX_RANK];
    i32 rank; // 0: the flat form, with sx[0] and sy[0] 0 or 1
    i32 op;   // tensor.BinaryOp
};
ARGS_SIZE(binary_args, 200);

template <typename T, typename F> DEVICE void zip_flat(const binary_args &a, F f) {
    T *dst = (T *)a.dst;
    const T *x = (const T *)a.x, *y = (const T *)a.y;
    i64 sx = a.sx[0], sy = a.sy[0];
    const int N = PACK<T>;
    bool aligned = aligned16(a.dst | (sx ? a.x : 0) | (sy ? a.y : 0));
    i64 packs = aligned ? a.n / N : 0;
    for (i64 i = global_thread(); i < packs; i += global_threads()) {
        Pack<T, N> p, q;
        if (sx) {
            p = load_pack<N>(x + i * N);
        }
        if (sy) {
            q = load_pack<N>(y + i * N);
        }
        for (int k = 0; k < N; k++) {
            p.v[k] = narrow<T>(f(widen(sx ? p.v[k] : x[0]), widen(sy ? q.v[k] : y[0])));
        }
        store_pack<N>(dst + i * N, p);
    }
    for (i64 i = packs * N + global_thread(); i < a.n; i += global_threads()) {
        dst[i] = narrow<T>(f(widen(x[i * sx]), widen(y[i * sy])));
    }
}

template <typename T, typename F> DEVICE void zip_strided(const binary_args &a, F f) {
    T *dst = (T *)a.dst;
    const T *x = (const T *)a.x, *y = (const T *)a.y;
    for (i64 i = global_thread(); i < a.n; i += global_threads()) {
        i64 rest = i, xo = 0, yo = 0;
        for (int k = a.rank - 1; k > 0; k--) {
            i64 q = quotient(rest, a.shape[k]), at = rest - q * a.shape[k];
            xo += at * a.sx[k];
            yo += at * a.sy[k];
            rest = q;
        }
        xo += rest * a.sx[0];
        yo += rest * a.sy[0];
        dst[i] = narrow<T>(f(widen(x[xo]), widen(y[yo])));
    }
}

template <typename T, typename F> DEVICE void zip(const binary_args &a, F f) {
    if (a.rank == 0) {
        zip_flat<T>(a, f);
    } else {
        zip_strided<T>(a, f);
    }
}

enum BinaryOp { // in the order of tensor.BinaryOp
    ADD, SUB, MUL, DIV, MAX, MIN, GREATER, EQUAL, RELU_MASK
};

template <typename T> DEVICE void binary(const binary_args &a) {
    typedef Acc<T> A;
    switch (a.op) {
    case ADD: return zip<T>(a, [](A x, A y) { return x + y; });
    case SUB: return zip<T>(a, [](A x, A y) { return x - y; });
    case MUL: return zip<T>(a, [](A x, A y) { return x * y; });
    case DIV: return zip<T>(a, [](A x, A y) { return x / y; });
    case MAX: return zip<T>(a, [](A x, A y) { return larger(x, y); });
    case MIN: return zip<T>(a, [](A x, A y) { return smaller(x, y); });
    case GREATER: return zip<T>(a, [](A x, A y) { return (A)(x > y); });
    case EQUAL: return zip<T>(a, [](A x, A y) { return (A)(x == y); });
    case RELU_MASK: return zip<T>(a, [](A x, A y) { return y > 0 ? x : (A)0; });
    }
}

extern "C" __global__ void binary_f32(binary_args a) { binary<float>(a); }
extern "C" __global__ void binary_f64(binary_args a) { binary<double>(a); }
extern "C" __global__ void binary_bf16(binary_args a) { binary<bf16>(a); }

// ---- Select: dst = cond ≠ 0 ? x : y; a NaN condition is ≠ 0.

struct select_args {
    u64 dst, cond, x, y;
    i64 n;
};
ARGS_SIZE(select_args, 40);

template <typename T> DEVICE void select(const select_args &a) {
    T *dst = (T *)a.dst;
    const T *c = (const T *)a.cond, *x = (const T *)a.x, *y = (const T *)a.y;
    const int N = PACK<T>;
    i64 packs = aligned16(a.dst | a.cond | a.x | a.y) ? a.n / N : 0;
    for (i64 i = global_thread(); i < packs; i += global_threads()) {
        Pack<T, N> cp = load_pack<N>(c + i * N), p = load_pack<N>(x + i * N),
                   q = load_pack<N>(y + i * N);
        for (int k = 0; k < N; k++) {
            p.v[k] = widen(cp.v[k]) != 0 ? p.v[k] : q.v[k];
        }
        store_pack<N>(dst + i * N, p);
    }
    for (i64 i = packs * N + global_thread(); i < a.n; i += global_threads()) {
        dst[i] = widen(c[i]) != 0 ? x[i] : y[i];
    }
}

extern "C" __global__ void select_f32(select_args a) { select<float>(a); }
extern "C" __global__ void select_f64(select_args a) { select<double>(a); }
extern "C" __global__ void select_bf16(select_args a) { select<bf16>(a); }

// ---- AddReLUMask: dx = y > 0 ? a + b : 0, dx perhaps a or b; the sum is rounded to T.

struct add_relu_mask_args {
    u64 dx, a, b, y;
    i64 n;
};
ARGS_SIZE(add_relu_mask_args, 40);

template <typename T> DEVICE void add_relu_mask(const add_relu_mask_args &a) {
    T *dx = (T *)a.dx;
    const T *p = (const T *)a.a, *q = (const T *)a.b, *y = (const T *)a.y;
    const int N = PACK<T>;
    i64 packs = aligned16(a.dx | a.a | a.b | a.y) ? a.n / N : 0;
    for (i64 i = global_thread(); i < packs; i += global_threads()) {
        Pack<T, N> pp = load_pack<N>(p + i * N), qp = load_pack<N>(q + i * N),
                   yp = load_pack<N>(y + i * N);
        for (int k = 0; k < N; k++) {
            Acc<T> sum = widen(pp.v[k]) + widen(qp.v[k]);
            pp.v[k] = narrow<T>(widen(yp.v[k]) > 0 ? sum : (Acc<T>)0);
        }
        store_pack<N>(dx + i * N, pp);
    }
    for (i64 i = packs * N + global_thread(); i < a.n; i += global_threads()) {
        Acc<T> sum = widen(p[i]) + widen(q[i]);
        dx[i] = narrow<T>(widen(y[i]) > 0 ? sum : (Acc<T>)0);
    }
}

extern "C" __global__ void add_relu_mask_f32(add_relu_mask_args a) { add_relu_mask<float>(a); }
extern "C" __global__ void add_relu_mask_f64(add_relu_mask_args a) { add_relu_mask<double>(a); }
extern "C" __global__ void add_relu_mask_bf16(add_relu_mask_args a) { add_relu_mask<bf16>(a); }

// ---- Cast: to integers truncates and saturates, NaN becomes 0; to floats rounds to nearest even.

struct cast_args {
    u64 dst, x;
    i64 n;
};
ARGS_SIZE(cast_args, 24);

DEVICE double as_double(float x) { return (double)x; }
DEVICE double as_double(double x) { return x; }
DEVICE double as_double(bf16 x) { return (double)widen(x); }
DEVICE double as_double(i32 x) { return (double)x; }
DEVICE double as_double(u8 x) { return (double)x; }

DEVICE double saturated(double v, double lo, double hi) {
    return v != v ? 0 : v < lo ? lo : v > hi ? hi : v;
}

template <typename D> struct Convert {
    template <typename S> static DEVICE D from(S x) { return (D)as_double(x); }
};
template <> struct Convert<float> { // without the detour, where the detour changes nothing
    static DEVICE float from(bf16 x) { return widen(x); }
    static DEVICE float from(double x) { return (float)x; }
    static DEVICE float from(i32 x) { return (float)x; }
    static DEVICE float from(u8 x) { return (float)x; }
};
template <> struct Convert<bf16> {
    template <typename S> static DEVICE bf16 from(S x) { return narrow<bf16>((float)x); }
};
template <> struct Convert<i32> {
    template <typename S> static DEVICE i32 from(S x) {
        return (i32)saturated(as_double(x), -2147483648.0, 2147483647.0);
    }
    static DEVICE i32 from(u8 x) { return (i32)x; }
};
template <> struct Convert<u8> {
    template <typename S> static DEVICE u8 from(S x) {
        return (u8)saturated(as_double(x), 0.0, 255.0);
    }
};

// A thread converts four neighbours: 4 bytes of U8 are still one load.
template <typename D, typename S> DEVICE void cast(const cast_args &a) {
    D *dst = (D *)a.dst;
    const S *x = (const S *)a.x;
    const int N = sizeof(D) > 4 || sizeof(S) > 4 ? 2 : 4;
    i64 packs = aligned16(a.dst | a.x) ? a.n / N : 0;
    for (i64 i = global_thread(); i < packs; i += global_threads()) {
        Pack<S, N> p = load_pack<N>(x + i * N);
        Pack<D, N> q;
        for (int k = 0; k < N; k++) {
            q.v[k] = Convert<D>::from(p.v[k]);
        }
        store_pack<N>(dst + i * N, q);
    }
    for (i64 i = packs * N + global_thread(); i < a.n; i += global_threads()) {
        dst[i] = Convert<D>::from(x[i]);
    }
}

extern "C" __global__ void cast_f32_f64(cast_args a) { cast<float, double>(a); }
extern "C" __global__ void cast_f32_bf16(cast_args a) { cast<float, bf16>(a); }
extern "C" __global__ void cast_f32_i32(cast_args a) { cast<float, i32>(a); }
extern "C" __global__ void cast_f32_u8(cast_args a) { cast<float, u8>(a); }
extern "C" __global__ void cast_f64_f32(cast_args a) { cast<double, float>(a); }
extern "C" __global__ void cast_f64_bf16(cast_args a) { cast<double, bf16>(a); }
extern "C" __global__ void cast_f64_i32(cast_args a) { cast<double, i32>(a); }
extern "C" __global__ void cast_f64_u8(cast_args a) { cast<double, u8>(a); }
extern "C" __global__ void cast_bf16_f32(cast_args a) { cast<bf16, float>(a); }
extern "C" __global__ void cast_bf16_f64(cast_args a) { cast<bf16, double>(a); }
extern "C" __global__ void cast_bf16_i32(cast_args a) { cast<bf16, i32>(a); }
extern "C" __global__ void cast_bf16_u8(cast_args a) { cast<bf16, u8>(a); }
extern "C" __global__ void cast_i32_f32(cast_args a) { cast<i32, float>(a); }
extern "C" __global__ void cast_i32_f64(cast_args a) { cast<i32, double>(a); }
extern "C" __global__ void cast_i32_bf16(cast_args a) { cast<i32, bf16>(a); }
extern "C" __global__ void cast_i32_u8(cast_args a) { cast<i32, u8>(a); }
extern "C" __global__ void cast_u8_f32(cast_args a) { cast<u8, float>(a); }
extern "C" __global__ void cast_u8_f64(cast_args a) { cast<u8, double>(a); }
extern "C" __global__ void cast_u8_bf16(cast_args a) { cast<u8, bf16>(a); }
extern "C" __global__ void cast_u8_i32(cast_args a) { cast<u8, i32>(a); }
