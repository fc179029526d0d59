// random.cu: Random. Element i is a pure function of (seed, stream, step, i).
//
// What      Philox4x32-10 (Salmon et al., SC 2011) on the counter (block low, step, stream low,
//           stream high ⊕ block high) under the key seed gives four 32-bit words for elements
//           4b…4b+3. uniform: (w + ½)·2⁻³². normal: Giles's inverse error function in double
//           precision.
// Bits      Equal to tensor/rng.go's on every card: integers are integers, and the normal uses IEEE
//           operations that the compiler may not fuse (__dadd_rn, __dmul_rn).
// Threads   One block of four elements a thread.
// Bytes     The result once.
#include "port.h"

struct random_args {
    u64 dst, step; // step: i32 of one element
    u64 seed, stream;
    i64 n;
    i32 normal, pad;
};
ARGS_SIZE(random_args, 48);

struct Words {
    u32 w[4];
};

DEVICE Words philox(u32 c0, u32 c1, u32 c2, u32 c3, u32 k0, u32 k1) {
    const u32 M0 = 0xD2511F53u, M1 = 0xCD9E8D57u; // multipliers of the paper, table 2
    const u32 W0 = 0x9E3779B9u, W1 = 0xBB67AE85u; // Weyl increments: golden ratio, √3−1
    for (int round = 0; round < 10; round++) {
        u32 h0 = __umulhi(M0, c0), l0 = M0 * c0, h1 = __umulhi(M1, c2), l1 = M1 * c2;
        c0 = h1 ^ c1 ^ k0;
        c1 = l1;
        c2 = h0 ^ c3 ^ k1;
        c3 = l0;
        k0 += W0;
        k1 += W1;
    }
    Words r = {{c0, c1, c2, c3}};
    return r;
}

DEVICE double uniform01(u32 w) { return ((double)w + 0.5) * (1.0 / 4294967296.0); } // exact

DEVICE double add(double a, double b) { return __dadd_rn(a, b); }
DEVICE double mul(double a, double b) { return __dmul_rn(a, b); }

const double SQRT2 = 1.41421356237309504880168872420969808;
const double LN2 = 0.693147180559945309417232121458176568;

// log_det is the natural logarithm of a positive, normal x: x = 2ᵉ·m with m in [√½, √2) and
// log m = 2·atanh(s), s = (m−1)/(m+1), a series in s².
DEVICE double log_det(double x) {
    i64 bits = __double_as_longlong(x);
    int e = (int)(bits >> 52) - 1023;
    double m = __longlong_as_double((bits & ((1LL << 52) - 1)) | (1023LL << 52));
    if (m > SQRT2) {
        m = mul(m, 0.5);
        e++;
    }
    double s = __ddiv_rn(add(m, -1.0), add(m, 1.0)), s2 = mul(s, s), p = 0;
    for (int k = 21; k >= 1; k -= 2) {
        p = add(__ddiv_rn(1.0, (double)k), mul(p, s2));
    }
    return add(mul(mul(2.0, s), p), mul((double)e, LN2));
}

DEVICE double std_normal(u32 w) {
    const double central[9] = {2.81022636e-08, 3.43273939e-07,  -3.5233877e-06,
                               -4.39150654e-06, 0.00021858087,  -0.00125372503,
                               -0.00417768164, 0.246640727,     1.50140941};
    const double tail[9] = {-1.44485814e-05, -0.000128422251, 0.00114864253,
                            -0.0034075375,   0.00581355123,   -0.0077129636,
                            0.00942707636,   1.00168177,      2.83297736};
    double x = add(mul(2.0, uniform01(w)), -1.0);
    double t = -log_det(mul(add(1.0, -x), add(1.0, x)));
    bool far = !(t < 5.0);
    t = far ? add(__dsqrt_rn(t), -3.0) : add(t, -2.5);
    double p = far ? tail[0] : central[0];
    for (int k = 1; k < 9; k++) {
        p = add(far ? tail[k] : central[k], mul(p, t));
    }
    return mul(SQRT2, mul(p, x));
}

template <typename T> DEVICE void random_fill(const random_args &a) {
    T *dst = (T *)a.dst;
    u32 step = *(const u32 *)a.step;
    i64 blocks = (a.n + 3) / 4;
    for (i64 b = global_thread(); b < blocks; b += global_threads()) {
        Words r = philox((u32)b, step, (u32)a.stream, (u32)(a.stream >> 32) ^ (u32)(b >> 32),
                         (u32)a.seed, (u32)(a.seed >> 32));
        for (int k = 0; k < 4 && b * 4 + k < a.n; k++) {
            double v = a.normal ? std_normal(r.w[k]) : uniform01(r.w[k]);
            dst[b * 4 + k] = narrow<T>((Acc<T>)v);
        }
    }
}

extern "C" __global__ void random_f32(random_args a) { random_fill<float>(a); }
extern "C" __global__ void random_f64(random_args a) { random_fill<double>(a); }
extern "C" __global__ void random_bf16(random_args a) { random_fill<bf16>(a); }
