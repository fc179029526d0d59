// augment.cu: a batch of uint8 images becomes the network's input in one pass: crop (or pad),
// mirror, normalise, cast.
//
// What      dst[n, i, j, c] = pixel·scale[c] + shift[c], pixel = src[n, i + dy, j' + dx, c], j' = j
//           or, mirrored, W−1−j; black (0) outside the source. place[n] = (dy, dx, mirrored).
// Threads   A thread for each element of the result, channels fastest.
// Bytes     A quarter of what a float image would take over the bus, and no pass of its own.
#include "port.h"

struct augment_args {
    u64 dst, src, place; // place: i32 [N, 3]
    u64 scale, shift;    // f32 [C]
    i32 n, h, w, c;
    i32 src_h, src_w;
};
ARGS_SIZE(augment_args, 64);

template <typename T> DEVICE void augment(const augment_args &a) {
    i64 total = (i64)a.n * a.h * a.w * a.c;
    for (i64 e = global_thread(); e < total; e += global_threads()) {
        i64 pixel = quotient(e, a.c), row = quotient(pixel, a.w), n = quotient(row, a.h);
        i32 c = (i32)(e - pixel * a.c), j = (i32)(pixel - row * a.w), i = (i32)(row - n * a.h);
        const i32 *place = (const i32 *)a.place + 3 * n;
        i32 r = i + place[0], s = (place[2] ? a.w - 1 - j : j) + place[1];
        float v = 0;
        if (r >= 0 && r < a.src_h && s >= 0 && s < a.src_w) {
            v = (float)((const u8 *)a.src)[((n * a.src_h + r) * a.src_w + s) * a.c + c];
        }
        float scale = ((const float *)a.scale)[c], shift = ((const float *)a.shift)[c];
        ((T *)a.dst)[e] = narrow<T>((Acc<T>)fma_of(v, scale, shift));
    }
}

extern "C" __global__ void augment_f32(augment_args a) { augment<float>(a); }
extern "C" __global__ void augment_bf16(augment_args a) { augment<bf16>(a); }
