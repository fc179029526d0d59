// faults.cu: kernels with one mistake each, beside the same kernel without it. The tests of ksim
// show that the emulator tells them apart.
#include "wgmma.h"

struct fault_args {
    u64 dst, src;
    i64 n;
};
ARGS_SIZE(fault_args, 24);

const int B = 64; // threads of a block in these tests

// reverse: dst[i] = src[n−1−i] through shared memory. BARRIER is what lies between writing and
// reading.
#define REVERSE(BARRIER)                                                                          \
    __shared__ float tile[B];                                                                     \
    tile[threadIdx.x] = ((const float *)a.src)[threadIdx.x];                                      \
    BARRIER;                                                                                      \
    ((float *)a.dst)[threadIdx.x] = tile[B - 1 - threadIdx.x]

extern "C" __global__ void reverse(fault_args a) { REVERSE(__syncthreads()); }
extern "C" __global__ void reverse_without_barrier(fault_args a) { REVERSE((void)0); }

extern "C" __global__ void divergent_barrier(fault_args a) {
    if (threadIdx.x < 40) {
        __syncthreads();
    }
    ((float *)a.dst)[threadIdx.x] = 1;
}

// Both halves reach a barrier, but not the same one.
extern "C" __global__ void two_barriers(fault_args a) {
    if (threadIdx.x < 32) {
        __syncthreads();
    } else {
        __syncthreads();
    }
    ((float *)a.dst)[threadIdx.x] = 1;
}

extern "C" __global__ void early_return(fault_args a) {
    if (threadIdx.x >= 50) {
        return;
    }
    __syncthreads();
    ((float *)a.dst)[threadIdx.x] = 1;
}

extern "C" __global__ void divergent_shuffle(fault_args a) {
    float x = (float)threadIdx.x;
    if (threadIdx.x % 2 == 0) {
        x = __shfl_xor_sync(ALL_LANES, x, 2);
    }
    ((float *)a.dst)[threadIdx.x] = x;
}

// Without the bound: writes n + 1 elements.
extern "C" __global__ void write_past_end(fault_args a) {
    if (threadIdx.x <= a.n) {
        ((float *)a.dst)[threadIdx.x] = 1;
    }
}

extern "C" __global__ void write_before_start(fault_args a) { ((float *)a.dst)[-1] = 1; }

extern "C" __global__ void read_past_end(fault_args a) {
    ((float *)a.dst)[0] = ((const float *)a.src)[(a.n + 3) / 4 * 4];
}

extern "C" __global__ void wild_pointer(fault_args a) { *(float *)(a.dst ^ (1ull << 46)) = 1; }

extern "C" __global__ void misaligned_pack(fault_args a) {
    store_pack<4>((float *)a.dst, load_pack<4>((const float *)a.src + 1));
}

extern "C" __global__ void shared_index(fault_args a) {
    __shared__ float tile[B];
    tile[threadIdx.x + (i32)a.n] = 1;
    __syncthreads();
    ((float *)a.dst)[threadIdx.x] = tile[threadIdx.x];
}

// Sums shared memory of which nobody wrote the last element.
extern "C" __global__ void uninitialised_shared(fault_args a) {
    __shared__ float tile[B + 1];
    tile[threadIdx.x] = 1;
    __syncthreads();
    if (threadIdx.x == 0) {
        float sum = 0;
        for (int i = 0; i <= B; i++) {
            sum += tile[i];
        }
        *(float *)a.dst = sum;
    }
}

// Adds to dst, which nobody wrote.
extern "C" __global__ void uninitialised_global(fault_args a) {
    ((float *)a.dst)[threadIdx.x] += ((const float *)a.src)[threadIdx.x];
}

#define COPY(WAIT)                                                                                \
    __shared__ __align__(16) float tile[4 * B];                                                   \
    copy_async16(&tile[4 * threadIdx.x], (const float *)a.src + 4 * threadIdx.x);                 \
    copy_commit();                                                                                \
    WAIT;                                                                                         \
    __syncthreads();                                                                              \
    ((float *)a.dst)[threadIdx.x] = tile[4 * (B - 1 - threadIdx.x)]

extern "C" __global__ void async_copy(fault_args a) { COPY(copy_wait<0>()); }
extern "C" __global__ void async_copy_without_wait(fault_args a) { COPY((void)0); }
extern "C" __global__ void async_copy_early_wait(fault_args a) { COPY(copy_wait<1>()); }

// Fetches what follows into the tile that others still read. The barrier comes before the wait, not
// before the copy.
extern "C" __global__ void async_copy_overwrites(fault_args a) {
    __shared__ __align__(16) float tile[4 * B];
    float *mine = &tile[4 * threadIdx.x];
    const float *src = (const float *)a.src + 4 * threadIdx.x;
    copy_async16(mine, src);
    copy_commit();
    copy_wait<0>();
    __syncthreads();
    copy_async16(mine, src + 4 * B);
    copy_commit();
    ((float *)a.dst)[threadIdx.x] = tile[4 * (B - 1 - threadIdx.x)];
    __syncthreads();
    copy_wait<0>();
}

// One load of four matrices, turned: 32 rows of eight bfloat16 at src, lane l naming row l; what a
// lane gets goes to dst as it is.
extern "C" __global__ void one_load_turned(fault_args a) {
    __shared__ __align__(16) bf16 rows[32 * 8];
    for (int i = threadIdx.x; i < 32 * 8; i += blockDim.x) {
        rows[i] = ((const bf16 *)a.src)[i];
    }
    __syncthreads();
    u32 d[4];
    load_turned(d, rows + threadIdx.x * 8);
    for (int m = 0; m < 4; m++) {
        ((u32 *)a.dst)[threadIdx.x * 4 + m] = d[m];
    }
}

// warp_sum and ballot check the warp operations against what the test computes.
extern "C" __global__ void warp_sum(fault_args a) {
    float x = ((const float *)a.src)[threadIdx.x];
    float up = __shfl_up_sync(ALL_LANES, x, 1), down = __shfl_down_sync(ALL_LANES, x, 1);
    float first = __shfl_sync(ALL_LANES, x, 0), sum = warp_fold<AddFold>(x);
    u32 odd = __ballot_sync(ALL_LANES, threadIdx.x % 2);
    float *dst = (float *)a.dst + 5 * threadIdx.x;
    dst[0] = up;
    dst[1] = down;
    dst[2] = first;
    dst[3] = sum;
    dst[4] = (float)(odd >> 16);
}

// One tensor-core product, fragments filled from matrices as port.h documents them: A 16×16 at src,
// B 16×8 behind it, row-major bfloat16; D 16×8 float.
extern "C" __global__ void one_mma(fault_args a) {
    const u16 *A = (const u16 *)a.src, *B_ = A + 256;
    int g = threadIdx.x / 4, t = threadIdx.x % 4;
    u32 fa[4], fb[2];
    for (int r = 0; r < 4; r++) {
        int row = g + r % 2 * 8, k = 2 * t + r / 2 * 8;
        fa[r] = A[row * 16 + k] | (u32)A[row * 16 + k + 1] << 16;
    }
    for (int r = 0; r < 2; r++) {
        int k = 2 * t + r * 8;
        fb[r] = B_[k * 8 + g] | (u32)B_[(k + 1) * 8 + g] << 16;
    }
    float d[4] = {0, 0, 0, 0};
    mma_m16n8k16(d, fa, fb);
    for (int r = 0; r < 4; r++) {
        ((float *)a.dst)[(g + r / 2 * 8) * 8 + 2 * t + r % 2] = d[r];
    }
}

// One product of a warpgroup: shared memory is filled from an image, to which the descriptors'
// addresses are relative; D 64×128 float. mode says which operands run along rows, and fault what
// is left out.
struct wgmma_args {
    u64 dst, image, left, right;
    i32 bytes, mode, fault, pad;
};

extern "C" __global__ void one_wgmma(wgmma_args a) {
    char *room = dynamic_room();
    room += -shared_address(room) % GROUP;
    for (int i = threadIdx.x * 16; i < a.bytes; i += blockDim.x * 16) {
        copy_async16(room + i, (const char *)a.image + i);
    }
    copy_commit();
    copy_wait<0>();
    if (a.fault != 1) {
        proxy_fence();
    }
    __syncthreads();
    float d[64] = {};
    if (a.fault != 2) {
        wgmma_fence();
    }
    u64 at = shared_address(room) / 16, left = a.left + at, right = a.right + at;
    switch (a.mode) {
    case 0: wgmma_m64n128k16<false, false>(d, left, right); break;
    case 1: wgmma_m64n128k16<true, false>(d, left, right); break;
    case 2: wgmma_m64n128k16<false, true>(d, left, right); break;
    case 3: wgmma_m64n128k16<true, true>(d, left, right); break;
    }
    wgmma_commit();
    if (a.fault != 3) {
        wgmma_wait<0>();
    }
    for (int i = 0; i < 64; i++) {
        int row = threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4 + i / 2 % 2 * 8;
        ((float *)a.dst)[row * 128 + i / 4 * 8 + threadIdx.x % 4 * 2 + i % 2] = d[i];
    }
}
