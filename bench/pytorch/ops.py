"""Goldens of package autodiff: every family of differentiable operations, to second order."""

import torch
import torch.nn.functional as F

from record import Golden, nchw, nhwc, oihw


def elementwise():
    g = Golden("autodiff/testdata/elementwise.safetensors")
    n = lambda: g.normal(3, 5)
    positive = lambda: g.uniform(0.5, 2, 3, 5)
    for name, f, x in [
        ("neg", torch.neg, n()), ("abs", torch.abs, g.off_zero(3, 5)), ("exp", torch.exp, n()),
        ("log", torch.log, positive()), ("sqrt", torch.sqrt, positive()),
        ("rsqrt", torch.rsqrt, positive()), ("recip", torch.reciprocal, g.off_zero(3, 5)),
        ("square", torch.square, n()), ("tanh", torch.tanh, n()),
        ("sigmoid", torch.sigmoid, 3 * n()), ("softplus", F.softplus, 3 * n()),
        ("relu", F.relu, g.off_zero(3, 5)),
        ("leaky_relu", lambda x: F.leaky_relu(x, 0.2), g.off_zero(3, 5)),
        ("clamp", lambda x: x.clamp(-1, 1), 2 * n()), ("erf", torch.erf, 2 * n()),
        ("gelu", F.gelu, 2 * n()), ("affine", lambda x: 3 * x - 2, n()),
        ("add_scalar", lambda x: x + 3, n()), ("scale", lambda x: -0.5 * x, n()),
        ("pow2.5", lambda x: x.pow(2.5), positive()),
        ("pow-2", lambda x: x.pow(-2), g.off_zero(3, 5)), ("pow3", lambda x: x.pow(3), n()),
    ]:
        g.case(name, f, x)
    for name, f, x in [("sign", torch.sign, n()), ("step", lambda x: (x > 0).to(x.dtype), n())]:
        g.case(name, f, x, order=0)
    # Where a function has a kink the convention shows: the derivative at 0 and at the ends of a
    # clamp.
    edge = torch.tensor([-1.0, -0.0, 0.0, 1.0, 2.0], dtype=torch.float64)
    # Where two operands of a maximum are equal PyTorch halves the gradient, ours goes to the first:
    # no golden of that.
    for name, f in [("abs/edge", torch.abs), ("relu/edge", F.relu),
                    ("leaky_relu/edge", lambda x: F.leaky_relu(x, 0.2)),
                    ("clamp/edge", lambda x: x.clamp(-1, 1))]:
        g.case(name, f, edge, order=1)
    for shapes in ([(2, 3), (2, 3)], [(2, 3), (3,)], [(2, 1), (1, 3)], [(), (2, 3)]):
        for name, f in [("add", torch.add), ("sub", torch.sub), ("mul", torch.mul),
                        ("div", torch.div), ("maximum", torch.maximum), ("minimum", torch.minimum)]:
            draw = g.off_zero if name == "div" else g.normal
            g.case(f"{name}/{'x'.join(map(str, shapes[0]))},{'x'.join(map(str, shapes[1]))}", f,
                   draw(*shapes[0]), draw(*shapes[1]))
    a, b = g.normal(2, 3), g.normal(3)
    g.case("greater", lambda x, y: (x > y).to(x.dtype), a, b, order=0)
    g.case("equal", lambda x, y: (x == y).to(x.dtype), torch.round(a), torch.round(b), order=0)
    g.case("where", lambda c, x, y: torch.where(c != 0, x, y),
           torch.tensor([1.0, 0, 2], dtype=torch.float64),
           g.normal(2, 3), g.normal(2, 1), const=(0,))
    # It rounds, and so does its gradient.
    g.case("cast", lambda x: x.to(torch.bfloat16).to(x.dtype), g.normal(3, 5), order=1)
    g.case("silu", F.silu, 2 * n())
    g.case("hard_swish", F.hardswish, 2 * n())
    return g.save()


def trigonometric():
    g = Golden("autodiff/testdata/trigonometric.safetensors")
    inside = lambda: g.uniform(-0.8, 0.8, 3, 5)  # where inverses and their derivatives are finite
    for f in [torch.sin, torch.cos, torch.atan, torch.sinh, torch.cosh, torch.asinh]:
        g.case(f.__name__, f, 2 * g.normal(3, 5))
    for f in [torch.tan, torch.asin, torch.acos, torch.atanh]:
        g.case(f.__name__, f, inside())
    g.case("acosh", torch.acosh, g.uniform(1.5, 3, 3, 5))
    return g.save()


def reduce_and_shape():
    g = Golden("autodiff/testdata/shape.safetensors")
    for name, axes in [("all", (0, 1, 2)), ("1", (1,)), ("0,2", (0, 2))]:
        for op, f in [("sum", torch.sum), ("mean", torch.mean), ("max", torch.amax)]:
            g.case(f"{op}/{name}", lambda x: f(x, axes), g.normal(2, 3, 4))
    for op, f in [("sum", torch.sum), ("mean", torch.mean), ("max", torch.amax)]:
        g.case(f"{op} keep", lambda x: f(x, (0, 2), keepdim=True), g.normal(2, 3, 4))
    tied = torch.tensor([[1.0, 3, 3], [2, 2, 2]], dtype=torch.float64)
    g.case("max/tied", lambda x: torch.amax(x, 1), tied, order=1)
    g.case("broadcast", lambda x: x.expand(4, 2, 3), g.normal(2, 1))
    g.case("reshape", lambda x: x.reshape(2, 6), g.normal(3, 4))
    g.case("permute", lambda x: x.permute(2, 0, 1), g.normal(2, 3, 4))
    g.case("transpose", lambda x: x.t(), g.normal(3, 4))
    g.case("slice", lambda x: x[0:3:2].flip(1)[:, 0:4:2], g.normal(3, 4))
    g.case("slice_axis", lambda x: x[:, 1:3], g.normal(3, 4))
    g.case("pad", lambda x: F.pad(x, (0, 1, 1, 2)), g.normal(3, 4))
    g.case("concat", lambda x, y, z: torch.cat([x, y, z], -1), g.normal(2, 3), g.normal(2, 1),
           g.normal(2, 2))
    g.case("split", lambda x: torch.mul(*torch.split(x, [1, 3], 1)), g.normal(3, 4))
    idx = torch.tensor([2, 0, 2])
    g.case("gather", lambda x, i: F.embedding(i, x), g.normal(4, 3), idx)
    g.case("scatter_add", lambda x, i: torch.zeros(5, 3, dtype=x.dtype).index_add(0, i, x),
           g.normal(4, 3), torch.tensor([1, 4, 1, 0]))
    g.case("one_hot", lambda i: F.one_hot(i, 4).double(), idx, order=0)
    return g.save()


def matmul():
    g = Golden("autodiff/testdata/matmul.safetensors")
    t = lambda x, flag: x.transpose(-1, -2) if flag else x
    for stack in ((), (2,)):
        for ta in (False, True):
            for tb in (False, True):
                a, b = ((5, 3) if ta else (3, 5)), ((4, 5) if tb else (5, 4))
                kind, turned = "stack" if stack else "plain", "nt"[ta] + "nt"[tb]
                g.case(f"matmul/{kind}/{turned}",
                       lambda x, y: t(x, ta) @ t(y, tb), g.normal(*stack, *a), g.normal(*stack, *b))
    g.case("linear", F.linear, g.normal(3, 5), g.normal(4, 5), g.normal(4))
    g.case("linear/no_bias", F.linear, g.normal(3, 5), g.normal(4, 5))
    positive = lambda *shape: g.uniform(0.5, 2, *shape)
    g.case("spectral_quotient", lambda w, u, v: w / (u @ w @ v.t()), positive(4, 5), positive(1, 4),
           positive(1, 5))
    g.case("spectral_quotient/kernel",
           lambda w, u, v: w / (u @ w.flatten(1) @ v.t()).reshape(1, 1, 1, 1),
           positive(3, 2, 2, 2), positive(1, 3), positive(1, 8))
    return g.save()


# Attributes of convolutions, by name: stride h w, padding top left bottom right, dilation h w,
# groups.
CONVS = {
    "plain": (1, 1, 0, 0, 0, 0, 1, 1, 1), "same": (1, 1, 1, 1, 1, 1, 1, 1, 1),
    "stride": (2, 3, 1, 0, 0, 1, 1, 1, 1), "dilation": (1, 1, 2, 3, 2, 3, 2, 3, 1),
    "groups": (1, 1, 1, 1, 1, 1, 1, 1, 2), "depthwise": (2, 1, 1, 1, 1, 1, 1, 1, 4),
    "all": (2, 2, 1, 2, 2, 0, 2, 1, 2),
}


def conv2d(a):
    sh, sw, top, left, bottom, right, dh, dw, groups = a

    def f(x, w):
        x = F.pad(nchw(x), (left, right, top, bottom))
        return nhwc(F.conv2d(x, oihw(w), stride=(sh, sw), dilation=(dh, dw), groups=groups))
    return f


def conv():
    total = 0
    for part, kh, kw, names in (("conv", 3, 2, ["plain", "stride"]),
                                ("conv_dilation", 3, 2, ["dilation", "all"]),
                                ("conv_groups", 3, 2, ["groups", "depthwise"]),
                                ("conv_square", 3, 3, ["plain", "same"])):
        g = Golden(f"autodiff/testdata/{part}.safetensors")
        for name in names:
            a = CONVS[name]
            f, x, w = conv2d(a), g.normal(2, 5, 5, 4), g.normal(4, kh, kw, 4 // a[-1])
            g.case(f"{name}/forward", f, x, w)
            y = g.normal(*f(x, w).shape)
            # The other two of the triple are what autograd makes of the first.
            zero = lambda t: torch.zeros_like(t).requires_grad_()
            g.case(f"{name}/input_grad",
                   lambda y, w: torch.autograd.grad(f(z := zero(x), w), z, y, create_graph=True)[0],
                   y, w)
            g.case(f"{name}/weight_grad",
                   lambda x, y: torch.autograd.grad(f(x, z := zero(w)), z, y, create_graph=True)[0],
                   x, y)
        total += g.save()
    g = Golden("autodiff/testdata/conv_transposed.safetensors")
    for name, stride, pad, out, dil, groups in (("plain", 1, 0, 0, 1, 1), ("stride", 2, 1, 1, 1, 1),
                                                ("groups", 2, 1, 0, 1, 2),
                                                ("dilation", 3, 2, 2, 2, 1)):
        f = lambda y, w: nhwc(F.conv_transpose2d(nchw(y), oihw(w), None, stride, pad, out, groups,
                                                 dil))
        g.case(name, f, g.normal(2, 2, 3, 4), g.normal(4, 3, 3, 6 // groups))
    total += g.save()
    g = Golden("autodiff/testdata/conv_resampled.safetensors")
    for name, k in (("3", 3), ("5", 5)):
        up = lambda x: F.interpolate(nchw(x), scale_factor=2, mode="nearest")
        g.case(f"{name} enlarged", lambda x, w: nhwc(F.conv2d(up(x), oihw(w), padding=k // 2)),
               g.normal(2, 3, 4, 3), g.normal(4, k, k, 3))
        halved = lambda x, w: nhwc(F.avg_pool2d(F.conv2d(nchw(x), oihw(w), padding=k // 2), 2))
        g.case(f"{name} halved", halved, g.normal(2, 5, 6, 3), g.normal(4, k, k, 3))
    total += g.save()
    g = Golden("autodiff/testdata/conv_fused.safetensors")
    for name, bias, res, relu in (("bias", True, False, False), ("bias relu", True, False, True),
                                  ("res", False, True, False), ("bias res relu", True, True, True)):
        f, x, w = conv2d(CONVS["same"]), g.normal(2, 4, 4, 4), g.normal(4, 3, 3, 4)
        more = ([g.normal(4)] if bias else []) + ([4 * g.normal(2, 4, 4, 4)] if res else [])
        g.case(name, lambda x, w, *more: (F.relu if relu else lambda t: t)(f(x, w) + sum(more)), x,
               w, *more)
    return total + g.save()


def pool():
    g = Golden("autodiff/testdata/pool.safetensors")
    image = lambda: g.normal(2, 5, 6, 2)
    for name, k, s, p, ceil in (("2", 2, 2, 0, False), ("3/2,1", 3, 2, 1, False),
                                ("3/2,1 ceil", 3, 2, 1, True),
                                ("2x3/3x2", (2, 3), (3, 2), (1, 0), True)):
        g.case(f"max {name}", lambda x: nhwc(F.max_pool2d(nchw(x), k, s, p, ceil_mode=ceil)),
               image())
        for count in (True, False):
            g.case(f"avg {name}{' count' if count else ''}",
                   lambda x: nhwc(F.avg_pool2d(nchw(x), k, s, p, ceil, count)), image())
    tied = torch.ones(1, 4, 4, 1, dtype=torch.float64)
    g.case("max tied", lambda x: nhwc(F.max_pool2d(nchw(x), 3, 2, 1)), tied, order=1)
    g.case("upsample", lambda x: nhwc(F.interpolate(nchw(x), scale_factor=2, mode="nearest")),
           g.normal(2, 3, 4, 2))
    g.case("upsample3", lambda x: nhwc(F.interpolate(nchw(x), scale_factor=3, mode="nearest")),
           g.normal(1, 2, 3, 2))
    g.case("global avg", lambda x: F.adaptive_avg_pool2d(nchw(x), 1).flatten(1), image())
    g.case("global sum", lambda x: x.sum((1, 2)), image())
    # A window larger than the image hangs over where extents are rounded up.
    g.case("max small", lambda x: nhwc(F.max_pool2d(nchw(x), 3, 2, ceil_mode=True)),
           g.normal(1, 2, 2, 2))
    for count in (True, False):
        g.case(f"avg small{' count' if count else ''}",
               lambda x: nhwc(F.avg_pool2d(nchw(x), (3, 2), 2, (1, 0), True, count)),
               g.normal(1, 1, 1, 2))
    return g.save()


def pool_grad():
    """What pooling and upsampling hand back, as functions of their own: autograd's of the forward
    ones."""
    g = Golden("autodiff/testdata/pool_grad.safetensors")

    def back(f, *shape):
        x = torch.zeros(shape, dtype=torch.float64)
        return lambda y: torch.autograd.grad(f(z := x.clone().requires_grad_()), z, y,
                                             create_graph=True)[0]

    for name, k, s, p, ceil in (("2", 2, 2, 0, False), ("3/2,1 ceil", 3, 2, 1, True)):
        for count in (True, False):
            f = lambda x: nhwc(F.avg_pool2d(nchw(x), k, s, p, ceil, count))
            g.case(f"avg {name}{' count' if count else ''}", back(f, 2, 5, 6, 2),
                   g.normal(*f(torch.zeros(2, 5, 6, 2).double()).shape))
    for k in (2, 3):
        up = lambda x: nhwc(F.interpolate(nchw(x), scale_factor=k, mode="nearest"))
        g.case(f"upsample {k}", back(up, 2, 2, 3, 2),
               g.normal(2, 2 * k, 3 * k, 2))
    return g.save()


def norm():
    g = Golden("autodiff/testdata/norm.safetensors")
    eps = 1e-2

    def train(x, gamma, beta):
        return nhwc(F.batch_norm(nchw(x), None, None, gamma, beta, True, 0.1, eps))

    def fixed(x, gamma, beta, mean, var):
        return nhwc(F.batch_norm(nchw(x), mean, var, gamma, beta, False, 0.1, eps))

    x = lambda: g.normal(3, 4, 3, 2) * 2 + 1
    gamma = lambda *n: g.off_zero(*n)
    g.case("batch_norm", train, x(), gamma(2), g.normal(2))
    g.case("batch_norm/vector", lambda x, a, b: F.batch_norm(x, None, None, a, b, True, 0.1, eps),
           g.normal(6, 3), gamma(3), g.normal(3))
    g.case("batch_norm_relu", lambda *a: F.relu(train(*a)), x(), gamma(2), g.normal(2))
    g.case("batch_norm_relu/res", lambda x, a, b, r: F.relu(train(x, a, b) + r), x(), gamma(2),
           g.normal(2), g.normal(3, 4, 3, 2))
    plain = lambda x: nhwc(F.batch_norm(nchw(x), None, None, None, None, True, 0.1, eps))
    row = lambda s: s[:, None, None, :]
    g.case("batch_norm/conditional", lambda x, a, b: row(a) * plain(x) + row(b), x(), gamma(3, 2),
           g.normal(3, 2))
    g.case("batch_norm_relu/conditional", lambda x, a, b: F.relu(row(a) * plain(x) + row(b)), x(),
           gamma(3, 2), g.normal(3, 2))
    for name, f in (("eval", fixed), ("eval_relu", lambda *a: F.relu(fixed(*a)))):
        g.case(name, f, x(), gamma(2), g.normal(2), g.normal(2), g.uniform(0.5, 2, 2), const=(3, 4))
    g.case("scale_shift/res", lambda x, a, b, r: F.relu(a * x + b + r), x(), gamma(2), g.normal(2),
           g.normal(3, 4, 3, 2))
    return g.save()


def layer_norm():
    g = Golden("autodiff/testdata/layer_norm.safetensors")
    eps = 1e-2
    f = lambda x, a, b=None: F.layer_norm(x, (x.shape[-1],), a, b, eps)
    x = lambda: g.normal(2, 3, 5) * 2 + 1
    g.case("layer_norm", f, x(), g.off_zero(5), g.normal(5))
    g.case("layer_norm/no beta", f, x(), g.off_zero(5))
    g.case("layer_norm/vector", f, g.normal(7), g.off_zero(7), g.normal(7))
    return g.save()


def view():
    """Elements of a tensor in another order, and the products of attention's heads, which lie side
    by side."""
    g = Golden("autodiff/testdata/view.safetensors")
    g.case("gathered", lambda x: x.permute(2, 0, 1)[1::2, :, 1:], g.normal(2, 4, 6))
    g.case("gathered/in order", lambda x: x.reshape(6, 4), g.normal(2, 3, 4))

    def scores(a, b):  # of places in batch, place, part, head, channel
        return 0.6 * a[:, :, 1].transpose(1, 2) @ b[:, :, 0].permute(0, 2, 3, 1)

    def mixed(p, v):  # heads side by side again
        return (p @ v[:, :, 1].transpose(1, 2)).transpose(1, 2)

    for name, order in (("", 2), ("/constants", 0)):
        parts = lambda n: g.normal(2, n, 2, 3, 4)
        g.case(f"scores{name}", scores, parts(3), parts(5), order=order)
        g.case(f"mixed{name}", mixed, g.normal(2, 3, 4, 5), parts(5), order=order)
    return g.save()


def softmax():
    g = Golden("autodiff/testdata/softmax.safetensors")
    g.case("softmax", lambda x: F.softmax(x, -1), 2 * g.normal(2, 3, 5))
    g.case("log_softmax", lambda x: F.log_softmax(x, -1), 2 * g.normal(4, 5))
    g.case("log_softmax/large", lambda x: F.log_softmax(x, -1), 300 * g.normal(4, 5), order=1)
    target = F.softmax(g.normal(4, 5), 1)
    g.case("cross_entropy/soft", lambda z, t: F.cross_entropy(z, t, reduction="none"),
           2 * g.normal(4, 5), target)
    for s in (0.0, 0.1):
        g.case(f"cross_entropy/{s}",
               lambda z, y: F.cross_entropy(z, y.long(), reduction="none", label_smoothing=s),
               2 * g.normal(4, 5), g.labels(4, 5))
    return g.save()


def attention():
    g = Golden("autodiff/testdata/attention.safetensors")
    for name, scale in (("attention/1", 1.0), ("attention/0.6", 0.6)):
        f = lambda q, k, v: F.scaled_dot_product_attention(q, k, v, scale=scale)
        g.case(name, f, g.normal(2, 5, 3), g.normal(2, 4, 3), g.normal(2, 4, 6))
    return g.save()


def write():
    return (elementwise() + trigonometric() + reduce_and_shape() + matmul() + conv() + pool() +
            pool_grad() + norm() + layer_norm() + view() + softmax() + attention())
