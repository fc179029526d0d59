"""The networks: torchvision's ResNets, He's for CIFAR, and BigGAN-32 in its authors' order of
layers."""

import torch
import torch.nn.functional as F
import torchvision
from torch import nn

EPS = 1e-6  # of the spectral norms


def layout(x, mode):
    """A tensor or a module in the mode's memory format."""
    if mode.endswith("-cl") or mode == "freeze":
        return x.to(memory_format=torch.channels_last)
    return x


def classifier(arch, classes):
    """A network by the name it has in the Go program."""
    if arch == "resnet20-cifar":
        return ResNet20(classes)
    if arch.endswith("-cifar"):
        net = torchvision.models.get_model(arch.removesuffix("-cifar"), num_classes=classes)
        net.conv1, net.maxpool = nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.Identity()
        return net
    return torchvision.models.get_model(arch, num_classes=classes)


class Block(nn.Module):
    def __init__(self, inner, out, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inner, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out)
        self.conv2, self.bn2 = nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out)
        self.stride, self.pad = stride, (out - inner) // 2

    def forward(self, x):
        h = self.bn2(self.conv2(F.relu_(self.bn1(self.conv1(x)))))
        if self.stride > 1:  # option A: every second pixel, new channels of zeros
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.pad, self.pad))
        h += x
        return F.relu_(h)


class ResNet20(nn.Sequential):
    def __init__(self, classes):
        layers, inner = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16),
                         nn.ReLU(inplace=True)], 16
        for out in (16, 32, 64):
            for i in range(3):
                layers.append(Block(inner, out, 2 if i == 0 and out > 16 else 1))
                inner = out
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes))


class Spectral:
    """Adds to a layer with a weight its division by the largest singular value.

    In training mode each call makes one power iteration, whose u stays. freeze divides once and for
    all.
    """

    def start(self):
        self.register_buffer("u", F.normalize(torch.randn(self.weight.shape[0]), dim=0))
        self.frozen = False

    def matrix(self):
        w = self.weight
        # A view in either memory format: the norm does not mind the order of columns.
        if w.dim() == 4:
            w = w.permute(0, 2, 3, 1) if w.is_contiguous(memory_format=torch.channels_last) else w
            return w.reshape(w.shape[0], -1)
        return w

    def divided(self):
        if self.frozen:
            return self.weight
        m = self.matrix()
        with torch.no_grad():
            v = F.normalize(m.t() @ self.u, dim=0, eps=EPS)
            u = F.normalize(m @ v, dim=0, eps=EPS)
            if self.training:
                self.u.copy_(u)
        return self.weight / torch.dot(u, m @ v)

    @torch.no_grad()
    def freeze(self):
        self.weight.copy_(self.divided())
        self.frozen = True


class SpectralWeight(nn.Module, Spectral):
    def __init__(self, rows, cols):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(rows, cols))
        self.start()

    def forward(self):
        return self.divided()


class Conv(nn.Conv2d, Spectral):
    def __init__(self, inner, out, k, bias=True):
        super().__init__(inner, out, k, padding=k // 2, bias=bias)
        self.start()

    def forward(self, x):
        return F.conv2d(x, self.divided(), self.bias, padding=self.padding)


class Linear(nn.Linear, Spectral):
    def __init__(self, inner, out, bias=False):
        super().__init__(inner, out, bias=bias)
        self.start()

    def forward(self, x):
        return F.linear(x, self.divided(), self.bias)


class ConditionalNorm(nn.Module):
    def __init__(self, channels, cond):
        super().__init__()
        self.gain, self.bias = Linear(cond, channels), Linear(cond, channels)
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("var", torch.ones(channels))

    def forward(self, x, cond):
        gain, bias = 1 + self.gain(cond), self.bias(cond)
        y = F.batch_norm(x, self.mean, self.var, None, None, self.training, 0.1, 1e-5)
        return y * gain[:, :, None, None] + bias[:, :, None, None]


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        self.theta, self.phi = Conv(c, c // 8, 1, False), Conv(c, c // 8, 1, False)
        self.g = Conv(c, c // 2, 1, False)
        self.o, self.gamma = Conv(c // 2, c, 1, False), nn.Parameter(torch.zeros(1))

    def forward(self, x):
        n, c, h, w = x.shape
        theta = self.theta(x).flatten(2)
        phi, g = F.max_pool2d(self.phi(x), 2).flatten(2), F.max_pool2d(self.g(x), 2).flatten(2)
        a = torch.bmm(theta.transpose(1, 2), phi).softmax(-1)
        return x + self.gamma * self.o(torch.bmm(g, a.transpose(1, 2)).view(n, c // 2, h, w))


class GBlock(nn.Module):
    def __init__(self, inner, out, cond):
        super().__init__()
        self.bn1, self.bn2 = ConditionalNorm(inner, cond), ConditionalNorm(out, cond)
        self.conv1, self.conv2 = Conv(inner, out, 3), Conv(out, out, 3)
        self.skip = Conv(inner, out, 1)

    def forward(self, x, cond):
        h = F.interpolate(F.relu(self.bn1(x, cond)), scale_factor=2)
        h = self.conv2(F.relu(self.bn2(self.conv1(h), cond)))
        return h + self.skip(F.interpolate(x, scale_factor=2))


class Generator(nn.Module):
    def __init__(self, spec):
        super().__init__()
        a, widths = spec["args"], [m * spec["args"]["ch"] for m in spec["lists"]["g_mult"]]
        self.chunk, self.width = a["z"] // len(widths), widths[0]
        self.shared = nn.Linear(a["cond"], a["embed"], bias=False)
        self.first = Linear(self.chunk, widths[0] * 16, bias=True)
        cond = self.chunk + a["embed"]
        self.blocks = nn.ModuleList(GBlock(i, o, cond) for i, o in zip(widths, widths[1:]))
        self.norm, self.last = nn.BatchNorm2d(widths[-1]), Conv(widths[-1], 3, 3)

    def forward(self, z, y):
        y, chunks = self.shared(y), z.split(self.chunk, 1)
        # As NHWC the reshape is free in either format: the next layer's weights decide.
        h = self.first(chunks[0]).view(-1, 4, 4, self.width).permute(0, 3, 1, 2)
        if not self.last.weight.is_contiguous(memory_format=torch.channels_last):
            h = h.contiguous()
        for block, chunk in zip(self.blocks, chunks[1:]):
            h = block(h, torch.cat([y, chunk], 1))
        return torch.tanh(self.last(F.relu(self.norm(h))))


class DBlock(nn.Module):
    def __init__(self, inner, out, down, first):
        super().__init__()
        self.conv1, self.conv2 = Conv(inner, out, 3), Conv(out, out, 3)
        self.skip = Conv(inner, out, 1) if down or inner != out else None
        self.down, self.first = down, first

    def forward(self, x):
        h = self.conv2(F.relu(self.conv1(x if self.first else F.relu(x))))
        if self.down and self.first:
            x = F.avg_pool2d(x, 2)
        if self.skip:
            x = self.skip(x)
        if self.down:
            h = F.avg_pool2d(h, 2)
            x = x if self.first else F.avg_pool2d(x, 2)
        return h + x


class Discriminator(nn.Module):
    def __init__(self, spec):
        super().__init__()
        blocks, inner = [], 3
        for i, (m, down) in enumerate(zip(spec["lists"]["d_mult"], spec["lists"]["d_down"])):
            out = m * spec["args"]["ch"]
            blocks.append(DBlock(inner, out, bool(down), i == 0))
            inner = out
        self.blocks = nn.Sequential(*blocks)
        self.linear, self.embed = Linear(inner, 1, bias=True), Linear(spec["args"]["cond"], inner)

    def forward(self, x, y):
        h = F.relu(self.blocks(x)).sum((2, 3))
        return self.linear(h)[:, 0] + (self.embed(y) * h).sum(1)


def freeze(net):
    """Divides every spectrally normalised weight once and for all, as a network that only paints
    can."""
    for m in net.modules():
        if isinstance(m, Spectral):
            m.freeze()
    return net
