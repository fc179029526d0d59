"""Single kernels and layers. A maker takes a row and a mode and returns a function that does the
work once."""

import torch
import torch.nn.functional as F

from yardstick import networks


def images(mode, n, c, h, grad=False):
    """Random images in the mode's layout."""
    x = torch.randn(n, c, h, h)
    return networks.layout(x, mode).requires_grad_(grad)


def compiled(f, mode):
    return torch.compile(f) if mode.startswith("compile") else f


def copy(spec, mode):
    src = torch.randn(spec["args"]["bytes"] // 8)
    dst = torch.empty_like(src)
    return lambda: dst.copy_(src)


def sgemm(spec, mode):
    a = spec["args"]
    x, y = torch.randn(a["m"], a["k"]), torch.randn(a["k"], a["n"])
    out = torch.empty(a["m"], a["n"])
    if a["transb"]:
        y = torch.randn(a["n"], a["k"]).t()
    return lambda: torch.mm(x, y, out=out)


def conv(spec, mode):
    a = spec["args"]
    direction = spec["kind"].partition("-")[2]
    groups = a.get("groups", 1)
    x = images(mode, a["n"], a["c"], a["h"])
    w = networks.layout(torch.randn(a["o"], a["c"] // groups, a["k"], a["k"]), mode)
    stride, pad = [a["s"]] * 2, [a["p"]] * 2
    y = F.conv2d(x, w, None, stride, pad, 1, groups)
    if direction == "forward":
        return no_grad(lambda: F.conv2d(x, w, None, stride, pad, 1, groups))
    mask = [direction == "input-grad", direction == "weight-grad", False]
    dy = networks.layout(torch.randn_like(y), mode)
    backward = torch.ops.aten.convolution_backward
    return lambda: backward(dy, x, w, None, stride, pad, [1, 1], False, [0, 0], groups, mask)


def no_grad(f):
    @torch.no_grad()
    def run():
        return f()

    return run


def differentiated(forward, inputs, grad, mode):
    """forward alone without gradients, or with the gradients of all inputs from a random
    cotangent."""
    forward = compiled(forward, mode)
    if not grad:
        return no_grad(lambda: forward(*inputs))
    inputs = [x.detach().requires_grad_() for x in inputs]
    dy = networks.layout(torch.randn_like(forward(*inputs).detach()), mode)
    return lambda: torch.autograd.grad(forward(*inputs), inputs, dy)


def norm(spec, mode):
    a = spec["args"]
    c, relu, add = a["c"], a["relu"], a["add"]
    mean, var = torch.zeros(c), torch.ones(c)
    inputs = [images(mode, a["n"], c, a["h"]), torch.ones(c), torch.zeros(c)]
    if add:
        inputs.append(images(mode, a["n"], c, a["h"]))

    def forward(x, gamma, beta, *res):
        y = F.batch_norm(x, mean, var, gamma, beta, True, 0.1, 1e-5)
        if add:  # in place, as torchvision's ResNets have it
            y += res[0]
        return F.relu_(y) if relu else y

    return differentiated(forward, inputs, a["grad"], mode)


def cond_norm(spec, mode):
    a = spec["args"]
    layer = networks.ConditionalNorm(a["c"], a["cond"])
    cond = torch.randn(a["n"], a["cond"])
    return layer_job(layer, images(mode, a["n"], a["c"], a["h"]), lambda x: F.relu(layer(x, cond)),
                     a["grad"], mode)


def attention(spec, mode):
    a = spec["args"]
    layer = networks.layout(networks.Attention(a["c"]), mode)
    return layer_job(layer, images(mode, a["n"], a["c"], a["h"]), layer, a["grad"], mode)


def layer_job(layer, x, f, grad, mode):
    """A layer in training mode; with grad the gradients of its input and its parameters."""
    f = compiled(f, mode)
    if not grad:
        return no_grad(lambda: f(x))
    x = x.requires_grad_()
    wanted = [x, *layer.parameters()]
    dy = networks.layout(torch.randn_like(f(x).detach()), mode)
    return lambda: torch.autograd.grad(f(x), wanted, dy)


def element(spec, mode):
    a = spec["args"]
    x, y = images(mode, a["n"], a["c"], a["h"]), images(mode, a["n"], a["c"], a["h"])
    out = torch.empty_like(x)
    return {
        "relu": lambda: torch.clamp_min(x, 0, out=out),
        "relu-grad": lambda: torch.ops.aten.threshold_backward(x, y, 0),
        "add": lambda: torch.add(x, y, out=out),
        "tanh": lambda: torch.tanh(x, out=out),
        "bias-grad": lambda: x.sum((0, 2, 3)),
    }[spec["kind"]]


def pool(spec, mode):
    a, kind, aten = spec["args"], spec["kind"], torch.ops.aten
    x = images(mode, a["n"], a["c"], a["h"])
    half = images(mode, a["n"], a["c"], a["h"] // 2)
    index = aten.max_pool2d_with_indices(x, [2, 2], [2, 2])[1] if kind == "maxpool2-grad" else None
    return {
        "avgpool2": lambda: F.avg_pool2d(x, 2),
        "avgpool2-grad": lambda: aten.avg_pool2d_backward(
            half, x, [2, 2], [2, 2], [0, 0], False, True, None),
        # The indices are what training needs for the gradient.
        "maxpool2": lambda: aten.max_pool2d_with_indices(x, [2, 2], [2, 2]),
        "maxpool2-grad": lambda: aten.max_pool2d_with_indices_backward(
            half, x, [2, 2], [2, 2], [0, 0], [1, 1], False, index),
        "maxpool3s2": lambda: aten.max_pool2d_with_indices(x, [3, 3], [2, 2], [1, 1]),
        "global-avgpool": lambda: F.adaptive_avg_pool2d(x, 1),
        "upsample2": lambda: F.interpolate(half, scale_factor=2, mode="nearest"),
        # The cotangent of an upsampled image is a full-size one.
        "upsample2-grad": lambda: aten.upsample_nearest2d_backward(
            x, [a["h"]] * 2, list(half.shape), None, None),
    }[kind]


def softmax(spec, mode):
    x = torch.randn(spec["args"]["n"], spec["args"]["c"])
    out = torch.empty_like(x)
    return lambda: torch.softmax(x, 1, out=out)


def cross_entropy(spec, mode):
    n, c = spec["args"]["n"], spec["args"]["c"]
    x, y = torch.randn(n, c, requires_grad=True), torch.arange(n) % c
    f = compiled(lambda x: F.cross_entropy(x, y), mode)
    return lambda: torch.autograd.grad(f(x), [x])


def optimizer(spec, mode):
    kind, sizes = spec["kind"], spec["lists"]["sizes"]
    params = [torch.nn.Parameter(torch.randn(n)) for n in sizes]
    for p in params:
        p.grad = torch.randn_like(p)
    average = [p.detach().clone() for p in params]
    opt = None
    if kind == "sgd":
        opt = torch.optim.SGD(params, lr=1e-6, momentum=0.9, weight_decay=5e-4, fused=True)
    elif kind.startswith("adam"):
        opt = torch.optim.Adam(params, lr=1e-6, betas=(0.5, 0.999), eps=1e-8, fused=True)

    @torch.no_grad()
    def run():
        if opt:
            opt.step()
        if kind.endswith("ema"):
            torch._foreach_lerp_(average, params, 0.001)

    return run


def spectral(spec, mode):
    weights = [networks.SpectralWeight(r, c)
               for r, c in zip(spec["lists"]["rows"], spec["lists"]["cols"])]
    return no_grad(compiled(lambda: [w() for w in weights], mode))


KINDS = {
    "copy": copy, "sgemm": sgemm, "conv-forward": conv, "conv-input-grad": conv,
    "conv-weight-grad": conv, "depthwise-forward": conv, "depthwise-input-grad": conv,
    "depthwise-weight-grad": conv, "norm": norm, "norm-relu": norm, "norm-relu-add": norm,
    "cond-norm": cond_norm, "attention": attention,
    "relu": element, "relu-grad": element, "add": element, "tanh": element, "bias-grad": element,
    "avgpool2": pool, "avgpool2-grad": pool, "maxpool2": pool, "maxpool2-grad": pool,
    "maxpool3s2": pool, "global-avgpool": pool, "upsample2": pool, "upsample2-grad": pool,
    "softmax": softmax, "cross-entropy": cross_entropy,
    "sgd": optimizer, "adam": optimizer, "ema": optimizer, "adam-ema": optimizer,
    "spectral": spectral,
}
