// loss.cu: softmax cross-entropy of class labels, with label smoothing, forward and backward.
//
// What      target = (1−s)·onehot(label) + s/K; a label outside [0, K) has no one-hot part.
//             loss[n] = −Σ_k target_k·log softmax(z)_k = t·lse − (1−s)·z_label − s/K·Σ z
//             dz[n, k] = dloss[n]·(t·softmax(z)_k − target_k),   t = Σ target
//           computed on z − max, so that nothing overflows; lse = log Σ exp(z − max) and max are
//           kept for backward in lse[n, 2].
// Threads   A team for each row: a warp up to 1,024 classes, else a block.
// Bytes     Logits once forward (three reads, two from cache), once backward, and dz.
#include "port.h"

struct cross_entropy_args {
    u64 loss, lse, logits, labels; // loss [N] and lse [N, 2] of Acc<T>, labels i32 [N]
    u64 dloss, dlogits;            // backward
    i64 rows, classes;
    double smoothing;
    i32 per_row, pad;
};
ARGS_SIZE(cross_entropy_args, 80);

struct Team {
    int rank, size;
    i64 row;
};

DEVICE Team team_of(int per_row) {
    Team t;
    t.size = per_row;
    t.rank = threadIdx.x % per_row;
    t.row = (i64)blockIdx.x * (blockDim.x / per_row) + threadIdx.x / per_row;
    return t;
}

template <typename F, typename A> DEVICE A team_fold(const Team &t, A x, A *room) {
    return t.size == WARP ? warp_fold<F>(x) : block_fold<F>(x, room);
}

template <typename T> DEVICE void cross_entropy(const cross_entropy_args &a) {
    typedef Acc<T> A;
    __shared__ A room[WARP];
    Team t = team_of(a.per_row);
    bool mine = t.row < a.rows;
    const T *z = (const T *)a.logits + t.row * a.classes;
    A top = MaxFold::start<A>(), exps = 0, sum = 0;
    for (i64 k = t.rank; mine && k < a.classes; k += t.size) {
        top = larger(top, widen(z[k]));
    }
    top = team_fold<MaxFold>(t, top, room);
    for (i64 k = t.rank; mine && k < a.classes; k += t.size) {
        A d = widen(z[k]) - top;
        exps += exp_of(d);
        sum += d;
    }
    exps = team_fold<AddFold>(t, exps, room);
    sum = team_fold<AddFold>(t, sum, room);
    if (!mine || t.rank != 0) {
        return;
    }
    A lse = log_of(exps), s = (A)a.smoothing;
    i64 label = ((const i32 *)a.labels)[t.row];
    bool known = label >= 0 && label < a.classes;
    A loss = s == 0 ? (A)0 : s * lse - s / (A)a.classes * sum;
    if (known) {
        loss += (1 - s) * (lse - (widen(z[label]) - top));
    }
    ((A *)a.loss)[t.row] = loss;
    ((A *)a.lse)[2 * t.row] = top;
    ((A *)a.lse)[2 * t.row + 1] = lse;
}

extern "C" __global__ void cross_entropy_f32(cross_entropy_args a) { cross_entropy<float>(a); }
extern "C" __global__ void cross_entropy_f64(cross_entropy_args a) { cross_entropy<double>(a); }
extern "C" __global__ void cross_entropy_bf16(cross_entropy_args a) { cross_entropy<bf16>(a); }

template <typename T> DEVICE void cross_entropy_grad(const cross_entropy_args &a) {
    typedef Acc<T> A;
    A s = (A)a.smoothing, share = s / (A)a.classes;
    for (i64 i = global_thread(); i < a.rows * a.classes; i += global_threads()) {
        i64 row = quotient(i, a.classes), k = i - row * a.classes;
        i64 label = ((const i32 *)a.labels)[row];
        A known = label >= 0 && label < a.classes ? 1 - s : (A)0;
        const A *lse = (const A *)a.lse + 2 * row;
        A p = exp_of(widen(((const T *)a.logits)[i]) - lse[0] - lse[1]);
        A d = (known + s) * p - share - (k == label ? known : (A)0);
        ((T *)a.dlogits)[i] = narrow<T>(((const A *)a.dloss)[row] * d);
    }
}

extern "C" __global__ void cross_entropy_grad_f32(cross_entropy_args a) {
    cross_entropy_grad<float>(a);
}
extern "C" __global__ void cross_entropy_grad_f64(cross_entropy_args a) {
    cross_entropy_grad<double>(a);
}
extern "C" __global__ void cross_entropy_grad_bf16(cross_entropy_args a) {
    cross_entropy_grad<bf16>(a);
}
