// tile.h: the blocked matrix product under MatMul and the three convolutions.
//
// A block of 256 threads computes a BM×BN tile of C[m, n] = Σ_k A(m, k)·B(k, n). What A and B are,
// a matrix or an image seen through a filter's taps, is the business of two Operands; here is only
// the loop: fetch BK columns of A and rows of B into registers, multiply what shared memory holds,
// swap.
//
// An Operand of element type T has
//
//     static const bool k_fast       whether memory runs along k (else along the row: m or n)
//     Slot slot(i32 row)             what can be computed once for a row
//     const T *at(slot, row, k)      where element (row, k) lies, null where it is zero: outside
//     bool vec                       whether V = 16/sizeof(T) elements along the fast axis, from a
//                                    multiple of V on, are neighbours in memory or all outside
//
// so that a thread's loads are 16 bytes wide and a warp's are of whole lines wherever vec is true.
//
// product_simt multiplies on the ordinary units (float, double): each thread keeps TM×TN sums, so
// that an element fetched from shared memory serves TM or TN multiplications. product_mma
// multiplies bfloat16 on the tensor cores and sums in float; see port.h for the fragments. Its
// shared memory holds rows along k, as do the operands that are k_fast: those go there by
// asynchronous copies, through no register, while the tile before is multiplied. The others are
// transposed on the way, through registers.
//
// Sums run in order of k. Bytes moved: A once for each of the N/BN tile columns, B once for each of
// the M/BM tile rows, most of it from the second-level cache.
#pragma once
#include "port.h"

const int TILE_THREADS = 256;

// Output is where a tile's results go: C row-major with n contiguous.
template <typename T> struct Output {
    T *base;
    i32 ld, rows, cols;
    bool vec; // base and ld allow 4-element stores

    // put writes N neighbours along n, N at most 4.
    template <int N, typename A> DEVICE void put(i32 m, i32 n, const A *v) const {
        if (m >= rows || n >= cols) {
            return;
        }
        T *p = base + (i64)m * ld + n;
        if (vec && n + N <= cols) {
            const int W = N * sizeof(T) > 16 ? 2 : N; // a store has at most 16 bytes
            UNROLL
            for (int e = 0; e < N; e += W) {
                Pack<T, W> q;
                UNROLL
                for (int k = 0; k < W; k++) {
                    q.v[k] = narrow<T>(v[e + k]);
                }
                store_pack<W>(p + e, q);
            }
            return;
        }
        UNROLL
        for (int e = 0; e < N && n + e < cols; e++) {
            p[e] = narrow<T>(v[e]);
        }
    }
};

// fetched returns V neighbours along an operand's fast axis: elements (row, k…k+V−1) or
// (row…row+V−1, k); zero outside.
template <typename T, typename Op>
DEVICE Pack<T, PACK<T>> fetched(const Op &op, const typename Op::Slot &slot, i32 row, i32 k) {
    Pack<T, PACK<T>> q = {};
    if (op.vec) {
        const T *p = op.at(slot, row, k);
        return p ? load_pack<PACK<T>>(p) : q;
    }
    UNROLL
    for (int e = 0; e < PACK<T>; e++) {
        const T *p = Op::k_fast ? op.at(slot, row, k + e) : op.at(op.slot(row + e), row + e, k);
        if (p) {
            q.v[e] = *p;
        }
    }
    return q;
}

// Stage is one thread's share of fetching a tile of B_ rows by BK: PASSES packs.
template <typename T, typename Op, int B_, int BK> struct Stage {
    static const int V = PACK<T>;
    // Threads run along the fast axis; what they do not cover in one pass, they do in the next.
    static const int ALONG = (Op::k_fast ? BK : B_) / V;
    static const int ACROSS = TILE_THREADS / ALONG;
    static const int PASSES = (Op::k_fast ? B_ : BK) / ACROSS;
    static_assert(TILE_THREADS % ALONG == 0 && PASSES > 0, "the tile does not suit the block");

    typename Op::Slot slots[PASSES];
    Pack<T, V> packs[PASSES];

    static DEVICE int along() { return threadIdx.x % ALONG * V; }
    static DEVICE int across(int p) { return threadIdx.x / ALONG + p * ACROSS; }
    static DEVICE int row(int p) { return Op::k_fast ? across(p) : along(); }
    static DEVICE int col(int p) { return Op::k_fast ? along() : across(p); }

    DEVICE void prepare(const Op &op, i32 row0) {
        UNROLL
        for (int p = 0; p < PASSES; p++) {
            slots[p] = op.slot(row0 + row(p));
        }
    }
    DEVICE void fetch(const Op &op, i32 row0, i32 k0) {
        UNROLL
        for (int p = 0; p < PASSES; p++) {
            packs[p] = fetched<T>(op, slots[p], row0 + row(p), k0 + col(p));
        }
    }
    // put_k writes S[k][row]: a row of S is one k.
    template <int LD> DEVICE void put_k(T (*S)[LD]) const {
        UNROLL
        for (int p = 0; p < PASSES; p++) {
            UNROLL
            for (int e = 0; e < V; e++) {
                S[col(p) + (Op::k_fast ? e : 0)][row(p) + (Op::k_fast ? 0 : e)] = packs[p].v[e];
            }
        }
    }
    // direct reports whether packs can be copied to S[row][k] as they are.
    static DEVICE bool direct(const Op &op) { return Op::k_fast && op.vec; }

    // start_row begins to write S[row][k]: by asynchronous copies, or by loads into registers that
    // finish_row stores. S must not be read any more.
    template <int LD> DEVICE void start_row(const Op &op, i32 row0, i32 k0, T (*S)[LD]) {
        if (!direct(op)) {
            fetch(op, row0, k0);
            return;
        }
        UNROLL
        for (int p = 0; p < PASSES; p++) {
            T *to = &S[row(p)][col(p)];
            if (const T *from = op.at(slots[p], row0 + row(p), k0 + col(p))) {
                copy_async16(to, from);
            } else {
                store_pack<V>(to, Pack<T, V>());
            }
        }
    }
    template <int LD> DEVICE void finish_row(const Op &op, T (*S)[LD]) const {
        if (direct(op)) {
            return;
        }
        UNROLL
        for (int p = 0; p < PASSES; p++) {
            if constexpr (Op::k_fast) {
                store_pack<V>(&S[row(p)][col(p)], packs[p]);
            } else {
                UNROLL
                for (int e = 0; e < V; e++) {
                    S[row(p) + e][col(p)] = packs[p].v[e];
                }
            }
        }
    }
};

// A Place is a block's tile. Blocks along x go through the tiles of a row first, so that the blocks
// which run at once share rows of A in the cache.
struct Place {
    i32 m0, n0;
};

DEVICE Place place_of(i32 cols, int bm, int bn) {
    u32 across = (u32)(cols + bn - 1) / bn, row = blockIdx.x / across;
    Place p = {(i32)row * bm, (i32)(blockIdx.x - row * across) * bn};
    return p;
}

// The two buffers of A and B in shared memory. They belong to a function of their own, because a
// kernel that instantiates a product for several operands should not pay for its memory several
// times.
template <typename TA, typename TB> struct Buffers {
    TA a[2];
    TB b[2];
};

template <typename TA, typename TB> DEVICE Buffers<TA, TB> &buffers() {
    __shared__ __align__(16) Buffers<TA, TB> room;
    return room;
}

// product_simt: 16×16 threads; thread (tx, ty) owns rows ty·4 + {0…3} + 64·i and columns tx·4 +
// {0…3} + 64·j, so that a warp reads shared memory in runs without bank conflicts.
template <typename T, int BM, int BN, typename OpA, typename OpB, typename Out>
DEVICE void product_simt(const OpA &a, const OpB &b, const Out &out, i32 m0, i32 n0, i32 k_from,
                         i32 k_to) {
    const int BK = 16, PAD = 4, TM = BM / 16, TN = BN / 16;
    auto &As = buffers<T[BK][BM + PAD], T[BK][BN + PAD]>().a;
    auto &Bs = buffers<T[BK][BM + PAD], T[BK][BN + PAD]>().b;
    const int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
    Stage<T, OpA, BM, BK> fa;
    Stage<T, OpB, BN, BK> fb;
    T acc[TM][TN] = {};
    fa.prepare(a, m0);
    fb.prepare(b, n0);
    int now = 0;
    if (k_from < k_to) {
        fa.fetch(a, m0, k_from);
        fb.fetch(b, n0, k_from);
        fa.put_k(As[0]);
        fb.put_k(Bs[0]);
    }
    __syncthreads();
    for (i32 k0 = k_from; k0 < k_to; k0 += BK) {
        bool more = k0 + BK < k_to;
        if (more) { // under way while we multiply
            fa.fetch(a, m0, k0 + BK);
            fb.fetch(b, n0, k0 + BK);
        }
        UNROLL_BY(4)
        for (int k = 0; k < BK; k++) {
            T av[TM], bv[TN];
            UNROLL
            for (int i = 0; i < TM; i++) {
                av[i] = As[now][k][ty * 4 + i % 4 + i / 4 * 64];
            }
            UNROLL
            for (int j = 0; j < TN; j++) {
                bv[j] = Bs[now][k][tx * 4 + j % 4 + j / 4 * 64];
            }
            UNROLL
            for (int i = 0; i < TM; i++) {
                UNROLL
                for (int j = 0; j < TN; j++) {
                    acc[i][j] = fma_of(av[i], bv[j], acc[i][j]);
                }
            }
        }
        now ^= 1;
        if (more) {
            fa.put_k(As[now]);
            fb.put_k(Bs[now]);
        }
        __syncthreads();
    }
    UNROLL
    for (int i = 0; i < TM; i++) {
        UNROLL
        for (int j = 0; j < TN; j += 4) {
            i32 m = m0 + ty * 4 + i % 4 + i / 4 * 64, n = n0 + tx * 4 + j / 4 * 64;
            out.template put<4>(m, n, &acc[i][j]);
        }
    }
}

// product_mma: 8 warps in 2×4; a warp computes BM/2 × BN/4 in pieces of 16×8. Shared rows are 40
// elements apart: the fragments' 32-bit words of 8 rows then lie in 32 different banks.
template <int BM, int BN, typename OpA, typename OpB, typename Out>
DEVICE void product_mma(const OpA &a, const OpB &b, const Out &out, i32 m0, i32 n0, i32 k_from,
                        i32 k_to) {
    const int BK = 32, LD = BK + 8, WM = BM / 2, WN = BN / 4, MI = WM / 16, NI = WN / 8;
    auto &As = buffers<bf16[BM][LD], bf16[BN][LD]>().a;
    auto &Bs = buffers<bf16[BM][LD], bf16[BN][LD]>().b;
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, g = lane / 4, t = lane % 4;
    const int wm = warp / 4 * WM, wn = warp % 4 * WN;
    Stage<bf16, OpA, BM, BK> fa;
    Stage<bf16, OpB, BN, BK> fb;
    float acc[MI][NI][4] = {};
    fa.prepare(a, m0);
    fb.prepare(b, n0);
    int now = 0;
    if (k_from < k_to) {
        fa.start_row(a, m0, k_from, As[0]);
        fb.start_row(b, n0, k_from, Bs[0]);
        copy_commit();
        fa.finish_row(a, As[0]);
        fb.finish_row(b, Bs[0]);
        copy_wait<0>();
    }
    __syncthreads();
    for (i32 k0 = k_from; k0 < k_to; k0 += BK) {
        bool more = k0 + BK < k_to;
        if (more) { // under way while we multiply
            fa.start_row(a, m0, k0 + BK, As[now ^ 1]);
            fb.start_row(b, n0, k0 + BK, Bs[now ^ 1]);
            copy_commit();
        }
        UNROLL_BY(1) // two copies' fragments would not fit the registers
        for (int k = 0; k < BK; k += 16) {
            u32 av[MI][4], bv[NI][2];
            UNROLL
            for (int i = 0; i < MI; i++) {
                const bf16 *p = &As[now][wm + i * 16 + g][k + 2 * t];
                av[i][0] = *(const u32 *)p;
                av[i][1] = *(const u32 *)(p + 8 * LD);
                av[i][2] = *(const u32 *)(p + 8);
                av[i][3] = *(const u32 *)(p + 8 * LD + 8);
            }
            UNROLL
            for (int j = 0; j < NI; j++) {
                const bf16 *p = &Bs[now][wn + j * 8 + g][k + 2 * t];
                bv[j][0] = *(const u32 *)p;
                bv[j][1] = *(const u32 *)(p + 8);
            }
            UNROLL
            for (int i = 0; i < MI; i++) {
                UNROLL
                for (int j = 0; j < NI; j++) {
                    mma_m16n8k16(acc[i][j], av[i], bv[j]);
                }
            }
        }
        now ^= 1;
        if (more) {
            fa.finish_row(a, As[now]);
            fb.finish_row(b, Bs[now]);
            copy_wait<0>();
        }
        __syncthreads();
    }
    UNROLL
    for (int i = 0; i < MI; i++) {
        UNROLL
        for (int j = 0; j < NI; j++) {
            UNROLL
            for (int h = 0; h < 2; h++) {
                i32 m = m0 + wm + i * 16 + g + h * 8, n = n0 + wn + j * 8 + 2 * t;
                out.template put<2>(m, n, &acc[i][j][2 * h]);
            }
        }
    }
}

// Simt and Mma name the products, for kernels that take one as a parameter.
template <int BM, int BN> struct Simt {
    template <typename T, typename OpA, typename OpB, typename Out>
    static DEVICE void run(const OpA &a, const OpB &b, const Out &out, i32 from, i32 to) {
        Place p = place_of(out.cols, BM, BN);
        product_simt<T, BM, BN>(a, b, out, p.m0, p.n0, from, to);
    }
};

template <int BM, int BN> struct Mma {
    template <typename T, typename OpA, typename OpB, typename Out>
    static DEVICE void run(const OpA &a, const OpB &b, const Out &out, i32 from, i32 to) {
        Place p = place_of(out.cols, BM, BN);
        product_mma<BM, BN>(a, b, out, p.m0, p.n0, from, to);
    }
};
