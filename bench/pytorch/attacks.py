"""Goldens of package nn/attack: steps of FGSM and PGD on a small curved classifier.

Random starts come from our own streams, computed by philox.py.
"""

import torch
import torch.nn.functional as F

import philox
from losses import dlr, margin
from record import Golden, nchw, oihw

N, SIDE, CHANNELS, HIDDEN, CLASSES = 6, 4, 2, 5, 4
SEED, STREAM, STEP = 3, "attack", 2  # of the random start


def model(g):
    """conv 3x3, softplus, linear on the image flattened in (h, w, c) order."""
    w, b = g.normal(HIDDEN, 3, 3, CHANNELS) / 3, g.normal(HIDDEN)
    m, c = g.normal(CLASSES, SIDE * SIDE * HIDDEN) / 5, g.normal(CLASSES)
    for name, x in (("0.weight", w), ("0.bias", b), ("3.weight", m), ("3.bias", c)):
        g.put("in/" + name, x)

    def f(x):
        h = F.softplus(F.conv2d(nchw(x), oihw(w), b, padding=1))
        return F.linear(h.permute(0, 2, 3, 1).flatten(1), m, c)
    return f


def norms(x):
    return x.flatten(1).norm(dim=1).view(-1, 1, 1, 1)


def project(x, x0, norm, eps):
    if norm == "linf":
        return torch.minimum(torch.maximum(x, x0 - eps), x0 + eps).clamp(0, 1)
    d = x - x0
    d = d * torch.clamp(eps / norms(d).clamp(min=1e-30), max=1)
    return (x0 + d).clamp(0, 1)


def random_start(x0, norm, eps):
    if norm == "linf":
        u = torch.from_numpy(philox.uniform(SEED, STREAM, x0.shape, STEP))
        return project(x0 + (2 * eps * u - eps), x0, norm, eps)
    n = torch.from_numpy(philox.normal(SEED, STREAM, x0.shape, STEP))
    return (x0 + n * eps / norms(n)).clamp(0, 1)


def pgd(f, x0, y, norm, eps, alpha, steps, each, random):
    x = random_start(x0, norm, eps) if random else x0
    for _ in range(steps):
        x = x.detach().requires_grad_()
        d, = torch.autograd.grad(each(f(x), y).sum(), x)
        d = d.sign() if norm == "linf" else d / (norms(d) + 1e-10)
        x = project(x + alpha * d, x0, norm, eps)
    return x


def square(f, x0, y, eps, queries):
    """Square attack (Andriushchenko et al. 2020) in the L-inf norm, images in single precision as
    ours are."""
    halvings = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
    n, h, w, c = x0.shape
    score = lambda x: -margin(f(x.double()), y)  # positive where the image stands
    best = x0.clone()
    now = score(best)

    def put(candidate, image, rows, cols, channel, delta):
        at = (image, rows, cols, channel)
        d = delta.double().clamp(-eps, eps)
        candidate[at] = (x0[at].double() + d).clamp(0, 1).float()

    for t in range(queries):
        candidate = best.clone()
        for i in range(n):
            if now[i] < 0:
                continue
            stream = philox.stream_id(STREAM) ^ ((i + 1) * 0x9E3779B97F4A7C15 % 2**64)
            draws = iter(philox.words(SEED, stream, h * w * c + 2, t).tolist())
            below = lambda k: next(draws) * k >> 32
            if t == 0:
                for column in range(w):
                    for ch in range(c):
                        d = eps * (2 * below(2) - 1)
                        put(candidate, i, slice(None), column, ch, torch.full((h,), d))
                continue
            p = 0.8 / 2 ** sum(t > k for k in halvings)
            side = min(max(round((p * h * w) ** 0.5), 1), h, w)
            top, left = below(h - side + 1), below(w - side + 1)
            rows, cols = slice(top, top + side), slice(left, left + side)
            for ch in range(c):
                d = 2 * eps * (2 * below(2) - 1)
                put(candidate, i, rows, cols, ch,
                    best[i, rows, cols, ch].double() - x0[i, rows, cols, ch].double() + d)
        new = score(candidate)
        for i in range(n):
            if now[i] >= 0 and (t == 0 or new[i] < now[i]):
                best[i], now[i] = candidate[i], new[i]
    return best


def write():
    g = Golden("nn/attack/testdata/attacks.safetensors")
    f, x = model(g), g.uniform(0, 1, N, SIDE, SIDE, CHANNELS)
    x[0, 0] = 0  # against the end of the range of pixels
    # Right or second: where the label is third the DLR is 1 whatever x is, and its gradient
    # rounding.
    y = f(x).argsort(1, descending=True)[torch.arange(N), torch.arange(N) % 2]
    g.put("in/x", x)
    g.put("in/labels", y)
    ce = lambda z, y: F.cross_entropy(z, y, reduction="none")
    for norm, eps, alpha in (("linf", 8 / 255, 3 / 255), ("l2", 0.5, 0.2)):
        for steps in (1, 3):
            for random in (False, True):
                name = f"{norm} {steps}{' random' if random else ''}"
                g.put(name, pgd(f, x, y, norm, eps, alpha, steps, ce, random))
        for objective, each in (("margin", margin), ("dlr", dlr)):
            g.put(f"{norm} {objective}", pgd(f, x, y, norm, eps, alpha, 3, each, False))
    g.put("fgsm", pgd(f, x, y, "linf", 8 / 255, 10 / 255, 1, ce, True))
    g.put("fgsm, no random start", pgd(f, x, y, "linf", 8 / 255, 8 / 255, 1, ce, False))
    total = g.save()

    g = Golden("nn/attack/testdata/square.safetensors")
    f, x = model(g), g.uniform(0, 1, N, SIDE, SIDE, CHANNELS).float()
    y = f(x.double()).argmax(1)
    g.put("in/x", x.double())
    g.put("in/labels", y)
    for queries in (1, 4, 16):
        g.put(f"square {queries}", square(f, x, y, 8 / 255, queries).double())
    return total + g.save()
