"""Goldens of package nn: layers to second order, running statistics, spectral normalisation."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch.nn.utils import spectral_norm

import philox
from record import Golden, nchw, nhwc, oihw

EPS = 1e-5  # of batch normalisation


def normalise(x, eps):
    return x / torch.clamp(torch.linalg.vector_norm(x), min=eps)


def power_iteration(w, u, eps):
    """One iteration from u: the new u and v, constants, and sigma, a function of w."""
    m = w.reshape(w.shape[0], -1)
    with torch.no_grad():
        v = normalise(m.t() @ u, eps)
        u = normalise(m @ v, eps)
    return u, v, torch.dot(u, m @ v)


def spectral(w, u, eps):
    """W/sigma after one power iteration from u, by the algorithm of Miyato et al. 2018."""
    return w / power_iteration(w, u, eps)[2]


def linear_and_conv():
    g = Golden("nn/testdata/linear.safetensors")
    g.case("linear", F.linear, g.normal(3, 5), g.normal(4, 5), g.normal(4))
    for name, stride, pad, dil, groups in (("conv", 2, 1, 1, 1), ("conv groups", 1, 2, 2, 2)):
        g.case(name, lambda x, w, b: nhwc(F.conv2d(nchw(x), oihw(w), b, stride, pad, dil, groups)),
               g.normal(2, 5, 5, 4), g.normal(6, 3, 3, 4 // groups), g.normal(6))
    idx = torch.tensor([2, 0, 2, 1])
    g.case("embedding", lambda w, i: F.embedding(i, w), g.normal(3, 4), idx)
    mean, std = torch.tensor([[0.5, 0.4, 0.3], [0.25, 0.2, 0.5]], dtype=torch.float64)
    g.case("normalize", lambda x: (x - mean) / std, g.uniform(0, 1, 2, 3, 3, 3))
    return g.save()


def batch_norm():
    """Three training steps' running statistics, then evaluation, of torch.nn.BatchNorm2d itself."""
    g = Golden("nn/testdata/batchnorm.safetensors")
    l = torch.nn.BatchNorm2d(3, eps=EPS).double()
    gamma, beta = g.off_zero(3), g.normal(3)
    with torch.no_grad():
        l.weight.copy_(gamma)
        l.bias.copy_(beta)
    for step in range(3):
        x = g.normal(4, 3, 2, 3) * (step + 1) + step
        g.put(f"in/step{step}", x)
        g.put(f"step{step}/y", nhwc(l(nchw(x))))
        g.put(f"step{step}/running_mean", l.running_mean)
        g.put(f"step{step}/running_var", l.running_var)
    mean, var = l.running_mean.clone(), l.running_var.clone()

    def evaluate(x, gamma, beta, mean, var):
        return nhwc(F.batch_norm(nchw(x), mean, var, gamma, beta, False, 0.1, EPS))

    x = g.normal(4, 3, 2, 3)
    with torch.no_grad():  # the module in evaluation is the function that the case differentiates
        assert torch.equal(nhwc(l.eval()(nchw(x))), evaluate(x, gamma, beta, mean, var))
    g.case("eval", evaluate, x, gamma, beta, mean, var, const=(3, 4))
    g.case("train", lambda x, a, b: nhwc(F.batch_norm(nchw(x), None, None, a, b, True, 0.1, EPS)),
           x, gamma, beta)
    total = g.save()

    # Standing statistics (Brock et al., section C.1): averages of batches' means and biased
    # variances, then evaluation.
    g = Golden("nn/testdata/standing.safetensors")
    batches = [g.normal(4, 3, 2, 3) * (k + 1) - k for k in range(3)]
    for k, x in enumerate(batches):
        g.put(f"in/{k}", x)
    stats = [torch.var_mean(x, (0, 1, 2), correction=0) for x in batches]
    var, mean = (torch.stack(s).mean(0) for s in zip(*stats))
    g.put("in/gamma", gamma)
    g.put("in/beta", beta)
    g.put("running_mean", mean)
    g.put("running_var", var)
    g.put("y", evaluate(batches[0], gamma, beta, mean, var))
    return total + g.save()


def conv_norm():
    """A convolution and the batch norm behind it, in training and, where ours folds them into one,
    in evaluation."""
    g = Golden("nn/testdata/convnorm.safetensors")

    def f(train, relu, x, w, b, gamma, beta, mean, var, *res):
        h = F.conv2d(nchw(x), oihw(w), b, padding=1)
        h = F.batch_norm(h, None if train else mean, None if train else var, gamma, beta, train,
                         0.1, EPS)
        return F.relu(nhwc(h) + sum(res)) if relu else nhwc(h)

    for name, train, relu, res in (("train", True, False, False), ("eval", False, False, False),
                                   ("relu train", True, True, True),
                                   ("relu eval", False, True, True)):
        ins = [g.normal(2, 4, 3, 2), g.normal(3, 3, 3, 2), g.normal(3), g.off_zero(3), g.normal(3),
               g.normal(3), g.uniform(0.5, 2, 3)] + ([g.normal(2, 4, 3, 3)] if res else [])
        g.case(name, lambda *a: f(train, relu, *a), *ins, const=(5, 6))
    return g.save()


def spectral_norm_layers():
    """torch.nn.utils.spectral_norm, the hook, whose iteration starts from u as the paper's and ours
    do."""
    g = Golden("nn/testdata/spectral.safetensors")
    eps = 1e-6

    def hooked(layer, w, u):
        layer = spectral_norm(layer.double(), n_power_iterations=1, eps=eps)
        with torch.no_grad():
            layer.weight_orig.copy_(w)
            layer.weight_u.copy_(u)
        return layer

    w, u, x, b = g.normal(4, 5), normalise(g.normal(4), 0), g.normal(3, 5), g.normal(4)
    f = lambda x, w, b, u: F.linear(x, spectral(w, u, eps), b)
    layer = hooked(torch.nn.Linear(5, 4), w, u)
    with torch.no_grad():
        layer.bias.copy_(b)
        # The hook agrees with the formula.
        assert torch.allclose(layer(x), f(x, w, b, u), rtol=0, atol=1e-15)
    g.case("linear", f, x, w, b, u, const=(3,))
    g.put("linear/u", layer.weight_u)  # after the one iteration
    with torch.no_grad():
        for _ in range(2):
            layer(x)
    g.put("linear/u3", layer.weight_u)  # after three

    w, u, x = g.normal(6, 3, 3, 2), normalise(g.normal(6), 0), g.normal(2, 4, 4, 2)
    f = lambda x, w, u: nhwc(F.conv2d(nchw(x), oihw(spectral(w, u, eps)), padding=1))
    layer = hooked(torch.nn.Conv2d(2, 6, 3, padding=1, bias=False), oihw(w), u)
    with torch.no_grad():
        assert torch.allclose(nhwc(layer(nchw(x))), f(x, w, u), rtol=0, atol=1e-15)
    g.case("conv", f, x, w, u, const=(2,))
    g.put("conv/u", layer.weight_u)
    return g.save()


def conditional_batch_norm():
    """BigGAN's: gain 1 + G(c) and bias S(c), both spectrally normalised; compare_gan's gain is
    G(c)."""
    g = Golden("nn/testdata/condnorm.safetensors")

    def plain(x, gain, bias, mean=None, var=None):
        y = nhwc(F.batch_norm(nchw(x), mean, var, None, None, mean is None, 0.1, EPS))
        return y * gain[:, None, None, :] + bias[:, None, None, :]

    x, c = lambda: g.normal(4, 3, 2, 3) * 2 + 1, lambda: g.normal(4, 5)
    gw, sw = lambda: g.normal(3, 5), lambda: g.normal(3, 5)
    u = lambda: normalise(g.normal(3), 0)
    g.case("plain gain", lambda x, c, gw, sw: plain(x, c @ gw.t(), c @ sw.t()), x(), c(), gw(),
           sw())
    g.case("biggan", lambda x, c, gw, sw: plain(x, 1 + c @ gw.t(), c @ sw.t()), x(), c(), gw(),
           sw())
    g.case("biggan relu", lambda x, c, gw, sw: F.relu(plain(x, 1 + c @ gw.t(), c @ sw.t())), x(),
           c(), gw(), sw())
    g.case("spectral", lambda x, c, gw, sw, gu, su: plain(x, 1 + c @ spectral(gw, gu, 1e-6).t(),
                                                          c @ spectral(sw, su, 1e-6).t()),
           x(), c(), gw(), sw(), u(), u(), const=(4, 5))
    g.case("eval", lambda x, c, gw, sw, m, v: plain(x, 1 + c @ gw.t(), c @ sw.t(), m, v),
           x(), c(), gw(), sw(), g.normal(3), g.uniform(0.5, 2, 3), const=(4, 5))
    return g.save()


def attention():
    """SAGAN's block as BigGAN has it: 1x1 convolutions without bias, pooled keys and values, no
    1/sqrt(d)."""
    g = Golden("nn/testdata/attention.safetensors")
    eps, ch = 1e-6, 8

    def f(x, theta, phi, val, o, gamma, *us):
        n, h, w, _ = x.shape
        sn = [oihw(spectral(k, u, eps)) for k, u in zip((theta, phi, val, o), us)]
        im = nchw(x)
        q = F.conv2d(im, sn[0]).view(n, ch // 8, h * w)
        k = F.max_pool2d(F.conv2d(im, sn[1]), 2).view(n, ch // 8, h * w // 4)
        v = F.max_pool2d(F.conv2d(im, sn[2]), 2).view(n, ch // 2, h * w // 4)
        attn = F.softmax(torch.bmm(q.transpose(1, 2), k), -1)
        mixed = torch.bmm(v, attn.transpose(1, 2)).view(n, ch // 2, h, w)
        return nhwc(im + gamma * F.conv2d(mixed, sn[3]))

    shapes = [(1, ch), (1, ch), (ch // 2, ch), (ch, ch // 2)]
    weights = [g.normal(a, 1, 1, b) for a, b in shapes]
    us = [normalise(g.normal(a), 0) for a, _ in shapes]
    g.case("attention", f, g.normal(2, 4, 4, ch), *weights, torch.tensor([0.7]).double(), *us,
           const=(6, 7, 8, 9))
    return g.save()


def gram_schmidt(a):
    """The Q of a = QR with a positive diagonal of R, by exactly rounded sums: LAPACK's last bits
    vary with the machine."""
    columns = []
    for v in a.T.tolist():
        for _ in range(3):  # again, for what rounding left
            for q in columns:
                dot = math.fsum(x * y for x, y in zip(q, v))
                v = [x - dot * y for x, y in zip(v, q)]
        norm = math.sqrt(math.fsum(x * x for x in v))
        columns.append([x / norm for x in v])
    return np.array(columns).T


def streams():
    """Random numbers, bit for bit, and the initial values that nn.Init draws from them."""
    g = Golden("nn/testdata/streams.safetensors")
    g.put("normal", torch.from_numpy(philox.normal(2**40 + 7, "noise/train", (2003,), step=5)))
    g.put("uniform", torch.from_numpy(philox.uniform(2**40 + 7, "noise/train", (203,), step=5)))
    shape = (6, 3, 3, 2)
    draw = lambda name: philox.normal(3, "init/" + name, shape)
    g.put("kaiming", torch.from_numpy((2 / 18) ** 0.5 * draw("kaiming")))
    g.put("xavier", torch.from_numpy((2 / (18 + 54)) ** 0.5 * draw("xavier")))
    for name, b in (("kaiming uniform", (6 / 18) ** 0.5),
                    ("xavier uniform", (6 / (18 + 54)) ** 0.5), ("uniform init", 0.25)):
        g.put(name, torch.from_numpy(-b + 2 * b * philox.uniform(3, "init/" + name, shape)))
    g.put("normal init", torch.from_numpy(0.02 * draw("normal init")))
    total = g.save()

    g = Golden("nn/testdata/orthogonal.safetensors")
    for name, shape in (("tall", (7, 3)), ("wide", (4, 3, 3, 2))):
        rows, cols = shape[0], philox.size(shape[1:])
        tall, wide = max(rows, cols), min(rows, cols)
        q = gram_schmidt(philox.normal(3, "init/" + name, (tall, wide)))
        g.put(name, torch.from_numpy((q if rows >= cols else q.T).reshape(shape).copy()))
    return total + g.save()


def write():
    return (streams() + linear_and_conv() + batch_norm() + conv_norm() + spectral_norm_layers() +
            conditional_batch_norm() + attention())
