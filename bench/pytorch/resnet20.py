"""ResNet-20 from the same weights and data: one exact step, and twenty of SGD with an envelope.

The network is He et al.'s with shortcuts of option A, written after
akamaster/pytorch_resnet_cifar10, whose parameter names it has. Weights are nn.Init's, images and
labels streams of our generator: see philox.py.
"""

import torch
import torch.nn.functional as F

import envelope
import philox
from record import Golden, nchw, oihw

SEED, STEPS, BATCH, CLASSES = 11, 20, 16, 10
# Ten times as much is chaos: after ten steps the envelope is a tenth of the loss wide. Exact in
# single precision.
LR = 2.0**-7


class Block(torch.nn.Module):
    def __init__(self, inner, out, stride):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(inner, out, 3, stride, 1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(out)
        self.conv2 = torch.nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = torch.nn.BatchNorm2d(out)
        self.stride, self.pad = stride, (out - inner) // 2

    def forward(self, x):
        h = F.relu(self.bn1(self.conv1(x)))
        if self.stride > 1:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.pad, self.pad))
        return F.relu(self.bn2(self.conv2(h)) + x)


class ResNet20(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(16)
        inner = 16
        for i, out in enumerate((16, 32, 64)):
            blocks = []
            for j in range(3):
                blocks.append(Block(inner, out, 2 if i > 0 and j == 0 else 1))
                inner = out
            setattr(self, f"layer{i + 1}", torch.nn.Sequential(*blocks))
        self.linear = torch.nn.Linear(64, CLASSES)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(nchw(x))))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


def weights():
    """nn.Init's values in double precision: Kaiming normal by fan-in, the head's bias uniform."""
    out = {}
    for name, p in ResNet20().named_parameters():
        shape = tuple(p.shape)
        if len(shape) == 4:
            o, i, h, w = shape
            v = philox.normal(SEED, "init/" + name, (o, h, w, i)) * (2 / (h * w * i)) ** 0.5
            out[name] = oihw(torch.from_numpy(v)).contiguous()
        elif name == "linear.weight":
            w = philox.normal(SEED, "init/" + name, shape)
            out[name] = torch.from_numpy(w * (2 / 64) ** 0.5)
        elif name == "linear.bias":
            b = 1 / 64**0.5
            out[name] = torch.from_numpy(-b + 2 * b * philox.uniform(SEED, "init/" + name, shape))
        else:
            gain = name.endswith("weight")
            out[name] = (torch.ones if gain else torch.zeros)(shape).double()
    return out


def batch(step, n):
    x = torch.from_numpy(philox.uniform(SEED, "golden/images", (n, 32, 32, 3), step))
    return x, torch.from_numpy(philox.integers(SEED, "golden/labels", (n,), CLASSES, step))


def exact():
    """Loss and every parameter's gradient at the first step, and three steps of SGD, in double
    precision."""
    g = Golden("nn/testdata/resnet20_step.safetensors")
    net = ResNet20().double()
    net.load_state_dict(weights(), strict=False)
    x, y = batch(0, 2)
    loss = F.cross_entropy(net(x), y)
    loss.backward()
    g.put("loss", loss)
    for name, p in net.named_parameters():
        d = p.grad.permute(0, 2, 3, 1) if p.dim() == 4 else p.grad
        if p.numel() <= 640 and (p.dim() > 1 or name.startswith("layer3.2")):
            g.put("grad/" + name, d)
        else:  # of large ones the norm and the product with a cosine wave, which sees the order
            wave = torch.cos(torch.arange(d.numel(), dtype=torch.float64))
            flat = d.flatten()
            g.put("sum/" + name, torch.stack([flat.norm(), flat @ wave]))
    net = ResNet20().double()
    losses = sgd(net, weights(), 3, 2, lambda x: x)
    g.put("steps/loss", torch.tensor(losses, dtype=torch.float64))
    for name in ("bn1", "layer3.2.bn2"):
        for stat in ("running_mean", "running_var"):
            g.put(f"steps/{name}.{stat}", net.get_buffer(f"{name}.{stat}"))
    return g.save()


def sgd(net, start, steps, n, cast):
    """Trains net from start on n images a step: the loss curve."""
    net.load_state_dict(start, strict=False)
    o = torch.optim.SGD(net.parameters(), lr=LR, momentum=0.9, weight_decay=1e-4)
    losses = []
    for step in range(steps):
        x, y = batch(step, n)
        loss = F.cross_entropy(net(cast(x)), y)
        o.zero_grad()
        loss.backward()
        o.step()
        losses.append(loss.item())
    return losses


def train(start, dtype):
    """The loss curve from start; images have single precision, whatever the network's."""
    return {"loss": sgd(ResNet20().to(dtype), start, STEPS, BATCH, lambda x: x.float().to(dtype))}


def curve():
    g = Golden("nn/testdata/resnet20_curve.safetensors")
    envelope.record(g, weights(), train)
    return g.save()


def write():
    return exact() + curve()
