// optim.cu: SGD, Adam, Lerp, Blend, a factor and the squared norm over many tensors in one launch.
//
// What      sgd    g += wd·p;  buf = momentum·buf + g;  p −= lr·(nesterov ? g + momentum·buf : buf)
//           adam   p −= lr·wd·p;  m = β₁·m + (1−β₁)·g;  v = β₂·v + (1−β₂)·g²
//                  p −= lr · m/(1−β₁ᵗ) / (√(v/(1−β₂ᵗ)) + eps)
//           lerp   dst += (1 − decay)·(src − dst)
//           blend  dst = keep·dst + add·src, both given for each tensor
//           scale  dst = factor·src
//           squared_norm  parts[chunk] = Σ x² over the chunk; a reduction adds the parts
//           lr, decay, factor and t (i32) are read from device memory, so that a captured graph
//           replays with new ones.
// Threads   The argument struct holds a table of tensors; each is cut into chunks of 4,096 elements
//           and blockIdx.x counts chunks: a block finds its tensor by bisection. One launch serves
//           a whole network, whatever the sizes of its tensors.
// Bytes     Each of p, g and the state once in, p and the state once out.
#include "port.h"

const int OPTIM_CHUNK = 4096;

// locate returns the tensor whose chunks include block number at: first[i] is tensor i's first.
DEVICE int locate(const i32 *first, int count, int at) {
    int lo = 0, hi = count; // first[lo] <= at < first[hi]
    while (hi - lo > 1) {
        int mid = (lo + hi) / 2;
        if (first[mid] <= at) {
            lo = mid;
        } else {
            hi = mid;
        }
    }
    return lo;
}

// each_element calls f(i) for the elements of the block's chunk.
template <typename F> DEVICE void each_element(i64 n, int chunk, F f) {
    i64 from = (i64)chunk * OPTIM_CHUNK, to = min64(from + OPTIM_CHUNK, n);
    for (i64 i = from + threadIdx.x; i < to; i += blockDim.x) {
        f(i);
    }
}

const int SGD_TENSORS = 100;

struct sgd_args {
    u64 lr;
    double momentum, weight_decay;
    i32 nesterov, count;
    u64 p[SGD_TENSORS], g[SGD_TENSORS], buf[SGD_TENSORS]; // buf[i] is 0 without momentum
    i64 n[SGD_TENSORS];
    i32 first[SGD_TENSORS];
};
ARGS_SIZE(sgd_args, 3632);

// Sgd is a step with what all elements share.
template <typename A> struct Sgd {
    A lr, momentum, decay;
    bool nesterov;
    // moved returns where the gradient g takes p; buf is null without momentum.
    DEVICE A moved(A p, A g, A *buf) const {
        A d = fma_of(decay, p, g), step = d;
        if (buf) {
            A b = fma_of(momentum, *buf, d);
            *buf = b;
            step = nesterov ? fma_of(momentum, b, d) : b;
        }
        return fma_of(-lr, step, p);
    }
};

template <typename A, typename Args> DEVICE Sgd<A> sgd_of(const Args &a) {
    Sgd<A> s = {(A) * (const float *)a.lr, (A)a.momentum, (A)a.weight_decay, a.nesterov != 0};
    return s;
}

template <typename A> DEVICE void sgd(const sgd_args &a) {
    int t = locate(a.first, a.count, blockIdx.x);
    A *p = (A *)a.p[t], *buf = (A *)a.buf[t];
    const A *g = (const A *)a.g[t];
    Sgd<A> step = sgd_of<A>(a);
    each_element(a.n[t], blockIdx.x - a.first[t],
                 [=](i64 i) { p[i] = step.moved(p[i], g[i], buf ? buf + i : 0); });
}

extern "C" __global__ void sgd_f32(sgd_args a) { sgd<float>(a); }
extern "C" __global__ void sgd_f64(sgd_args a) { sgd<double>(a); }

const int ADAM_TENSORS = 80;

struct adam_args {
    u64 lr, step;
    double beta1, beta2, eps, weight_decay;
    u64 p[ADAM_TENSORS], g[ADAM_TENSORS], m[ADAM_TENSORS], v[ADAM_TENSORS];
    i64 n[ADAM_TENSORS];
    i32 first[ADAM_TENSORS];
    i32 count, pad;
};
ARGS_SIZE(adam_args, 3576);

// Adam is a step with what all elements share.
template <typename A> struct Adam {
    A lr, keep, b1, b2, r1, r2, c1, c2, eps;
    // moved returns where the gradient g takes p.
    DEVICE A moved(A p, A g, A *m, A *v) const {
        A m1 = fma_of(r1, g, b1 * *m), v1 = fma_of(r2 * g, g, b2 * *v);
        *m = m1;
        *v = v1;
        return fma_of(p, keep, -lr * (m1 / c1) / (sqrt_of(v1 / c2) + eps));
    }
};

// adam_of is called by all threads of a block.
template <typename A, typename Args> DEVICE Adam<A> adam_of(const Args &a) {
    __shared__ A corrections[2];
    if (threadIdx.x == 0) { // 1 − βᵗ cancels for small t: in double, once a block
        double t = (double)*(const i32 *)a.step;
        corrections[0] = (A)(1 - pow(a.beta1, t));
        corrections[1] = (A)(1 - pow(a.beta2, t));
    }
    __syncthreads();
    A lr = (A) * (const float *)a.lr;
    Adam<A> s = {lr,
                 1 - lr * (A)a.weight_decay,
                 (A)a.beta1,
                 (A)a.beta2,
                 (A)(1 - a.beta1),
                 (A)(1 - a.beta2),
                 corrections[0],
                 corrections[1],
                 (A)a.eps};
    return s;
}

template <typename A> DEVICE void adam(const adam_args &a) {
    Adam<A> step = adam_of<A>(a);
    int t = locate(a.first, a.count, blockIdx.x);
    A *p = (A *)a.p[t], *m = (A *)a.m[t], *v = (A *)a.v[t];
    const A *g = (const A *)a.g[t];
    each_element(a.n[t], blockIdx.x - a.first[t],
                 [=](i64 i) { p[i] = step.moved(p[i], g[i], m + i, v + i); });
}

extern "C" __global__ void adam_f32(adam_args a) { adam<float>(a); }
extern "C" __global__ void adam_f64(adam_args a) { adam<double>(a); }

const int PAIR_TENSORS = 140;

struct pairs_args {
    u64 scalar; // decay, f32, or factor, of the tensors' type
    u64 dst[PAIR_TENSORS], src[PAIR_TENSORS];
    i64 n[PAIR_TENSORS];
    i32 first[PAIR_TENSORS];
    i32 count, pad;
};
ARGS_SIZE(pairs_args, 3936);

template <typename A> DEVICE void lerp(const pairs_args &a) {
    int t = locate(a.first, a.count, blockIdx.x);
    A *dst = (A *)a.dst[t];
    const A *src = (const A *)a.src[t];
    A rate = (A)(1 - (double)*(const float *)a.scalar);
    each_element(a.n[t], blockIdx.x - a.first[t],
                 [=](i64 i) { dst[i] = fma_of(rate, src[i] - dst[i], dst[i]); });
}

extern "C" __global__ void lerp_f32(pairs_args a) { lerp<float>(a); }
extern "C" __global__ void lerp_f64(pairs_args a) { lerp<double>(a); }

template <typename A> DEVICE void scale(const pairs_args &a) {
    int t = locate(a.first, a.count, blockIdx.x);
    A *dst = (A *)a.dst[t];
    const A *src = (const A *)a.src[t];
    A factor = *(const A *)a.scalar;
    each_element(a.n[t], blockIdx.x - a.first[t], [=](i64 i) { dst[i] = factor * src[i]; });
}

extern "C" __global__ void scale_f32(pairs_args a) { scale<float>(a); }
extern "C" __global__ void scale_f64(pairs_args a) { scale<double>(a); }

const int BLEND_TENSORS = 80;

struct blend_args {
    u64 dst[BLEND_TENSORS], src[BLEND_TENSORS];
    double keep[BLEND_TENSORS], add[BLEND_TENSORS];
    i64 n[BLEND_TENSORS];
    i32 first[BLEND_TENSORS];
    i32 count, pad;
};
ARGS_SIZE(blend_args, 3528);

template <typename A> DEVICE void blend(const blend_args &a) {
    int t = locate(a.first, a.count, blockIdx.x);
    A *dst = (A *)a.dst[t];
    const A *src = (const A *)a.src[t];
    A keep = (A)a.keep[t], add = (A)a.add[t];
    each_element(a.n[t], blockIdx.x - a.first[t], [=](i64 i) {
        A x = add * src[i];
        dst[i] = keep == 0 ? x : fma_of(keep, dst[i], x);
    });
}

extern "C" __global__ void blend_f32(blend_args a) { blend<float>(a); }
extern "C" __global__ void blend_f64(blend_args a) { blend<double>(a); }

const int NORM_TENSORS = 200;

struct squared_norm_args {
    u64 parts; // the sum of each chunk
    u64 x[NORM_TENSORS];
    i64 n[NORM_TENSORS];
    i32 first[NORM_TENSORS];
    i32 count, pad;
};
ARGS_SIZE(squared_norm_args, 4016);

template <typename A> DEVICE void squared_norm(const squared_norm_args &a) {
    __shared__ A room[WARP];
    int t = locate(a.first, a.count, blockIdx.x);
    const A *x = (const A *)a.x[t];
    A sum = 0;
    each_element(a.n[t], blockIdx.x - a.first[t], [&](i64 i) { sum = fma_of(x[i], x[i], sum); });
    sum = block_fold<AddFold>(sum, room);
    if (threadIdx.x == 0) {
        ((A *)a.parts)[blockIdx.x] = sum;
    }
}

extern "C" __global__ void squared_norm_f32(squared_norm_args a) { squared_norm<float>(a); }
extern "C" __global__ void squared_norm_f64(squared_norm_args a) { squared_norm<double>(a); }

// ---- mixed precision: the same steps, to the bit, with float masters beside what a step also
// needs. g is float or bfloat16; where shadow is not 0, the new p also goes there as bfloat16, which
// is what the next forward pass reads.

const int SGD_MIXED_TENSORS = 90;

struct sgd_mixed_args {
    u64 lr; // f32 of one element
    double momentum, weight_decay;
    u64 p[SGD_MIXED_TENSORS], g[SGD_MIXED_TENSORS], buf[SGD_MIXED_TENSORS];
    u64 shadow[SGD_MIXED_TENSORS];
    i64 n[SGD_MIXED_TENSORS];
    i32 first[SGD_MIXED_TENSORS];
    i32 nesterov, count;
};
ARGS_SIZE(sgd_mixed_args, 3992);

template <typename G> DEVICE void sgd_mixed(const sgd_mixed_args &a) {
    int t = locate(a.first, a.count, blockIdx.x);
    float *p = (float *)a.p[t], *buf = (float *)a.buf[t];
    bf16 *shadow = (bf16 *)a.shadow[t];
    const G *g = (const G *)a.g[t];
    Sgd<float> step = sgd_of<float>(a);
    each_element(a.n[t], blockIdx.x - a.first[t], [=](i64 i) {
        float next = step.moved(p[i], widen(g[i]), buf ? buf + i : 0);
        p[i] = next;
        if (shadow) {
            shadow[i] = narrow<bf16>(next);
        }
    });
}

extern "C" __global__ void sgd_mixed_f32(sgd_mixed_args a) { sgd_mixed<float>(a); }
extern "C" __global__ void sgd_mixed_bf16(sgd_mixed_args a) { sgd_mixed<bf16>(a); }

const int ADAM_MIXED_TENSORS = 76;

struct adam_mixed_args {
    u64 lr, step;
    double beta1, beta2, eps, weight_decay;
    u64 p[ADAM_MIXED_TENSORS], g[ADAM_MIXED_TENSORS], m[ADAM_MIXED_TENSORS], v[ADAM_MIXED_TENSORS];
    u64 shadow[ADAM_MIXED_TENSORS];
    i64 n[ADAM_MIXED_TENSORS];
    i32 first[ADAM_MIXED_TENSORS];
    i32 count, pad;
};
ARGS_SIZE(adam_mixed_args, 4008);

template <typename G> DEVICE void adam_mixed(const adam_mixed_args &a) {
    Adam<float> step = adam_of<float>(a);
    int t = locate(a.first, a.count, blockIdx.x);
    float *p = (float *)a.p[t], *m = (float *)a.m[t], *v = (float *)a.v[t];
    bf16 *shadow = (bf16 *)a.shadow[t];
    const G *g = (const G *)a.g[t];
    each_element(a.n[t], blockIdx.x - a.first[t], [=](i64 i) {
        float next = step.moved(p[i], widen(g[i]), m + i, v + i);
        p[i] = next;
        if (shadow) {
            shadow[i] = narrow<bf16>(next);
        }
    });
}

extern "C" __global__ void adam_mixed_f32(adam_mixed_args a) { adam_mixed<float>(a); }
extern "C" __global__ void adam_mixed_bf16(adam_mixed_args a) { adam_mixed<bf16>(a); }
