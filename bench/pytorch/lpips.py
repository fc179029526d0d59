"""Goldens of gan/metrics/lpips: all three backbones with drawn weights; distances, layers, and
gradients of images.

The metric is written after Zhang et al. (CVPR 2018) and the conventions of its authors' version
0.1; the backbones after torchvision's layer lists. Weights and images are streams of our generator,
so that no file holds them.
"""

import torch
import torch.nn.functional as F

import philox
from record import Golden, nchw, oihw

SEED = 17
SHIFT, SCALE = [-.030, -.088, -.188], [.458, .448, .450]
# Layers behind each other: ("conv", position, in, out, kernel, stride, padding), "pool" or "tap".
ALEX = [("conv", 0, 3, 64, 11, 4, 2), "tap", "pool", ("conv", 3, 64, 192, 5, 1, 2), "tap", "pool",
        ("conv", 6, 192, 384, 3, 1, 1), "tap", ("conv", 8, 384, 256, 3, 1, 1), "tap",
        ("conv", 10, 256, 256, 3, 1, 1), "tap"]
VGG = [("conv", 0, 3, 64, 3, 1, 1), ("conv", 2, 64, 64, 3, 1, 1), "tap", "pool",
       ("conv", 5, 64, 128, 3, 1, 1), ("conv", 7, 128, 128, 3, 1, 1), "tap", "pool",
       ("conv", 10, 128, 256, 3, 1, 1), ("conv", 12, 256, 256, 3, 1, 1),
       ("conv", 14, 256, 256, 3, 1, 1), "tap", "pool",
       ("conv", 17, 256, 512, 3, 1, 1), ("conv", 19, 512, 512, 3, 1, 1),
       ("conv", 21, 512, 512, 3, 1, 1), "tap", "pool",
       ("conv", 24, 512, 512, 3, 1, 1), ("conv", 26, 512, 512, 3, 1, 1),
       ("conv", 28, 512, 512, 3, 1, 1), "tap"]
SQUEEZE = [("conv", 0, 3, 64, 3, 2, 0), "tap", "pool", ("fire", 3, 64, 16, 64),
           ("fire", 4, 128, 16, 64), "tap", "pool", ("fire", 6, 128, 32, 128),
           ("fire", 7, 256, 32, 128), "tap", "pool", ("fire", 9, 256, 48, 192), "tap",
           ("fire", 10, 384, 48, 192), "tap", ("fire", 11, 384, 64, 256), "tap",
           ("fire", 12, 512, 64, 256), "tap"]
# Net: layers, pooling window, whether its extent is rounded up, image height and width.
NETS = {"squeeze": (SQUEEZE, 3, True, 37, 20), "alex": (ALEX, 3, False, 35, 63),
        "vgg": (VGG, 2, False, 17, 18)}


def conv(x, name, i, o, k, stride=1, pad=0):
    w = philox.normal(SEED, f"init/features.{name}.weight", (o, k, k, i)) * (2 / (k * k * i)) ** 0.5
    b = philox.normal(SEED, f"init/features.{name}.bias", (o,)) * 0.1
    return F.relu(F.conv2d(x, oihw(torch.from_numpy(w)), torch.from_numpy(b), stride, pad))


def taps(net, x):
    layers, window, ceil, _, _ = NETS[net]
    out = []
    for layer in layers:
        if layer == "tap":
            out.append(x)
        elif layer == "pool":
            x = F.max_pool2d(x, window, 2, ceil_mode=ceil)
        elif layer[0] == "conv":
            x = conv(x, *layer[1:])
        else:
            _, at, i, squeezed, half = layer
            s = conv(x, f"{at}.squeeze", i, squeezed, 1)
            x = torch.cat([conv(s, f"{at}.expand1x1", squeezed, half, 1),
                           conv(s, f"{at}.expand3x3", squeezed, half, 3, 1, 1)], 1)
    return out


def terms(net, a, b):
    """The summand of every tap: [taps, images]. Images in [-1, 1], NHWC."""
    shift, scale = (torch.tensor(v, dtype=torch.float64).view(3, 1, 1) for v in (SHIFT, SCALE))
    scaled = [(nchw(x) - shift) / scale for x in (a, b)]
    out = []
    for i, (f, g) in enumerate(zip(taps(net, scaled[0]), taps(net, scaled[1]))):
        w = torch.from_numpy(abs(philox.normal(SEED, f"init/lin{i}.model.1.weight", (f.shape[1],))))
        unit = [t / (t.square().sum(1, keepdim=True).sqrt() + 1e-10) for t in (f, g)]
        out.append(((unit[0] - unit[1]).square() * w.view(-1, 1, 1)).sum(1).mean((1, 2)))
    return torch.stack(out)


def write():
    g = Golden("gan/metrics/lpips/testdata/lpips.safetensors")
    for net, (_, _, _, h, w) in NETS.items():
        a, b = (2 * torch.from_numpy(philox.uniform(SEED, f"golden/{net}/{side}", (2, h, w, 3))) - 1
                for side in "ab")
        a.requires_grad_()
        t = terms(net, a, b)
        d, = torch.autograd.grad(t.sum(), a)
        g.put(f"{net}/layers", t)
        g.put(f"{net}/distance", t.sum(0))
        flat = d.flatten()  # norm, and the product with a cosine wave, which sees the order
        wave = torch.cos(torch.arange(len(flat)).double())
        g.put(f"{net}/dx0", torch.stack([flat.norm(), flat @ wave]))
    return g.save()
