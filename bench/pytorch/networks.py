"""The networks that exports are loaded into, as their authors' code names their parameters.

torchvision's networks are taken from torchvision. The others are written after the repositories
named below; Generator mirrors gan/generator.go, with torch.nn.utils.spectral_norm in the place of
ours.
"""

import torch
import torch.nn.functional as F
import torchvision
from torch import nn
from torch.nn.utils import spectral_norm


def conv3(i, o, stride=1):
    return nn.Conv2d(i, o, 3, stride, 1, bias=False)


class CifarBlock(nn.Module):
    """akamaster/pytorch_resnet_cifar10: the shortcut takes every second pixel and pads channels
    (option A)."""

    def __init__(self, i, o, stride):
        super().__init__()
        self.conv1, self.bn1 = conv3(i, o, stride), nn.BatchNorm2d(o)
        self.conv2, self.bn2 = conv3(o, o), nn.BatchNorm2d(o)
        self.stride, self.pad = stride, (o - i) // 2

    def forward(self, x):
        h = F.relu(self.bn1(self.conv1(x)))
        if self.stride > 1:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.pad, self.pad))
        return F.relu(self.bn2(self.conv2(h)) + x)


class WideBlock(nn.Module):
    """kuangliu/pytorch-cifar: BasicBlock and Bottleneck, projecting where the shape changes."""

    def __init__(self, i, inner, stride, deep):
        super().__init__()
        o = 4 * inner if deep else inner
        sizes = [(i, inner, 1, 1), (inner, inner, 3, stride), (inner, o, 1, 1)] if deep else \
            [(i, inner, 3, stride), (inner, o, 3, 1)]
        self.layers = len(sizes)
        for k, (a, b, size, s) in enumerate(sizes, 1):
            setattr(self, f"conv{k}", nn.Conv2d(a, b, size, s, size // 2, bias=False))
            setattr(self, f"bn{k}", nn.BatchNorm2d(b))
        self.shortcut = nn.Sequential()
        if stride != 1 or i != o:
            self.shortcut = nn.Sequential(nn.Conv2d(i, o, 1, stride, bias=False), nn.BatchNorm2d(o))

    def forward(self, x):
        h = x
        for k in range(1, self.layers + 1):
            h = getattr(self, f"bn{k}")(getattr(self, f"conv{k}")(h))
            if k < self.layers:
                h = F.relu(h)
        return F.relu(h + self.shortcut(x))


class PreActBlock(nn.Module):
    """kuangliu/pytorch-cifar projects the activated input; locuslab/fast_adversarial the raw
    one."""

    def __init__(self, i, o, stride, raw):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(i), conv3(i, o, stride)
        self.bn2, self.conv2 = nn.BatchNorm2d(o), conv3(o, o)
        self.raw = raw
        if stride != 1 or i != o:
            self.shortcut = nn.Sequential(nn.Conv2d(i, o, 1, stride, bias=False))

    def forward(self, x):
        a = F.relu(self.bn1(x))
        skip = self.shortcut(x if self.raw else a) if hasattr(self, "shortcut") else x
        return self.conv2(F.relu(self.bn2(self.conv1(a)))) + skip


class ResNet(nn.Module):
    """A stem, stages called layer1, layer2, …, the mean over the pixels and a linear head."""

    def __init__(self, stem, block, widths, depths, features, classes, norm_first=True,
                 norm_last=False):
        super().__init__()
        self.conv1 = conv3(3, stem)
        if norm_first:
            self.bn1 = nn.BatchNorm2d(stem)
        i, self.stages = stem, len(depths)
        for s, (width, depth) in enumerate(zip(widths, depths), 1):
            blocks = []
            for k in range(depth):
                b, i = block(i, width, 2 if s > 1 and k == 0 else 1)
                blocks.append(b)
            setattr(self, f"layer{s}", nn.Sequential(*blocks))
        if norm_last:
            self.bn = nn.BatchNorm2d(features)
        self.linear = nn.Linear(features, classes)

    def forward(self, x):
        x = self.conv1(x)
        if hasattr(self, "bn1"):
            x = F.relu(self.bn1(x))
        for s in range(1, self.stages + 1):
            x = getattr(self, f"layer{s}")(x)
        if hasattr(self, "bn"):
            x = F.relu(self.bn(x))
        return self.linear(x.mean((2, 3)))


class ResNet2b(nn.Module):
    """stanleybak/vnncomp2021, benchmarks/cifar10_resnet."""

    class Block(nn.Module):
        def __init__(self, i, o, stride):
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(i, o, 3, stride, 1), nn.Conv2d(o, o, 3, 1, 1)
            self.shortcut = nn.Sequential(nn.Conv2d(i, o, 1, stride)) if i != o else nn.Sequential()

        def forward(self, x):
            return F.relu(self.conv2(F.relu(self.conv1(x))) + self.shortcut(x))

    def __init__(self, classes, size):
        super().__init__()
        side = (size + 3) // 4
        self.conv1 = nn.Conv2d(3, 8, 3, 2, 1)
        self.layer1 = nn.Sequential(self.Block(8, 16, 2), self.Block(16, 16, 1))
        self.linear1, self.linear2 = nn.Linear(16 * side * side, 100), nn.Linear(100, classes)

    def forward(self, x):
        x = self.layer1(F.relu(self.conv1(x))).flatten(1)
        return self.linear2(F.relu(self.linear1(x)))


class LeNet5(nn.Module):
    """csinva/gan-vae-pretrained-pytorch."""

    def __init__(self, classes, channels):
        super().__init__()
        self.convnet = nn.ModuleDict({"c1": nn.Conv2d(channels, 6, 5), "c3": nn.Conv2d(6, 16, 5),
                                      "c5": nn.Conv2d(16, 120, 5)})
        self.fc = nn.ModuleDict({"f6": nn.Linear(120, 84), "f7": nn.Linear(84, classes)})

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.convnet["c1"](x)), 2)
        x = F.max_pool2d(F.relu(self.convnet["c3"](x)), 2)
        x = F.relu(self.convnet["c5"](x)).flatten(1)
        return self.fc["f7"](F.relu(self.fc["f6"](x)))


def convnet(classes, channels, size):
    """locuslab/fast_adversarial, MNIST."""
    side = size // 4
    return nn.Sequential(nn.Conv2d(channels, 16, 4, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 4, 2, 1),
                         nn.ReLU(), nn.Flatten(), nn.Linear(32 * side * side, 100), nn.ReLU(),
                         nn.Linear(100, classes))


def classifier(arch, classes, channels, size):
    """The network that this program calls arch."""
    if arch == "lenet5":
        return LeNet5(classes, channels)
    if arch == "convnet-mnist":
        return convnet(classes, channels, size)
    if arch == "resnet2b":
        return ResNet2b(classes, size)
    if arch.startswith("preactresnet18"):
        raw = arch.endswith("-bn")
        return ResNet(64, lambda i, o, s: (PreActBlock(i, o, s, raw), o), (64, 128, 256, 512),
                      (2, 2, 2, 2), 512, classes, norm_first=False, norm_last=raw)
    depth = 0
    if arch.startswith("resnet"):
        depth = int(arch.removeprefix("resnet").removesuffix("-cifar"))
    if arch == "resnet8" or arch.endswith("-cifar") and depth in (20, 32, 44, 56, 110):
        return ResNet(16, lambda i, o, s: (CifarBlock(i, o, s), o), (16, 32, 64),
                      ((depth - 2) // 6,) * 3, 64, classes)
    if arch.endswith("-cifar"):
        deep = depth >= 50
        depths = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3),
                  152: (3, 8, 36, 3)}[depth]
        wide = 4 if deep else 1
        return ResNet(64, lambda i, o, s: (WideBlock(i, o, s, deep), wide * o), (64, 128, 256, 512),
                      depths, 512 * wide, classes)
    # resnet18 … resnet152, squeezenet1_1.
    return getattr(torchvision.models, arch)(num_classes=classes)


class ConditionalNorm(nn.Module):
    """Batch normalisation whose gain, 1 + G c or G c, and shift, S c, are linear in the
    condition."""

    def __init__(self, channels, cond, net):
        super().__init__()
        norm = (lambda m: spectral_norm(m, eps=net["sn_eps"])) if net["cond_sn"] else (lambda m: m)
        self.gain, self.bias = (norm(nn.Linear(cond, channels, bias=False)) for _ in range(2))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.eps, self.one = net["bn_eps"], 0 if net["plain_gain"] else 1

    def forward(self, x, cond):
        x = F.batch_norm(x, self.running_mean, self.running_var, eps=self.eps)
        gain, bias = self.one + self.gain(cond), self.bias(cond)
        return x * gain[:, :, None, None] + bias[:, :, None, None]


class GBlock(nn.Module):
    def __init__(self, i, o, cond, net):
        super().__init__()
        conv = lambda a, b, k: spectral_norm(nn.Conv2d(a, b, k, padding=k // 2), eps=net["sn_eps"])
        self.bn1, self.bn2 = ConditionalNorm(i, cond, net), ConditionalNorm(o, cond, net)
        self.conv1, self.conv2 = conv(i, o, 3), conv(o, o, 3)
        if i != o or net["skip_rule"] == "always":
            self.conv_sc = conv(i, o, 1)
        self.zero = net["upsample"] == "zero"

    def up(self, x):
        if not self.zero:
            return F.interpolate(x, scale_factor=2)
        y = x.new_zeros(x.shape[0], x.shape[1], 2 * x.shape[2], 2 * x.shape[3])
        y[:, :, ::2, ::2] = x
        return y

    def forward(self, x, cond):
        h = self.conv1(self.up(F.relu(self.bn1(x, cond))))
        h = self.conv2(F.relu(self.bn2(h, cond)))
        return h + self.conv_sc(self.up(x)) if hasattr(self, "conv_sc") else h


class Attention(nn.Module):
    def __init__(self, channels, net):
        super().__init__()
        conv = lambda a, b: spectral_norm(nn.Conv2d(a, b, 1, bias=False), eps=net["sn_eps"])
        self.theta, self.phi = conv(channels, channels // 8), conv(channels, channels // 8)
        self.g, self.o = conv(channels, channels // 2), conv(channels // 2, channels)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        n, _, h, w = x.shape
        theta = self.theta(x).flatten(2)
        phi, g = (F.max_pool2d(m(x), 2).flatten(2) for m in (self.phi, self.g))
        attn = torch.softmax(theta.transpose(1, 2) @ phi, -1)
        return x + self.gamma * self.o((g @ attn.transpose(1, 2)).view(n, -1, h, w))


class Condition(nn.Module):
    """(y - mean)/std."""

    def __init__(self, width):
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("std", torch.ones(width))

    def forward(self, y):
        return (y - self.mean) / self.std


class Generator(nn.Module):
    """gan/generator.go: paints images in [-1, 1] from noise and raw logits (features, or a one-hot
    label)."""

    def __init__(self, net):
        super().__init__()
        widths = [m * net["ch_g"] for m in net["g_mult"]]
        self.condition = Condition(net["cond"])
        self.chunk = net["z_dim"] // len(widths) if net["hierarchical"] else 0
        cond = (net["embed"] or net["cond"]) + self.chunk
        if net["embed"]:
            self.shared = nn.Linear(net["cond"], net["embed"], bias=False)
        self.linear = spectral_norm(nn.Linear(self.chunk or net["z_dim"], 16 * widths[0]),
                                    eps=net["sn_eps"])
        self.blocks = nn.ModuleList(GBlock(i, o, cond, net) for i, o in zip(widths, widths[1:]))
        self.attend = net["g_attention"]
        if self.attend:
            # The block behind which the image has this size.
            at = (self.attend // 4).bit_length() - 1
            self.attention = Attention(widths[at], net)
        self.output = nn.Sequential(nn.BatchNorm2d(widths[-1], eps=net["bn_eps"]),
                                    spectral_norm(nn.Conv2d(widths[-1], 3, 3, padding=1),
                                                  eps=net["sn_eps"]))

    def forward(self, z, y):
        y = self.condition(y)
        if hasattr(self, "shared"):
            y = self.shared(y)
        parts = z.split(self.chunk, 1) if self.chunk else [z]
        h = self.linear(parts[0]).view(len(z), -1, 4, 4)
        for i, block in enumerate(self.blocks):
            h = block(h, torch.cat([y, parts[i + 1]], 1) if self.chunk else y)
            if h.shape[2] == self.attend:
                h = self.attention(h)
        return torch.tanh(self.output[1](F.relu(self.output[0](h))))
