// ksim.cc: the scheduler, the guarded memory and the launch of ksim.h. Linux on x86-64.
#include "ksim.h"
#include "ksim_device.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string>
#include <sys/mman.h>
#include <ucontext.h>
#include <vector>

namespace ksim {

// ---- fibres: a stack and a saved stack pointer. A switch saves the registers that the calling
// convention makes the callee keep, which is all a cooperative switch needs.

extern "C" void ksim_switch(void **save, void *load);
asm(R"(
.text
.globl ksim_switch
.hidden ksim_switch
.type ksim_switch,@function
ksim_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size ksim_switch, .-ksim_switch
)");

const size_t page = 4096, stack_bytes = 64 << 10;

enum State { READY, AT_BARRIER, IN_WARP_OP, DONE };

struct Copy {
    void *to;
    const void *from;
    size_t bytes;
};

struct Product { // of a warpgroup; see ksim_wgmma.h
    float *d;
    int n;
    uint64_t a, b;
    bool ta, tb;
};

struct Thread { // first a cache line of what every switch reads
    void *sp, *stack;
    uint64_t value;
    Where where;
    State state;
    int line; // where it waits
    WarpOp op;
    unsigned mask;
    int arg;
    std::vector<std::vector<Copy>> groups; // committed asynchronous copies, oldest first
    std::vector<Copy> open;                // not yet committed
    bool unfenced, late; // copies landed since the last fence for the tensor cores; at a barrier
    bool registers_fenced;
    std::vector<std::vector<Product>> products; // committed groups, oldest first
    std::vector<Product> issued;                // not yet committed
    std::map<float *, std::vector<float>> sums; // of products that were not waited for
};

// ---- the state of the running launch. One at a time: launching holds a mutex.

Where *here;
dim3 block_idx, block_dim, grid_dim;
static Thread *self;
static void *scheduler_sp;
static std::vector<Thread> threads;
static std::vector<unsigned> ready;
static std::vector<void *> stacks; // free ones
static unsigned at_barrier, done;
static unsigned joined[32]; // by warp: the lanes that wait in a warp operation
static const Entry *kernel;
static const void *kernel_args;
static char *dynamic_start;
static size_t dynamic_bytes;
static int unfenced_threads; // that came to their last barrier so
static volatile bool running;
static pthread_t launcher; // the OS thread on which fibres run
static std::string fault_text;

static std::vector<Entry> &entries() {
    static std::vector<Entry> all;
    return all;
}

Registration::Registration(const Entry *e, int n) { entries().insert(entries().end(), e, e + n); }

static void record(const char *format, ...) {
    if (!fault_text.empty()) {
        return; // the first fault explains the others
    }
    char what[512], text[768];
    va_list ap;
    va_start(ap, format);
    vsnprintf(what, sizeof what, format, ap);
    va_end(ap);
    int n = snprintf(text, sizeof text, "%s: block (%u,%u,%u)", kernel ? kernel->name : "?",
                     block_idx.x, block_idx.y, block_idx.z);
    if (self) {
        n += snprintf(text + n, sizeof text - n, " thread (%u,%u,%u)", self->where.thread.x,
                      self->where.thread.y, self->where.thread.z);
    }
    snprintf(text + n, sizeof text - n, ": %s", what);
    fault_text = text;
}

// draw returns 64 random bits, the next of splitmix64 (Steele, Lea, Flood: Fast splittable
// pseudorandom number generators, 2014).
static uint64_t drawn;
static uint64_t draw() {
    uint64_t z = drawn += 0x9E3779B97F4A7C15;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
    z = (z ^ z >> 27) * 0x94D049BB133111EB;
    return z ^ z >> 31;
}

// leave returns from a fibre to the scheduler; an aborted one is never resumed.
static void leave() {
    Thread *t = self;
    ksim_switch(&t->sp, scheduler_sp);
    self = t;
    here = &t->where;
}

template <typename... A> static void fault(const char *format, A... a) {
    record(format, a...);
    leave();
}

// ---- waiting

static void note_fences();

void barrier(int line) {
    note_fences();
    self->state = AT_BARRIER;
    self->line = line;
    leave();
}

uint64_t warp_op(WarpOp op, int line, unsigned mask, uint64_t value, int arg) {
    if (!(mask >> self->where.lane & 1)) {
        fault("line %d: a lane outside the mask %#x calls the warp operation", line, mask);
    }
    self->state = IN_WARP_OP;
    self->line = line;
    self->op = op;
    self->mask = mask;
    self->value = value;
    self->arg = arg;
    leave();
    return self->value;
}

struct Turned {
    uint32_t *d;
    const char *row;
};

void load_turned(uint32_t d[4], const void *row, int line) {
    check_aligned(row, 16);
    Turned t = {d, (const char *)row};
    warp_op(TURNED, line, 0xFFFFFFFFu, (uint64_t)(uintptr_t)&t, 0);
}

// run_turned follows what port.h documents of ldmatrix: lane 8m + r says where row r of matrix m is.
static void run_turned(Thread *lane[32]) {
    const Turned *t[32];
    for (int l = 0; l < 32; l++) {
        t[l] = (const Turned *)(uintptr_t)lane[l]->value;
    }
    for (int l = 0; l < 32; l++) {
        for (int m = 0; m < 4; m++) {
            uint16_t half[2];
            for (int i = 0; i < 2; i++) {
                memcpy(&half[i], t[8 * m + l % 4 * 2 + i]->row + l / 4 * 2, 2);
            }
            t[l]->d[m] = half[0] | (uint32_t)half[1] << 16;
        }
    }
}

struct Fragments {
    float *d;
    const uint32_t *a, *b;
};

void mma_m16n8k16(float d[4], const uint32_t a[4], const uint32_t b[2], int line) {
    Fragments f = {d, a, b};
    warp_op(MMA, line, 0xFFFFFFFFu, (uint64_t)(uintptr_t)&f, 0);
}

static float half_of(uint32_t pair, int i) {
    uint32_t bits = (i ? pair >> 16 : pair & 0xFFFF) << 16;
    float x;
    memcpy(&x, &bits, 4);
    return x;
}

// run_mma follows the fragment layout that port.h documents. Products of bfloat16 are exact in
// float; the sum is rounded after each addition, in order of k.
static void run_mma(Thread *lane[32]) {
    typedef float Row __attribute__((vector_size(32)));
    float A[16][16];
    Row B[16], D[16]; // D's rows column by column at once: most of a test's time went into one by one
    const Fragments *f[32];
    for (int l = 0; l < 32; l++) {
        f[l] = (const Fragments *)(uintptr_t)lane[l]->value;
        int g = l / 4, t = l % 4;
        for (int i = 0; i < 2; i++) {
            A[g][2 * t + i] = half_of(f[l]->a[0], i);
            A[g + 8][2 * t + i] = half_of(f[l]->a[1], i);
            A[g][2 * t + 8 + i] = half_of(f[l]->a[2], i);
            A[g + 8][2 * t + 8 + i] = half_of(f[l]->a[3], i);
            B[2 * t + i][g] = half_of(f[l]->b[0], i);
            B[2 * t + 8 + i][g] = half_of(f[l]->b[1], i);
        }
        for (int i = 0; i < 4; i++) {
            D[g + i / 2 * 8][2 * t + i % 2] = f[l]->d[i];
        }
    }
    for (int row = 0; row < 16; row++) {
        Row sum = D[row];
        for (int k = 0; k < 16; k++) {
            sum += A[row][k] * B[k];
        }
        D[row] = sum;
    }
    for (int l = 0; l < 32; l++) {
        for (int i = 0; i < 4; i++) {
            f[l]->d[i] = D[l / 4 + i / 2 * 8][l % 4 * 2 + i % 2];
        }
    }
}

// source_of returns the lane from which l reads in a shuffle; past the warp's ends it reads itself.
static int source_of(const Thread &t, int l) {
    int from = t.op == SHFL_XOR    ? l ^ t.arg
               : t.op == SHFL_DOWN ? l + t.arg
               : t.op == SHFL_UP   ? l - t.arg
                                   : t.arg & 31;
    return from < 0 || from > 31 ? l : from;
}

// try_complete runs the warp operation that thread i has joined, if all lanes of its mask have.
static void try_complete(unsigned i) {
    unsigned first = i / 32 * 32, mask = threads[i].mask;
    size_t lanes = threads.size() - first;
    if (lanes < 32 && mask >> lanes) {
        record("line %d: the mask %#x names lanes that do not exist", threads[i].line, mask);
        return;
    }
    joined[i / 32] |= 1u << i % 32;
    if (mask & ~joined[i / 32]) {
        return; // not all there yet; if they never come, the block is stuck and says so
    }
    Thread *lane[32] = {};
    for (unsigned l = 0; l < 32; l++) {
        if (!(mask >> l & 1)) {
            continue;
        }
        Thread &t = threads[first + l];
        if (t.line != threads[i].line || t.op != threads[i].op || t.mask != mask) {
            return; // in another operation
        }
        lane[l] = &t;
    }
    joined[i / 32] &= ~mask;
    uint64_t in[32], votes = 0;
    for (unsigned l = 0; l < 32; l++) {
        if (lane[l]) {
            in[l] = lane[l]->value;
            votes |= (uint64_t)(in[l] & 1) << l;
        }
    }
    if (threads[i].op == MMA) {
        run_mma(lane);
    } else if (threads[i].op == TURNED) {
        run_turned(lane);
    }
    for (unsigned l = 0; l < 32; l++) {
        if (!lane[l]) {
            continue;
        }
        Thread &t = *lane[l];
        if (t.op == BALLOT) {
            t.value = votes;
        } else if (t.op < BALLOT) {
            int from = source_of(t, l);
            if (!lane[from]) {
                record("line %d: lane %u reads lane %d outside the mask %#x", t.line, l, from,
                       mask);
                return;
            }
            t.value = in[from];
        }
        t.state = READY;
        ready.push_back(first + l);
    }
}

// ---- asynchronous copies: each lands at once or when it is waited for, so that both a missing wait
// and a copy into what others still read show

void copy_async(void *shared, const void *global, size_t bytes) {
    check_aligned(shared, bytes);
    check_aligned(global, bytes);
    if (draw() & 1) { // landed already
        memcpy(shared, global, bytes);
        bytes = 0;
    }
    self->open.push_back({shared, global, bytes});
}

void copy_commit() {
    self->groups.push_back(self->open);
    self->open.clear();
}

void copy_wait(int n) {
    while ((int)self->groups.size() > n) {
        for (const Copy &c : self->groups.front()) {
            memcpy(c.to, c.from, c.bytes);
            self->unfenced = true;
        }
        self->groups.erase(self->groups.begin());
    }
}

void check_aligned(const void *p, size_t bytes) {
    if ((uintptr_t)p % bytes) {
        fault("misaligned access of %zu bytes at %p", bytes, p);
    }
}

#include "ksim_wgmma.h"

// ---- blocks

static void thread_main() {
    kernel->run(kernel_args);
    if (!self->open.empty() || !self->groups.empty()) {
        record("the thread ends with asynchronous copies that nobody waited for");
    }
    if (!self->issued.empty() || !self->products.empty()) {
        record("the thread ends with products of its warpgroup that nobody waited for");
    }
    self->state = DONE;
    leave();
    __builtin_trap(); // a finished thread is not resumed
}

static void start_fibre(Thread &t) {
    if (stacks.empty()) {
        char *m = (char *)mmap(nullptr, stack_bytes + page, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        mprotect(m, page, PROT_NONE);
        stacks.push_back(m + page);
    }
    t.stack = stacks.back();
    stacks.pop_back();
    // Stacks lie a multiple of a page apart, and caches go by the place in a page: spread them.
    void **top = (void **)((char *)t.stack + stack_bytes - t.where.lane * 128);
    *--top = nullptr; // thread_main returns nowhere; keeps the stack aligned as after a call
    *--top = (void *)thread_main;
    for (int i = 0; i < 6; i++) {
        *--top = nullptr;
    }
    t.sp = top;
}

static void reset_threads(unsigned n) {
    threads.resize(n);
    ready.clear();
    at_barrier = done = 0;
    unfenced_threads = 0;
    memset(joined, 0, sizeof joined);
    for (unsigned i = 0; i < n; i++) {
        Thread &t = threads[i];
        t.where = {{i % block_dim.x, i / block_dim.x % block_dim.y, i / block_dim.x / block_dim.y},
                   i % 32, i / 32};
        t.state = READY;
        t.stack = nullptr;
        t.open.clear();
        t.groups.clear();
        t.unfenced = t.late = t.registers_fenced = false;
        t.products.clear();
        t.issued.clear();
        t.sums.clear();
        ready.push_back(i);
    }
}

// stuck reports why no thread can go on: each place where threads wait, with how many.
static void stuck() {
    std::map<std::string, unsigned> places;
    for (const Thread &t : threads) {
        char at[96];
        if (t.state == DONE) {
            snprintf(at, sizeof at, "have returned");
        } else {
            snprintf(at, sizeof at, "wait at line %d (%s)", t.line,
                     t.state == AT_BARRIER ? "barrier" : "warp operation");
        }
        places[at]++;
    }
    std::string text = "divergent barrier or warp operation:";
    for (const auto &p : places) {
        text += " " + std::to_string(p.second) + " threads " + p.first + ";";
    }
    self = nullptr;
    record("%s", text.c_str());
}

// settle takes note of where thread i stopped and wakes whom that releases.
static void settle(unsigned i) {
    Thread &t = threads[i];
    switch (t.state) {
    case DONE:
        done++;
        stacks.push_back(t.stack);
        t.stack = nullptr;
        break;
    case IN_WARP_OP:
        try_complete(i);
        break;
    case AT_BARRIER:
        if (++at_barrier < threads.size()) {
            break;
        }
        for (const Thread &u : threads) {
            if (u.line != t.line) {
                stuck();
                return;
            }
        }
        at_barrier = 0;
        for (unsigned k = 0; k < threads.size(); k++) {
            threads[k].state = READY;
            ready.push_back(k);
        }
        break;
    case READY: // only a fault leaves a thread like this
        break;
    }
}

static void run_block() {
    reset_threads(block_dim.x * block_dim.y * block_dim.z);
    while (!ready.empty() && fault_text.empty()) {
        size_t r = (draw() >> 32) * ready.size() >> 32;
        unsigned i = ready[r];
        ready[r] = ready.back();
        ready.pop_back();
        self = &threads[i];
        here = &self->where;
        if (!self->stack) {
            start_fibre(*self);
        }
        running = true;
        ksim_switch(&scheduler_sp, self->sp);
        running = false;
        settle(i);
    }
    if (fault_text.empty() && done < threads.size()) {
        stuck();
    }
    for (Thread &t : threads) {
        if (t.stack) {
            stacks.push_back(t.stack);
            t.stack = nullptr;
        }
    }
    self = nullptr;
}

// ---- guarded memory: [no access] [zone … bytes … up to 15 of zone] [no access]

const unsigned char zone_byte = 0xA5;
const size_t watched = 64; // bytes of zone inspected after each launch

struct Block {
    char *map;
    size_t map_bytes, bytes;
};
static std::map<char *, Block> blocks;
static std::recursive_mutex lock;

static bool zone_intact(const char *from, const char *to) {
    for (; from < to; from++) {
        if ((unsigned char)*from != zone_byte) {
            return false;
        }
    }
    return true;
}

// check_zones reports damage and repairs it, so that it is reported once.
static void check_zones(char *p, const Block &b) {
    char *first = std::max(b.map + page, p - watched), *last = b.map + b.map_bytes - page;
    if (!zone_intact(first, p)) {
        record("wrote before the start of a block of %zu bytes at %p", b.bytes, p);
        memset(first, zone_byte, p - first);
    }
    if (!zone_intact(p + b.bytes, last)) {
        record("wrote past the end of a block of %zu bytes at %p", b.bytes, p);
        memset(p + b.bytes, zone_byte, last - p - b.bytes);
    }
}

static void *allocate(size_t bytes) {
    bool more = !bytes || bytes % page > page - watched; // there is always room for a zone in front
    size_t body = (bytes + page - 1) / page * page + more * page;
    Block b = {nullptr, body + 2 * page, bytes};
    void *m = mmap(nullptr, b.map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
                   0);
    if (m == MAP_FAILED) {
        return nullptr;
    }
    b.map = (char *)m;
    mprotect(b.map + page, body, PROT_READ | PROT_WRITE);
    char *p = b.map + page + body - (bytes + 15) / 16 * 16;
    memset(b.map + page, zone_byte, body);
    memset(p, 0xFF, bytes);
    blocks[p] = b;
    return p;
}

// describe says where a bad address lies relative to the nearest block.
static std::string describe(char *at) {
    char text[160];
    for (const auto &e : blocks) {
        const Block &b = e.second;
        if (at < b.map || at >= b.map + b.map_bytes) {
            continue;
        }
        if (at >= e.first + b.bytes) {
            snprintf(text, sizeof text, "%p, %zd bytes past the end of a block of %zu bytes", at,
                     (ssize_t)(at - e.first - b.bytes), b.bytes);
        } else {
            snprintf(text, sizeof text, "%p, %zd bytes before a block of %zu bytes", at,
                     (ssize_t)(e.first - at), b.bytes);
        }
        return text;
    }
    snprintf(text, sizeof text, "%p, in no block", at);
    return text;
}

// ---- signals: an illegal access in a kernel becomes a fault of the launch. The handler lets the
// fibre go on in abandon(), which switches to the scheduler.

static struct sigaction old_segv, old_bus, old_ill;

static void abandon() { leave(); }

static void on_signal(int sig, siginfo_t *info, void *context) {
    const struct sigaction &old = sig == SIGSEGV ? old_segv : sig == SIGBUS ? old_bus : old_ill;
    if (!running || !pthread_equal(launcher, pthread_self())) { // not a kernel's
        if (old.sa_flags & SA_SIGINFO) {
            old.sa_sigaction(sig, info, context);
        } else {
            sigaction(sig, &old, nullptr);
        }
        return;
    }
    if (sig == SIGILL) {
        record("undefined behaviour: an index outside its array, a shift or signed overflow, "
               "or a misaligned pointer");
    } else {
        record("illegal address %s", describe((char *)info->si_addr).c_str());
    }
    greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
    regs[REG_RSP] = (regs[REG_RSP] - 512) & ~(greg_t)15;
    regs[REG_RSP] -= 8; // as after a call
    regs[REG_RIP] = (greg_t)(uintptr_t)abandon;
}

static void install_handlers() {
    struct sigaction sa = {};
    sa.sa_sigaction = on_signal;
    sa.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    sigaction(SIGSEGV, &sa, &old_segv);
    sigaction(SIGBUS, &sa, &old_bus);
    sigaction(SIGILL, &sa, &old_ill);
}

static void restore_handlers() {
    sigaction(SIGSEGV, &old_segv, nullptr);
    sigaction(SIGBUS, &old_bus, nullptr);
    sigaction(SIGILL, &old_ill, nullptr);
}

// ---- launch

void *dynamic_shared() { return dynamic_start; }

static const Entry *find(const char *name) {
    for (const Entry &e : entries()) {
        if (!strcmp(e.name, name)) {
            return &e;
        }
    }
    return nullptr;
}

static bool launchable(const char *name, const unsigned *grid, const unsigned *block,
                       unsigned shared_bytes, size_t args_size) {
    kernel = find(name);
    char text[200];
    unsigned long n = (unsigned long)block[0] * block[1] * block[2];
    if (!kernel) {
        snprintf(text, sizeof text, "no kernel is called %s", name);
    } else if (kernel->args_size != args_size) {
        snprintf(text, sizeof text, "%s: its argument takes %zu bytes, got %zu", name,
                 kernel->args_size, args_size);
    } else if (!n || n > 1024 || block[2] > 64 || !grid[0] || !grid[1] || !grid[2] ||
               grid[0] > 0x7FFFFFFF || grid[1] > 65535 || grid[2] > 65535 ||
               shared_bytes > 227 << 10) {
        snprintf(text, sizeof text, "%s: launch configuration outside the device's limits: grid "
                 "%u×%u×%u, block %u×%u×%u, shared %u", name, grid[0], grid[1], grid[2], block[0],
                 block[1], block[2], shared_bytes);
    } else {
        return true;
    }
    fault_text = text;
    return false;
}

static void run_grid(const unsigned *grid, unsigned shared_bytes, unsigned char poison) {
    uint64_t n = (uint64_t)grid[0] * grid[1] * grid[2];
    uint64_t first = draw() % n;
    for (uint64_t k = 0; k < n && fault_text.empty(); k++) {
        uint64_t at = k;
        if (n > 1) { // start anywhere, run forward or backward: blocks may not rely on an order
            at = (first + (first & 1 ? k : n - k)) % n;
        }
        block_idx = {(unsigned)(at % grid[0]), (unsigned)(at / grid[0] % grid[1]),
                     (unsigned)(at / grid[0] / grid[1])};
        memset(kernel->shared_start, poison, kernel->shared_end - kernel->shared_start);
        memset(dynamic_start, poison, shared_bytes);
        run_block();
    }
}

static int launch(const char *name, const unsigned *grid, const unsigned *block,
                  unsigned shared_bytes, const void *args, size_t args_size, uint64_t seed) {
    fault_text.clear();
    self = nullptr;
    if (!launchable(name, grid, block, shared_bytes, args_size)) {
        return 1;
    }
    std::vector<char> copy((const char *)args, (const char *)args + args_size);
    kernel_args = copy.data();
    drawn = seed;
    grid_dim = {grid[0], grid[1], grid[2]};
    block_dim = {block[0], block[1], block[2]};
    dynamic_start = (char *)allocate(shared_bytes);
    dynamic_bytes = shared_bytes;
    launcher = pthread_self();
    install_handlers();
    run_grid(grid, shared_bytes, seed & 1 ? 0x7F : 0xFF);
    restore_handlers();
    for (const auto &e : blocks) {
        check_zones(e.first, e.second);
    }
    ksim_free(dynamic_start);
    return !fault_text.empty();
}

} // namespace ksim

extern "C" int ksim_launch(const char *name, const unsigned grid[3], const unsigned block[3],
                           unsigned shared_bytes, const void *args, size_t args_size,
                           uint64_t seed) {
    std::lock_guard<std::recursive_mutex> hold(ksim::lock);
    return ksim::launch(name, grid, block, shared_bytes, args, args_size, seed);
}

extern "C" const char *ksim_error(void) { return ksim::fault_text.c_str(); }

extern "C" void *ksim_alloc(size_t bytes) {
    std::lock_guard<std::recursive_mutex> hold(ksim::lock);
    return ksim::allocate(bytes);
}

extern "C" void ksim_free(void *p) {
    std::lock_guard<std::recursive_mutex> hold(ksim::lock);
    auto it = ksim::blocks.find((char *)p);
    if (it != ksim::blocks.end()) {
        munmap(it->second.map, it->second.map_bytes);
        ksim::blocks.erase(it);
    }
}

extern "C" size_t ksim_args_size(const char *name) {
    const ksim::Entry *e = ksim::find(name);
    return e ? e->args_size : 0;
}

extern "C" const char *ksim_name(int i) {
    const auto &all = ksim::entries();
    return i >= 0 && i < (int)all.size() ? all[i].name : nullptr;
}
