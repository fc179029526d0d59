// ksim_device.h: CUDA's device language on the host, as far as the kernels use it.
//
// Every construct that may wait goes through the scheduler in ksim.cc. A barrier and a warp
// operation carry their source line, because threads that wait at different lines have diverged.
#pragma once
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define __global__
#define __device__
#define __forceinline__ inline
#define __noinline__
#define __launch_bounds__(...)
#define __restrict__
#define __align__(n) __attribute__((aligned(n)))
// Shared variables of a translation unit lie in one section, which is poisoned before each block.
#define __shared__ static __attribute__((section("ksim_shared_" KSIM_STEM), used))

namespace ksim {

struct dim3 {
    unsigned x, y, z;
};

struct Thread; // ksim.cc
struct Where { // what a kernel may ask about itself
    dim3 thread;
    unsigned lane, warp;
};
extern Where *here;
extern dim3 block_idx, block_dim, grid_dim;

// An Entry is a kernel of one translation unit, with the bounds of its shared variables.
struct Entry {
    const char *name;
    size_t args_size;
    void (*run)(const void *args);
    char *shared_start, *shared_end;
};
struct Registration {
    Registration(const Entry *entries, int n);
};

enum WarpOp { SHFL_XOR, SHFL_DOWN, SHFL_UP, SHFL_IDX, BALLOT, SYNCWARP, MMA, TURNED };

void barrier(int line);
uint64_t warp_op(WarpOp op, int line, unsigned mask, uint64_t value, int arg);
void check_aligned(const void *p, size_t bytes);
void copy_async(void *shared, const void *global, size_t bytes);
void copy_commit();
void copy_wait(int n);
void load_turned(uint32_t d[4], const void *row, int line);
void mma_m16n8k16(float d[4], const uint32_t a[4], const uint32_t b[2], int line);
void *dynamic_shared();
uint32_t shared_address(const void *p);
void proxy_fence();
void wgmma_fence();
void wgmma_commit();
void wgmma_wait(int n);
void wgmma(float *d, int n, uint64_t a, uint64_t b, bool ta, bool tb, int line);

template <typename T>
T shuffle(WarpOp op, int line, unsigned mask, T v, int arg) {
    static_assert(sizeof(T) <= 8, "a shuffle moves at most 8 bytes");
    uint64_t bits = 0;
    memcpy(&bits, &v, sizeof v);
    bits = warp_op(op, line, mask, bits, arg);
    memcpy(&v, &bits, sizeof v);
    return v;
}

} // namespace ksim

#define threadIdx (ksim::here->thread)
#define blockIdx ksim::block_idx
#define blockDim ksim::block_dim
#define gridDim ksim::grid_dim
#define __syncthreads() ksim::barrier(__LINE__)
#define __syncwarp(...) ((void)ksim::warp_op(ksim::SYNCWARP, __LINE__, 0xFFFFFFFFu, 0, 0))
#define __shfl_xor_sync(m, v, a) ksim::shuffle(ksim::SHFL_XOR, __LINE__, m, v, a)
#define __shfl_down_sync(m, v, a) ksim::shuffle(ksim::SHFL_DOWN, __LINE__, m, v, a)
#define __shfl_up_sync(m, v, a) ksim::shuffle(ksim::SHFL_UP, __LINE__, m, v, a)
#define __shfl_sync(m, v, a) ksim::shuffle(ksim::SHFL_IDX, __LINE__, m, v, a)
#define __ballot_sync(m, p) ((unsigned)ksim::warp_op(ksim::BALLOT, __LINE__, m, (p) ? 1 : 0, 0))

// IEEE operations that no compiler fuses; the emulator is built with -ffp-contract=off.
static inline double __dadd_rn(double a, double b) { return a + b; }
static inline double __dmul_rn(double a, double b) { return a * b; }
static inline double __ddiv_rn(double a, double b) { return a / b; }
static inline double __dsqrt_rn(double a) { return sqrt(a); }
static inline long long __double_as_longlong(double x) {
    long long b;
    memcpy(&b, &x, 8);
    return b;
}
static inline double __longlong_as_double(long long b) {
    double x;
    memcpy(&x, &b, 8);
    return x;
}
static inline unsigned __umulhi(unsigned a, unsigned b) {
    return (unsigned)((unsigned long long)a * b >> 32);
}
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
