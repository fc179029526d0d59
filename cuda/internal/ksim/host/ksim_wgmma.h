// ksim_wgmma.h: wgmma.mma_async with bfloat16 operands in shared memory, as the PTX ISA (9.0,
// section 9.7.15) describes it: descriptors, the four modes of swizzling, both majornesses. Part of
// ksim.cc.
//
// A product happens when it is waited for, and until then its sums are NaN: a missing wait, or
// operands that are written again too early, give wrong numbers. Not modelled: that the four warps
// of a warpgroup must arrive together, and the base offset of a pattern that begins off its
// boundary, which is a fault here.
#pragma once

// An address of shared memory is not a multiple of what swizzling repeats at, so that a kernel must
// see to that.
const uint32_t shared_base = 16;

uint32_t shared_address(const void *p) {
    return shared_base + (uint32_t)((const char *)p - dynamic_start);
}

// proxy_fence: copies that have landed are visible to the tensor cores behind the next barrier.
void proxy_fence() { self->unfenced = false; }

// note_fences is called where a thread arrives at a barrier.
static void note_fences() {
    unfenced_threads += (int)self->unfenced - (int)self->late;
    self->late = self->unfenced;
}

void wgmma_fence() { self->registers_fenced = true; }

void wgmma(float *d, int n, uint64_t a, uint64_t b, bool ta, bool tb, int line) {
    if (warp_op(SHFL_IDX, line, 0xFFFFFFFFu, a, 0) != a ||
        warp_op(SHFL_IDX, line, 0xFFFFFFFFu, b, 0) != b) {
        fault("line %d: the lanes of a warp describe different matrices", line);
    }
    if (!self->registers_fenced) {
        fault("line %d: a product of the warpgroup before wgmma.fence", line);
    }
    if (unfenced_threads) {
        fault("line %d: %d threads have copied to shared memory without fence.proxy.async", line,
              unfenced_threads);
    }
    self->issued.push_back({d, n, a, b, ta, tb});
    std::vector<float> &sums = self->sums[d];
    if (sums.empty()) {
        sums.assign(d, d + n / 2);
        std::fill(d, d + n / 2, NAN);
    }
}

void wgmma_commit() {
    self->products.push_back(self->issued);
    self->issued.clear();
}

// element reads row r (of A, or column of B) and step k of the matrix that a descriptor tells of.
static float element(uint64_t descriptor, bool rows_fast, int r, int k) {
    auto field = [&](int bit) { return (uint32_t)(descriptor >> bit & 0x3FFF) << 4; };
    const uint32_t start = field(0), lead = field(16), stride = field(32);
    const int mode = descriptor >> 62, bits = mode ? 4 - mode : 0; // 128, 64, 32 bytes: 3, 2, 1
    const uint32_t width = 16u << bits;                            // of a swizzled line
    if (descriptor >> 49 & 7) {
        fault("the base offset of a descriptor is %d: not modelled", (int)(descriptor >> 49 & 7));
    }
    uint32_t at;
    if (!rows_fast) {
        at = r % 8 * width + r / 8 * stride + k % 8 * 2 + k / 8 * (mode ? 16 : lead);
    } else if (mode) {
        at = r % 8 * 2 + r / 8 * 16 % width + r / 8 * 16 / width * lead + k % 8 * width +
             k / 8 * stride;
    } else {
        at = r % 8 * 2 + r / 8 * stride + k % 8 * 16 + k / 8 * lead;
    }
    at += start;
    at ^= (at >> 7 & ((1u << bits) - 1)) << 4;
    if (at < shared_base || at - shared_base + 2 > dynamic_bytes) {
        fault("a descriptor leads to %u, outside %zu bytes of shared memory", at, dynamic_bytes);
    }
    uint16_t half;
    memcpy(&half, dynamic_start + (at - shared_base), 2);
    return half_of(half, 0);
}

// run_wgmma adds what a product gives this thread: rows g and g+8 of its warp's 16, two columns of
// every 8. Products of bfloat16 are exact in float; sums are rounded one by one, in order of k.
static void run_wgmma(const Product &p) {
    std::vector<float> &sums = self->sums[p.d];
    const int lane = self->where.lane, first = self->where.warp % 4 * 16 + lane / 4;
    float A[2][16];
    for (int k = 0; k < 32; k++) {
        A[k / 16][k % 16] = element(p.a, p.ta, first + k / 16 * 8, k % 16);
    }
    for (int i = 0; i < p.n / 2; i++) {
        if (i % 4 >= 2) {
            continue;
        }
        const int col = i / 4 * 8 + lane % 4 * 2 + i % 2;
        for (int k = 0; k < 16; k++) {
            float b = element(p.b, p.tb, col, k);
            sums[i] += A[0][k] * b;
            sums[i + 2] += A[1][k] * b;
        }
    }
}

void wgmma_wait(int n) {
    while ((int)self->products.size() > n) {
        std::vector<Product> group = self->products.front();
        self->products.erase(self->products.begin());
        for (const Product &p : group) {
            run_wgmma(p);
        }
    }
    auto pending = [](float *d) {
        for (const auto &group : self->products) {
            for (const Product &p : group) {
                if (p.d == d) {
                    return true;
                }
            }
        }
        return false;
    };
    for (auto it = self->sums.begin(); it != self->sums.end();) {
        if (pending(it->first)) {
            ++it;
            continue;
        }
        std::copy(it->second.begin(), it->second.end(), it->first);
        it = self->sums.erase(it);
    }
}
