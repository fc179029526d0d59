// resample.cu: Upsample (nearest neighbour, k×k) and its adjoint. Images are NHWC.
//
// What      y[n, i, j, c] = x[n, i/k, j/k, c];  dx = Σ over the k×k block of dy, in row order
// Threads   A thread for each word of the result, channels fastest. Upsample moves words of W
//           bytes, the widest that a pixel's channels allow.
// Bytes     The small image once from memory, the large image once.
#include "port.h"

struct alignas(16) word16 {
    u64 lo, hi;
};

struct upsample_args {
    u64 large, small;
    i64 c;          // words (upsample) or channels (upsample_grad) of a pixel
    i32 n, h, w, k; // of the small image
};
ARGS_SIZE(upsample_args, 40);

template <typename W> DEVICE void upsample(const upsample_args &a) {
    i64 lw = (i64)a.w * a.k, total = (i64)a.n * a.h * a.k * lw * a.c;
    for (i64 e = global_thread(); e < total; e += global_threads()) {
        i64 pixel = quotient(e, a.c), row = quotient(pixel, lw), c = e - pixel * a.c;
        i64 j = quotient(pixel - row * lw, a.k), i = quotient(row, a.k); // i: of all images
        ((W *)a.large)[e] = ((const W *)a.small)[(i * a.w + j) * a.c + c];
    }
}

extern "C" __global__ void upsample_b1(upsample_args a) { upsample<u8>(a); }
extern "C" __global__ void upsample_b2(upsample_args a) { upsample<u16>(a); }
extern "C" __global__ void upsample_b4(upsample_args a) { upsample<u32>(a); }
extern "C" __global__ void upsample_b8(upsample_args a) { upsample<u64>(a); }
extern "C" __global__ void upsample_b16(upsample_args a) { upsample<word16>(a); }

template <typename T> DEVICE void upsample_grad(const upsample_args &a) {
    typedef Acc<T> A;
    i64 lw = (i64)a.w * a.k, total = (i64)a.n * a.h * a.w * a.c;
    for (i64 e = global_thread(); e < total; e += global_threads()) {
        i64 pixel = quotient(e, a.c), row = quotient(pixel, a.w), c = e - pixel * a.c;
        const T *dy = (const T *)a.large + (row * a.k * lw + (pixel - row * a.w) * a.k) * a.c + c;
        A sum = 0;
        for (i32 u = 0; u < a.k; u++) {
            for (i32 v = 0; v < a.k; v++) {
                sum += widen(dy[(u * lw + v) * a.c]);
            }
        }
        ((T *)a.small)[e] = narrow<T>(sum);
    }
}

extern "C" __global__ void upsample_grad_f32(upsample_args a) { upsample_grad<float>(a); }
extern "C" __global__ void upsample_grad_f64(upsample_args a) { upsample_grad<double>(a); }
extern "C" __global__ void upsample_grad_bf16(upsample_args a) { upsample_grad<bf16>(a); }
