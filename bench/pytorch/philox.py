"""Our random streams again, in numpy: tensor.Key, Uniform01, StdNormal and nn.Init's draws.

Written from the published formulas that tensor/rng.go states, so that weights, data and noise of
the longer comparisons need not be stored, and so that two programs agree on every bit of them.
"""

import numpy as np

M0, M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)  # Salmon et al., SC 2011, table 2
W0, W1 = 0x9E3779B9, 0xBB67AE85
LOW = np.uint64(0xFFFFFFFF)

# Polynomials of StdNormal: Giles 2011, table 5, and the tail fitted for 32-bit arguments.
CENTRAL = [2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087,
           -0.00125372503, -0.00417768164, 0.246640727, 1.50140941]
TAIL = [-1.44485814e-05, -0.000128422251, 0.00114864253, -0.0034075375, 0.00581355123,
        -0.0077129636, 0.00942707636, 1.00168177, 2.83297736]


def stream_id(name):
    """FNV-1a, 64 bits."""
    h = 14695981039346656037
    for c in name.encode():
        h = ((h ^ c) * 1099511628211) % 2**64
    return h


def words(seed, name, n, step=0):
    """The first n 32-bit words of the stream called name (or of that number): Philox4x32-10."""
    stream = name if isinstance(name, int) else stream_id(name)
    b = np.arange((n + 3) // 4, dtype=np.uint64)
    c0, c1 = b & LOW, np.full_like(b, step)
    c2 = np.full_like(b, stream & 0xFFFFFFFF)
    c3 = np.full_like(b, stream >> 32) ^ (b >> np.uint64(32))
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32
    for _ in range(10):
        p0, p1 = M0 * c0, M1 * c2
        c0, c1, c2, c3 = ((p1 >> np.uint64(32)) ^ c1 ^ np.uint64(k0), p1 & LOW,
                          (p0 >> np.uint64(32)) ^ c3 ^ np.uint64(k1), p0 & LOW)
        k0, k1 = (k0 + W0) % 2**32, (k1 + W1) % 2**32
    return np.stack([c0, c1, c2, c3], axis=1).reshape(-1)[:n]


def uniform01(w):
    """(w + 1/2) / 2^32, in (0, 1)."""
    return (w.astype(np.float64) + 0.5) * 2.0**-32


def log_det(x):
    """The natural logarithm by the series of tensor/rng.go, operation for operation."""
    bits = x.view(np.uint64)
    e = (bits >> np.uint64(52)).astype(np.int64) - 1023
    m = ((bits & np.uint64(2**52 - 1)) | np.uint64(1023 << 52)).view(np.float64)
    big = m > 2**0.5
    m, e = np.where(big, m / 2, m), np.where(big, e + 1, e)
    s = (m - 1) / (m + 1)
    s2, p = s * s, np.zeros_like(s)
    for k in range(21, 0, -2):
        p = 1 / k + p * s2
    return 2 * s * p + e * np.log(2.0)


def std_normal(w):
    """Standard normals by the inverse distribution function."""
    x = 2 * uniform01(w) - 1
    t = -log_det((1 - x) * (1 + x))
    central = t < 5
    t = np.where(central, t - 2.5, np.sqrt(t) - 3)
    p = np.where(central, CENTRAL[0], TAIL[0])
    for a, b in zip(CENTRAL[1:], TAIL[1:]):
        p = np.where(central, a, b) + p * t
    return 2**0.5 * (p * x)


def size(shape):
    return int(np.prod(shape, dtype=np.int64))


def normal(seed, name, shape, step=0):
    return std_normal(words(seed, name, size(shape), step)).reshape(shape)


def uniform(seed, name, shape, step=0):
    return uniform01(words(seed, name, size(shape), step)).reshape(shape)


def integers(seed, name, shape, n, step=0):
    """tensor.RNG.IntN: the high word of a product."""
    w = words(seed, name, size(shape), step)
    return ((w * np.uint64(n)) >> np.uint64(32)).astype(np.int64).reshape(shape)
