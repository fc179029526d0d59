// spectral.cu: one power iteration for every spectrally normalised layer of a network at once.
//
// What      For each W [R, C] with its stored u [R]:
//             v = Wᵀu / max(‖Wᵀu‖, eps),  u' = Wv / max(‖Wv‖, eps),  σ = u'ᵀWv
//           and, if asked for, W̄ = W/σ (Miyato et al., ICLR 2018, algorithm 1).
// Threads   Four launches, each over all layers: Wᵀu by tiles of 32 columns (8 row lanes), ‖v‖ by a
//           block for each layer, Wv by a warp for each row, ‖u'‖ and σ by a block for each layer.
//           A block finds its layer in the table that its arguments carry.
// Bytes     W twice (thrice with W̄); launches 4, not 4 for each layer, which is what BigGAN's
//           forty small layers need.
#include "port.h"

const int SPECTRAL_TENSORS = 72;

struct spectral_args {
    double eps;
    u64 w[SPECTRAL_TENSORS], u[SPECTRAL_TENSORS], v[SPECTRAL_TENSORS]; // v: scratch and result
    u64 u_out[SPECTRAL_TENSORS], sigma[SPECTRAL_TENSORS];              // u_out may be u
    i32 rows[SPECTRAL_TENSORS], cols[SPECTRAL_TENSORS];
    i32 first[SPECTRAL_TENSORS]; // each layer's first block
    i32 count, pad;
};
ARGS_SIZE(spectral_args, 3760);

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

template <typename A> DEVICE void spectral_columns(const spectral_args &a) {
    const int LANES = 8;
    __shared__ A part[LANES][WARP];
    int t = locate(a.first, a.count, blockIdx.x);
    i64 cols = a.cols[t], c = (i64)(blockIdx.x - a.first[t]) * WARP + threadIdx.x;
    const A *w = (const A *)a.w[t], *u = (const A *)a.u[t];
    A sum = 0;
    for (i32 r = threadIdx.y; c < cols && r < a.rows[t]; r += LANES) {
        sum = fma_of(w[r * cols + c], u[r], sum);
    }
    part[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y == 0 && c < cols) {
        for (int k = 1; k < LANES; k++) {
            sum += part[k][threadIdx.x];
        }
        ((A *)a.v[t])[c] = sum;
    }
}

extern "C" __global__ void spectral_columns_f32(spectral_args a) { spectral_columns<float>(a); }
extern "C" __global__ void spectral_columns_f64(spectral_args a) { spectral_columns<double>(a); }

// norm_of returns max(‖x‖, eps) to every thread of the block.
template <typename A> DEVICE A norm_of(const A *x, i32 n, A eps, A *room) {
    A sum = 0;
    for (i32 i = threadIdx.x; i < n; i += blockDim.x) {
        sum = fma_of(x[i], x[i], sum);
    }
    return larger(sqrt_of(block_fold<AddFold>(sum, room)), eps);
}

template <typename A> DEVICE void spectral_normalise(const spectral_args &a) {
    __shared__ A room[WARP];
    A *v = (A *)a.v[blockIdx.x];
    i32 n = a.cols[blockIdx.x];
    A norm = norm_of(v, n, (A)a.eps, room);
    for (i32 i = threadIdx.x; i < n; i += blockDim.x) {
        v[i] /= norm;
    }
}

extern "C" __global__ void spectral_normalise_f32(spectral_args a) { spectral_normalise<float>(a); }
extern "C" __global__ void spectral_normalise_f64(spectral_args a) {
    spectral_normalise<double>(a);
}

template <typename A> DEVICE void spectral_rows(const spectral_args &a) {
    int t = locate(a.first, a.count, blockIdx.x), lane = threadIdx.x % WARP;
    i32 r = (blockIdx.x - a.first[t]) * (blockDim.x / WARP) + threadIdx.x / WARP;
    if (r >= a.rows[t]) {
        return; // a whole warp leaves; there is no barrier behind
    }
    const A *w = (const A *)a.w[t] + (i64)r * a.cols[t], *v = (const A *)a.v[t];
    A sum = 0;
    for (i32 c = lane; c < a.cols[t]; c += WARP) {
        sum = fma_of(w[c], v[c], sum);
    }
    sum = warp_fold<AddFold>(sum);
    if (lane == 0) {
        ((A *)a.u_out[t])[r] = sum;
    }
}

extern "C" __global__ void spectral_rows_f32(spectral_args a) { spectral_rows<float>(a); }
extern "C" __global__ void spectral_rows_f64(spectral_args a) { spectral_rows<double>(a); }

template <typename A> DEVICE void spectral_finish(const spectral_args &a) {
    __shared__ A room[WARP];
    A *u = (A *)a.u_out[blockIdx.x];
    i32 n = a.rows[blockIdx.x];
    A norm = norm_of(u, n, (A)a.eps, room), sigma = 0;
    for (i32 i = threadIdx.x; i < n; i += blockDim.x) {
        A wv = u[i], unit = wv / norm;
        sigma = fma_of(unit, wv, sigma);
        u[i] = unit;
    }
    sigma = block_fold<AddFold>(sigma, room);
    if (threadIdx.x == 0) {
        *(A *)a.sigma[blockIdx.x] = sigma;
    }
}

extern "C" __global__ void spectral_finish_f32(spectral_args a) { spectral_finish<float>(a); }
extern "C" __global__ void spectral_finish_f64(spectral_args a) { spectral_finish<double>(a); }

// ---- W̄ = W/σ over all layers; a float W may become bfloat16 on the way

const int DIVIDE_TENSORS = 100;
const int DIVIDE_CHUNK = 4096;

struct spectral_divide_args {
    u64 dst[DIVIDE_TENSORS], w[DIVIDE_TENSORS], sigma[DIVIDE_TENSORS];
    i64 n[DIVIDE_TENSORS];
    i32 first[DIVIDE_TENSORS];
    i32 count, pad;
};
ARGS_SIZE(spectral_divide_args, 3608);

template <typename D, typename A> DEVICE void spectral_divide(const spectral_divide_args &a) {
    int t = locate(a.first, a.count, blockIdx.x);
    D *dst = (D *)a.dst[t];
    const A *w = (const A *)a.w[t];
    A sigma = *(const A *)a.sigma[t];
    i64 from = (i64)(blockIdx.x - a.first[t]) * DIVIDE_CHUNK;
    i64 to = min64(from + DIVIDE_CHUNK, a.n[t]);
    for (i64 i = from + threadIdx.x; i < to; i += blockDim.x) {
        dst[i] = narrow<D>(w[i] / sigma);
    }
}

extern "C" __global__ void spectral_divide_f32(spectral_divide_args a) {
    spectral_divide<float, float>(a);
}
extern "C" __global__ void spectral_divide_f64(spectral_divide_args a) {
    spectral_divide<double, double>(a);
}
extern "C" __global__ void spectral_divide_bf16(spectral_divide_args a) {
    spectral_divide<bf16, float>(a);
}

// ---- the gradients of quotients W/σ for W: dw = dy/σ − ⟨dy, w⟩/σ²·uvᵀ, over all layers. dy may be
// bfloat16 beside float.
//
// Two launches: the products' sums over chunks, then dw; each block of the second adds all chunks
// of its layer up in the same order, which is a few hundred numbers from cache.

const int SPECTRAL_GRAD_TENSORS = 62;

struct spectral_grad_args {
    u64 part; // a sum for each chunk
    u64 dw[SPECTRAL_GRAD_TENSORS], dy[SPECTRAL_GRAD_TENSORS], w[SPECTRAL_GRAD_TENSORS];
    u64 u[SPECTRAL_GRAD_TENSORS], v[SPECTRAL_GRAD_TENSORS], sigma[SPECTRAL_GRAD_TENSORS];
    i64 n[SPECTRAL_GRAD_TENSORS];
    i32 cols[SPECTRAL_GRAD_TENSORS];
    i32 first[SPECTRAL_GRAD_TENSORS]; // each layer's first chunk
    i32 count, pad;
};
ARGS_SIZE(spectral_grad_args, 3984);

template <typename D, typename A> DEVICE void spectral_inner(const spectral_grad_args &a) {
    __shared__ A room[WARP];
    int t = locate(a.first, a.count, blockIdx.x);
    const D *dy = (const D *)a.dy[t];
    const A *w = (const A *)a.w[t];
    i64 from = (i64)(blockIdx.x - a.first[t]) * DIVIDE_CHUNK;
    i64 to = min64(from + DIVIDE_CHUNK, a.n[t]);
    A sum = 0;
    for (i64 i = from + threadIdx.x; i < to; i += blockDim.x) {
        sum = fma_of((A)widen(dy[i]), w[i], sum);
    }
    sum = block_fold<AddFold>(sum, room);
    if (threadIdx.x == 0) {
        ((A *)a.part)[blockIdx.x] = sum;
    }
}

template <typename D, typename A> DEVICE void spectral_grad(const spectral_grad_args &a) {
    __shared__ A room[WARP];
    int t = locate(a.first, a.count, blockIdx.x);
    i64 cols = a.cols[t], from = (i64)(blockIdx.x - a.first[t]) * DIVIDE_CHUNK;
    i64 to = min64(from + DIVIDE_CHUNK, a.n[t]);
    i32 chunks = (i32)((a.n[t] + DIVIDE_CHUNK - 1) / DIVIDE_CHUNK);
    const A *part = (const A *)a.part + a.first[t];
    A inner = 0, sigma = *(const A *)a.sigma[t];
    for (i32 i = threadIdx.x; i < chunks; i += blockDim.x) {
        inner += part[i];
    }
    inner = block_fold<AddFold>(inner, room) / sigma / sigma;
    const D *dy = (const D *)a.dy[t];
    const A *u = (const A *)a.u[t], *v = (const A *)a.v[t];
    A *dw = (A *)a.dw[t];
    for (i64 i = from + threadIdx.x; i < to; i += blockDim.x) {
        i64 r = quotient(i, cols), c = i - r * cols;
        dw[i] = (A)widen(dy[i]) / sigma - u[r] * inner * v[c];
    }
}

extern "C" __global__ void spectral_inner_f32(spectral_grad_args a) {
    spectral_inner<float, float>(a);
}
extern "C" __global__ void spectral_inner_f64(spectral_grad_args a) {
    spectral_inner<double, double>(a);
}
extern "C" __global__ void spectral_inner_bf16(spectral_grad_args a) {
    spectral_inner<bf16, float>(a);
}
extern "C" __global__ void spectral_grad_f32(spectral_grad_args a) {
    spectral_grad<float, float>(a);
}
extern "C" __global__ void spectral_grad_f64(spectral_grad_args a) {
    spectral_grad<double, double>(a);
}
extern "C" __global__ void spectral_grad_bf16(spectral_grad_args a) {
    spectral_grad<bf16, float>(a);
}
