// port.h: what the kernels may use, under NVRTC, nvcc and the host emulator (KSIM).
//
// The kernels include no CUDA header, so that one text compiles on any machine. This page names the
// scalar types, gives 16-byte vector access, bfloat16 storage, warp and block reductions in a fixed
// order, asynchronous copies and two instructions of the tensor core. Nothing in it knows an operation.
#pragma once

#ifdef KSIM
#include "ksim_device.h" // threadIdx, __syncthreads, __shfl_xor_sync, … on fibres
#endif

typedef unsigned char u8;
typedef unsigned short u16;
typedef int i32;
typedef unsigned int u32;
typedef long long i64;
typedef unsigned long long u64;

#define DEVICE __device__ __forceinline__

// Loops over registers must be unrolled: an index known only when running puts an array into
// memory.
#define UNROLL _Pragma("unroll")
#define UNROLL_BY_TEXT(n) _Pragma(#n)
#define UNROLL_BY(n) UNROLL_BY_TEXT(unroll n)

// An argument struct is laid out like the Go struct that mirrors it: pointers and 64-bit numbers
// first or at multiples of eight, no holes but a named pad.
#define ARGS_SIZE(S, N) static_assert(sizeof(S) == (N), #S " differs from its Go mirror")

const int WARP = 32;
const u32 ALL_LANES = 0xFFFFFFFFu;
const int MAX_RANK = 8; // of shapes in argument structs, after neighbouring axes were merged

// ---- bfloat16: the upper half of a float. Stored, never computed in.

struct bf16 {
    u16 bits;
};

DEVICE float bits_to_float(u32 b) {
#ifdef KSIM
    float f;
    __builtin_memcpy(&f, &b, 4);
    return f;
#else
    return __uint_as_float(b);
#endif
}

DEVICE u32 float_to_bits(float f) {
#ifdef KSIM
    u32 b;
    __builtin_memcpy(&b, &f, 4);
    return b;
#else
    return __float_as_uint(f);
#endif
}

DEVICE float widen(bf16 h) { return bits_to_float((u32)h.bits << 16); }
DEVICE float widen(float x) { return x; }
DEVICE double widen(double x) { return x; }

// narrow<T> rounds to nearest even; a NaN stays one.
template <typename T> struct Narrow {
    template <typename A> static DEVICE T from(A x) { return (T)x; }
};
template <> struct Narrow<bf16> {
    static DEVICE bf16 from(float x) {
        bf16 h;
#ifdef KSIM
        u32 b = float_to_bits(x);
        h.bits = x != x ? (u16)(b >> 16 | 0x40) : (u16)((b + 0x7FFF + (b >> 16 & 1)) >> 16);
#else
        asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(h.bits) : "f"(x));
#endif
        return h;
    }
};
template <typename T, typename A> DEVICE T narrow(A x) { return Narrow<T>::from(x); }

// Acc<T> is the type in which values stored as T are computed.
template <typename T> struct AccOf {
    typedef float type;
};
template <> struct AccOf<double> {
    typedef double type;
};
template <typename T> using Acc = typename AccOf<T>::type;

// ---- vectors: N elements moved by one instruction when they make 4, 8 or 16 bytes.

template <typename T, int N> struct alignas(sizeof(T) * N) Pack {
    T v[N];
};

// PACK<T> elements make 16 bytes, the widest load of a thread.
template <typename T> constexpr int PACK = 16 / (int)sizeof(T);

template <int N, typename T> DEVICE Pack<T, N> load_pack(const T *p) {
#ifdef KSIM
    ksim::check_aligned(p, sizeof(T) * N);
#endif
    return *reinterpret_cast<const Pack<T, N> *>(p);
}

template <int N, typename T> DEVICE void store_pack(T *p, const Pack<T, N> &v) {
#ifdef KSIM
    ksim::check_aligned(p, sizeof(T) * N);
#endif
    *reinterpret_cast<Pack<T, N> *>(p) = v;
}

DEVICE bool aligned16(u64 a) { return (a & 15) == 0; }

// ---- the grid-stride loop: any grid covers any n.

DEVICE i64 global_thread() { return (i64)blockIdx.x * blockDim.x + threadIdx.x; }
DEVICE i64 global_threads() { return (i64)gridDim.x * blockDim.x; }

// quotient is a / b for numbers ≥ 0, by a 32-bit division where both allow it: a 64-bit one costs a
// hundred instructions.
DEVICE i64 quotient(i64 a, i64 b) {
    return ((a | b) >> 31) == 0 ? (i64)((u32)a / (u32)b) : a / b;
}

DEVICE i64 min64(i64 a, i64 b) { return a < b ? a : b; }
DEVICE i64 max64(i64 a, i64 b) { return a > b ? a : b; }

// ---- numbers

DEVICE float infinity_of(float) { return bits_to_float(0x7F800000u); }
DEVICE double infinity_of(double) { return (double)bits_to_float(0x7F800000u); }

// larger and smaller return NaN if either is, as the contract asks; fmaxf would drop it.
template <typename A> DEVICE A larger(A x, A y) { return x > y || x != x ? x : y; }
template <typename A> DEVICE A smaller(A x, A y) { return x < y || x != x ? x : y; }

DEVICE float exp_of(float x) { return expf(x); }
DEVICE double exp_of(double x) { return exp(x); }
DEVICE float log_of(float x) { return logf(x); }
DEVICE double log_of(double x) { return log(x); }
DEVICE float sqrt_of(float x) { return sqrtf(x); }
DEVICE double sqrt_of(double x) { return sqrt(x); }

// fma_of keeps one rounding on every compiler, where it matters that two sums agree.
DEVICE float fma_of(float a, float b, float c) { return fmaf(a, b, c); }
DEVICE double fma_of(double a, double b, double c) { return fma(a, b, c); }

// ---- folds: a monoid with start() and join(), for reductions.

struct AddFold {
    template <typename A> static DEVICE A start() { return (A)0; }
    template <typename A> static DEVICE A join(A x, A y) { return x + y; }
};
struct MaxFold {
    template <typename A> static DEVICE A start() { return -infinity_of((A)0); }
    template <typename A> static DEVICE A join(A x, A y) { return larger(x, y); }
};
struct MinFold {
    template <typename A> static DEVICE A start() { return infinity_of((A)0); }
    template <typename A> static DEVICE A join(A x, A y) { return smaller(x, y); }
};

// warp_fold joins the values of 32 lanes in a butterfly; every lane gets the same bits, because
// a+b and b+a are the same number.
template <typename F, typename A> DEVICE A warp_fold(A x) {
    for (int d = WARP / 2; d > 0; d /= 2) {
        x = F::join(x, __shfl_xor_sync(ALL_LANES, x, d));
    }
    return x;
}

// block_fold joins the values of all threads, a multiple of 32; every thread gets the result. room
// is shared memory for 32 values, free again when the function returns.
template <typename F, typename A> DEVICE A block_fold(A x, A *room) {
    int thread = threadIdx.x + blockDim.x * threadIdx.y;
    int warps = blockDim.x * blockDim.y / WARP;
    x = warp_fold<F>(x);
    if (thread % WARP == 0) {
        room[thread / WARP] = x;
    }
    __syncthreads();
    x = room[0];
    for (int w = 1; w < warps; w++) {
        x = F::join(x, room[w]);
    }
    __syncthreads();
    return x;
}

// ---- asynchronous copies from global to shared memory (Ampere and later), 16 bytes a thread.
// The emulator performs half of them at once and the others in copy_wait, so that it shows when one
// comes too late for what waits for too little, and when one comes too early for what others read.

DEVICE void copy_async16(void *shared, const void *global) {
#ifdef KSIM
    ksim::copy_async(shared, global, 16);
#else
    u32 s = (u32)__cvta_generic_to_shared(shared);
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(s), "l"(global) : "memory");
#endif
}

DEVICE void copy_commit() {
#ifdef KSIM
    ksim::copy_commit();
#else
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// copy_wait<N> waits until at most N of this thread's committed groups are under way.
template <int N> DEVICE void copy_wait() {
#ifdef KSIM
    ksim::copy_wait(N);
#else
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
#endif
}

// ---- four 8×8 matrices of bfloat16 from shared memory, turned on the way. Lane l says where row l%8
// of matrix l/8 lies, 16 bytes at a multiple of 16, and gets of matrix m, with g = l/4 and t = l%4,
//
//     d[m] = M[2t, 2t+1][g], the smaller row in the lower half
//
// which is a fragment b of the product below if the rows of M are steps of k (PTX ISA, ldmatrix
// .m8n8.x4.trans).
DEVICE void load_turned(u32 d[4], const bf16 *row) {
#ifdef KSIM
    ksim::load_turned(d, row, __LINE__);
#else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
                 : "r"((u32)__cvta_generic_to_shared(row))
                 : "memory");
#endif
}

// ---- the tensor core: a warp computes d += a·b with a 16×16, b 16×8 (bfloat16), d 16×8 (float).
//
// Fragments (PTX ISA, mma.m16n8k16 with .bf16). Lane l has g = l/4 and t = l%4; each u32 holds two
// bfloat16, the lower half being the smaller k:
//
//     a[0] = A[g  ][2t, 2t+1]      a[1] = A[g+8][2t, 2t+1]
//     a[2] = A[g  ][2t+8, 2t+9]    a[3] = A[g+8][2t+8, 2t+9]
//     b[0] = B[2t, 2t+1][g]        b[1] = B[2t+8, 2t+9][g]
//     d[0], d[1] = D[g][2t, 2t+1]  d[2], d[3] = D[g+8][2t, 2t+1]
DEVICE void mma_m16n8k16(float d[4], const u32 a[4], const u32 b[2]) {
#ifdef KSIM
    ksim::mma_m16n8k16(d, a, b, __LINE__);
#else
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}
