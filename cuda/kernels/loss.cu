// loss.cu: softmax cross-entropy with a target of any kind (one-hot, smoothed, mixed, a teacher's),
// forward and backward.
//
// What      logp[n, k] = log softmax(z)[n, k] = z − max − log Σ exp(z − max)
//           loss[n] = −Σ_k target[n, k]·logp[n, k]
//           dz[n, k] = dloss[n]·(t·exp(logp[n, k]) − target[n, k]),   t = Σ_k target[n, k]
//           z − max is at most 0, so that nothing overflows. A target of 0 for a class of
//           logp −Inf, one that was masked out, adds nothing.
// Threads   A team for each row: a warp up to 1,024 classes, else a block.
// Bytes     Forward reads the logits three times and the target once and writes logp; backward
//           reads logp once and the target twice and writes dz. A row read again lies in cache.
#include "rows.h"

struct cross_entropy_args {
    u64 loss, logp, logits, target; // loss [N], the others [N, K]
    i64 rows, classes;
    i32 per_row, pad;
};
ARGS_SIZE(cross_entropy_args, 56);

// each calls f(k) for the elements k of a row that are this thread's.
template <typename F> DEVICE void each(const Team &t, i64 rows, i64 classes, F f) {
    for (i64 k = t.rank; t.row < rows && k < classes; k += t.size) {
        f(k);
    }
}

template <typename A> DEVICE void cross_entropy(const cross_entropy_args &a) {
    __shared__ A room[WARP];
    Team team = team_of(a.per_row);
    const A *z = (const A *)a.logits + team.row * a.classes;
    const A *target = (const A *)a.target + team.row * a.classes;
    A *logp = (A *)a.logp + team.row * a.classes;
    A top = MaxFold::start<A>(), sum = 0, loss = 0;
    each(team, a.rows, a.classes, [&](i64 k) { top = larger(top, z[k]); });
    top = team_fold<MaxFold>(team, top, room);
    each(team, a.rows, a.classes, [&](i64 k) { sum += exp_of(z[k] - top); });
    A log_sum = log_of(team_fold<AddFold>(team, sum, room));
    each(team, a.rows, a.classes, [&](i64 k) {
        A l = z[k] - top - log_sum;
        logp[k] = l;
        loss = target[k] == 0 && l == MaxFold::start<A>() ? loss : fma_of(target[k], -l, loss);
    });
    loss = team_fold<AddFold>(team, loss, room);
    if (team.row < a.rows && team.rank == 0) {
        ((A *)a.loss)[team.row] = loss;
    }
}

extern "C" __global__ void cross_entropy_f32(cross_entropy_args a) { cross_entropy<float>(a); }
extern "C" __global__ void cross_entropy_f64(cross_entropy_args a) { cross_entropy<double>(a); }

struct cross_entropy_grad_args {
    u64 dlogits, dloss, logp, target; // dloss [N], the others [N, K]
    i64 rows, classes;
    i32 per_row, pad;
};
ARGS_SIZE(cross_entropy_grad_args, 56);

template <typename A> DEVICE void cross_entropy_grad(const cross_entropy_grad_args &a) {
    __shared__ A room[WARP];
    Team team = team_of(a.per_row);
    const A *logp = (const A *)a.logp + team.row * a.classes;
    const A *target = (const A *)a.target + team.row * a.classes;
    A *dz = (A *)a.dlogits + team.row * a.classes, total = 0;
    each(team, a.rows, a.classes, [&](i64 k) { total += target[k]; });
    total = team_fold<AddFold>(team, total, room);
    each(team, a.rows, a.classes, [&](i64 k) {
        dz[k] = ((const A *)a.dloss)[team.row] * fma_of(exp_of(logp[k]), total, -target[k]);
    });
}

extern "C" __global__ void cross_entropy_grad_f32(cross_entropy_grad_args a) {
    cross_entropy_grad<float>(a);
}
extern "C" __global__ void cross_entropy_grad_f64(cross_entropy_grad_args a) {
    cross_entropy_grad<double>(a);
}
