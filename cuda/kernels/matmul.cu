// matmul.cu: MatMul, dst[b] = op(a[b])·op(b[b]), op an optional transposition.
//
// What      C[m, n] = Σ_k A[m, k]·B[k, n] for each matrix of a batch. float and double on the
//           ordinary units; bfloat16 on the tensor cores with float sums, which are rounded to
//           bfloat16 or (entries named _mixed) stored as they are.
// Threads   A block of 256 computes a tile of C, see tile.h; blockIdx.x counts tiles, z
//           matrices. A transposed operand is the same memory with the fast axis swapped, so
//           that all four cases read whole lines.
// Bytes     A N/BN times and B M/BM times (from cache), C once.
#include "wgmma.h"

struct matmul_args {
    u64 dst, a, b;
    i64 stride_dst, stride_a, stride_b; // from one matrix of the batch to the next, in elements
    i64 batch;
    i32 m, n, k;
    i32 vec_a, vec_b, vec_dst; // rows start at multiples of 16 bytes
};
ARGS_SIZE(matmul_args, 80);

// KFast is an operand whose rows lie along k: element (row, k) at row·ld + k.
template <typename T> struct KFast {
    static const bool k_fast = true;
    typedef const T *Slot;
    const T *base;
    i32 ld, rows, k_end;
    bool vec;

    DEVICE Slot slot(i32 row) const { return row < rows ? base + (i64)row * ld : (const T *)0; }
    DEVICE const T *at(const Slot &s, i32, i32 k) const { return s && k < k_end ? s + k : 0; }
};

// RowFast is an operand whose columns lie along the row: element (row, k) at k·ld + row.
template <typename T> struct RowFast {
    static const bool k_fast = false;
    struct Slot {};
    const T *base;
    i32 ld, rows, k_end;
    bool vec;

    DEVICE Slot slot(i32) const { return Slot(); }
    DEVICE const T *at(const Slot &, i32 row, i32 k) const {
        return row < rows && k < k_end ? base + (i64)k * ld + row : 0;
    }
};

// Pick is A when the condition holds, else B.
template <bool C, typename A, typename B> struct PickOf {
    typedef A type;
};
template <typename A, typename B> struct PickOf<false, A, B> {
    typedef B type;
};
template <bool C, typename A, typename B> using Pick = typename PickOf<C, A, B>::type;

// T is the operands' type, U the result's: T, or float beside bfloat16 operands.
// TA takes a as [k m], TB takes b as [n k]. Each case is a kernel of its own: together in one they
// would need more registers than a thread has.
template <typename T, typename U, typename P, bool TA, bool TB>
DEVICE void matmul(const matmul_args &p) {
    for (i64 z = blockIdx.z; z < p.batch; z += gridDim.z) {
        const T *a = (const T *)p.a + z * p.stride_a, *b = (const T *)p.b + z * p.stride_b;
        Output<U> out = {(U *)p.dst + z * p.stride_dst, p.n, p.m, p.n, p.vec_dst != 0};
        Pick<TA, RowFast<T>, KFast<T>> left = {a, TA ? p.m : p.k, p.m, p.k, p.vec_a != 0};
        Pick<TB, KFast<T>, RowFast<T>> right = {b, TB ? p.k : p.n, p.n, p.k, p.vec_b != 0};
        P::template run<T>(left, right, out, 0, p.k);
    }
}

extern "C" __global__ __launch_bounds__(256) void matmul_nn_f32(matmul_args a) {
    matmul<float, float, Simt<64, 64>, false, false>(a);
}
extern "C" __global__ __launch_bounds__(256) void matmul_nt_f32(matmul_args a) {
    matmul<float, float, Simt<64, 64>, false, true>(a);
}
extern "C" __global__ __launch_bounds__(256) void matmul_tn_f32(matmul_args a) {
    matmul<float, float, Simt<64, 64>, true, false>(a);
}
extern "C" __global__ __launch_bounds__(256) void matmul_tt_f32(matmul_args a) {
    matmul<float, float, Simt<64, 64>, true, true>(a);
}
extern "C" __global__ __launch_bounds__(256) void matmul_wide_nn_f32(matmul_args a) {
    matmul<float, float, Simt<128, 128>, false, false>(a);
}
extern "C" __global__ __launch_bounds__(256) void matmul_wide_nt_f32(matmul_args a) {
    matmul<float, float, Simt<128, 128>, false, true>(a);
}
extern "C" __global__ __launch_bounds__(256) void matmul_wide_tn_f32(matmul_args a) {
    matmul<float, float, Simt<128, 128>, true, false>(a);
}
extern "C" __global__ __launch_bounds__(256) void matmul_wide_tt_f32(matmul_args a) {
    matmul<float, float, Simt<128, 128>, true, true>(a);
}
extern "C" __global__ __launch_bounds__(256) void matmul_nn_f64(matmul_args a) {
    matmul<double, double, Simt<64, 64>, false, false>(a);
}
extern "C" __global__ __launch_bounds__(256) void matmul_nt_f64(matmul_args a) {
    matmul<double, double, Simt<64, 64>, false, true>(a);
}
extern "C" __global__ __launch_bounds__(256) void matmul_tn_f64(matmul_args a) {
    matmul<double, double, Simt<64, 64>, true, false>(a);
}
extern "C" __global__ __launch_bounds__(256) void matmul_tt_f64(matmul_args a) {
    matmul<double, double, Simt<64, 64>, true, true>(a);
}
extern "C" __global__ __launch_bounds__(256) void matmul_nn_bf16(matmul_args a) {
    matmul<bf16, bf16, Mma<64, 64>, false, false>(a);
}
extern "C" __global__ __launch_bounds__(256) void matmul_nt_bf16(matmul_args a) {
    matmul<bf16, bf16, Mma<64, 64>, false, true>(a);
}
extern "C" __global__ __launch_bounds__(256) void matmul_tn_bf16(matmul_args a) {
    matmul<bf16, bf16, Mma<64, 64>, true, false>(a);
}
extern "C" __global__ __launch_bounds__(256) void matmul_tt_bf16(matmul_args a) {
    matmul<bf16, bf16, Mma<64, 64>, true, true>(a);
}
extern "C" __global__ __launch_bounds__(256) void matmul_wide_nn_bf16(matmul_args a) {
    matmul<bf16, bf16, Mma<128, 128>, false, false>(a);
}
extern "C" __global__ __launch_bounds__(256) void matmul_wide_nt_bf16(matmul_args a) {
    matmul<bf16, bf16, Mma<128, 128>, false, true>(a);
}
extern "C" __global__ __launch_bounds__(256) void matmul_wide_tn_bf16(matmul_args a) {
    matmul<bf16, bf16, Mma<128, 128>, true, false>(a);
}
extern "C" __global__ __launch_bounds__(256) void matmul_wide_tt_bf16(matmul_args a) {
    matmul<bf16, bf16, Mma<128, 128>, true, true>(a);
}
extern "C" __global__ __launch_bounds__(256) void matmul_nn_mixed(matmul_args a) {
    matmul<bf16, float, Mma<64, 64>, false, false>(a);
}
extern "C" __global__ __launch_bounds__(256) void matmul_nt_mixed(matmul_args a) {
    matmul<bf16, float, Mma<64, 64>, false, true>(a);
}
extern "C" __global__ __launch_bounds__(256) void matmul_tn_mixed(matmul_args a) {
    matmul<bf16, float, Mma<64, 64>, true, false>(a);
}
extern "C" __global__ __launch_bounds__(256) void matmul_tt_mixed(matmul_args a) {
    matmul<bf16, float, Mma<64, 64>, true, true>(a);
}
extern "C" __global__ __launch_bounds__(256) void matmul_wide_nn_mixed(matmul_args a) {
    matmul<bf16, float, Mma<128, 128>, false, false>(a);
}
extern "C" __global__ __launch_bounds__(256) void matmul_wide_nt_mixed(matmul_args a) {
    matmul<bf16, float, Mma<128, 128>, false, true>(a);
}
extern "C" __global__ __launch_bounds__(256) void matmul_wide_tn_mixed(matmul_args a) {
    matmul<bf16, float, Mma<128, 128>, true, false>(a);
}
extern "C" __global__ __launch_bounds__(256) void matmul_wide_tt_mixed(matmul_args a) {
    matmul<bf16, float, Mma<128, 128>, true, true>(a);
}
extern "C" __global__ __launch_bounds__(256) void matmul_hopper_nn_bf16(matmul_args a) {
    matmul<bf16, bf16, Wgmma, false, false>(a);
}
extern "C" __global__ __launch_bounds__(256) void matmul_hopper_nt_bf16(matmul_args a) {
    matmul<bf16, bf16, Wgmma, false, true>(a);
}
extern "C" __global__ __launch_bounds__(256) void matmul_hopper_tn_bf16(matmul_args a) {
    matmul<bf16, bf16, Wgmma, true, false>(a);
}
extern "C" __global__ __launch_bounds__(256) void matmul_hopper_tt_bf16(matmul_args a) {
    matmul<bf16, bf16, Wgmma, true, true>(a);
}
extern "C" __global__ __launch_bounds__(256) void matmul_hopper_nn_mixed(matmul_args a) {
    matmul<bf16, float, Wgmma, false, false>(a);
}
extern "C" __global__ __launch_bounds__(256) void matmul_hopper_nt_mixed(matmul_args a) {
    matmul<bf16, float, Wgmma, false, true>(a);
}
extern "C" __global__ __launch_bounds__(256) void matmul_hopper_tn_mixed(matmul_args a) {
    matmul<bf16, float, Wgmma, true, false>(a);
}
extern "C" __global__ __launch_bounds__(256) void matmul_hopper_tt_mixed(matmul_args a) {
    matmul<bf16, float, Wgmma, true, true>(a);
}
