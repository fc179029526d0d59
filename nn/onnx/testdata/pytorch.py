"""Writes small networks, exported by PyTorch, with logits and input gradients, for
TestPyTorchExports.

    python pytorch.py        # torch 2.15.0, onnx 1.23.2, onnxscript; CPU, one thread, seed 0

For each network: NAME.onnx and, in pytorch.npz, NAME.y (logits [2 10]) and NAME.g, the gradient of
the sum of squared logits by the images x [2 16 16 3] (NHWC, in [0, 1], the same for all).
"""
import numpy as np
import onnx
import torch
import torch.nn as nn
import torch.nn.functional as F


class Residual(nn.Module):
    """Option A's shortcut, batch normalisation, view with a computed shape."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 8, 3, 2, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(8)
        self.conv3 = nn.Conv2d(8, 8, 3, 1, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 10)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        shortcut = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2))
        y = self.bn3(self.conv3(F.relu(self.bn2(self.conv2(x)))))
        x = F.relu(y + shortcut)
        x = F.avg_pool2d(x, x.size(3))
        return self.head(x.view(x.size(0), -1))


class Inception(nn.Module):
    """Factorised kernels, concatenation, averages without padding, a ceil-mode maximum."""

    def __init__(self):
        super().__init__()
        self.one = nn.Conv2d(3, 4, 1)
        self.wide = nn.Sequential(
            nn.Conv2d(3, 4, (1, 7), padding=(0, 3)), nn.BatchNorm2d(4), nn.ReLU(),
            nn.Conv2d(4, 4, (7, 1), padding=(3, 0)))
        self.pool = nn.Conv2d(3, 4, 3, padding=1)
        self.bn = nn.BatchNorm2d(12)
        self.head = nn.Linear(12, 10)

    def forward(self, x):
        mean = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        y = torch.cat([self.one(x), self.wide(x), self.pool(mean)], 1)
        y = F.max_pool2d(F.relu(self.bn(y)), 3, 2, ceil_mode=True)
        y = F.adaptive_avg_pool2d(y, 1)
        return self.head(F.dropout(torch.flatten(y, 1), 0.5, self.training))


class Mobile(nn.Module):
    """Depthwise convolution, hard activations, squeeze and excitation, group normalisation."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.depth = nn.Conv2d(8, 8, 5, 1, 2, groups=8, bias=False)
        self.bn2 = nn.BatchNorm2d(8)
        self.squeeze = nn.Conv2d(8, 4, 1)
        self.excite = nn.Conv2d(4, 8, 1)
        self.gn = nn.GroupNorm(4, 8)
        self.head = nn.Linear(8, 10)

    def forward(self, x):
        x = F.hardswish(self.bn1(self.conv(x)))
        y = F.silu(self.bn2(self.depth(x)))
        w = self.excite(F.relu6(self.squeeze(F.adaptive_avg_pool2d(y, 1))))
        return self.head(self.gn(x + y * F.hardsigmoid(w)).mean([2, 3]))


class Transformer(nn.Module):
    """A vision transformer of one encoder layer, with a class token."""

    def __init__(self, d=16):
        super().__init__()
        self.patch = nn.Conv2d(3, d, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, d))
        self.position = nn.Parameter(torch.randn(1, 17, d) * 0.1)
        self.encoder = nn.TransformerEncoderLayer(
            d, 4, 32, activation="gelu", batch_first=True, norm_first=True)
        self.norm = nn.LayerNorm(d)
        self.head = nn.Linear(d, 10)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.position
        return self.head(self.norm(self.encoder(x))[:, 0])


class Mixer(nn.Module):
    """One block that mixes patches, then channels."""

    def __init__(self, d=8):
        super().__init__()
        self.patch = nn.Conv2d(3, d, 4, 4)
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.tokens = nn.Sequential(nn.Linear(16, 16), nn.GELU(), nn.Linear(16, 16))
        self.channels = nn.Sequential(nn.Linear(d, 16), nn.GELU(), nn.Linear(16, d))
        self.head = nn.Linear(d, 10)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = x + self.tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        x = x + self.channels(self.norm2(x))
        return self.head(x.mean(1))


class Decoder(nn.Module):
    """What generators use: transposed convolution, instance normalisation, resizing, shuffling."""

    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(3, 4, 4, 2, 1)
        self.up = nn.ConvTranspose2d(4, 4, 4, 2, 1)
        self.norm = nn.InstanceNorm2d(4, affine=True)
        self.out = nn.Conv2d(4, 4, 3, 1, 1)
        self.head = nn.Linear(4, 10)

    def forward(self, x):
        y = F.leaky_relu(self.norm(self.up(F.elu(self.down(x)))), 0.2)
        y = F.interpolate(y, scale_factor=2, mode="bilinear", align_corners=False)
        y = F.interpolate(y, size=(12, 12), mode="bicubic", align_corners=False)
        y = F.pixel_unshuffle(F.pixel_shuffle(torch.tanh(self.out(y)), 2), 2)
        y = F.log_softmax(y, 1)
        q = torch.einsum("nchw,nchv->ncwv", y, y) * 0.01
        return self.head((y + q).mean((2, 3)))


def strip(path):
    """Removes stack traces, which name the directories of the machine."""
    model = onnx.load(path)
    for part in [model, model.graph, *model.graph.node, *model.graph.value_info,
                 *model.graph.input, *model.graph.output, *model.graph.initializer]:
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    onnx.save(model, path)


def main():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    x = torch.rand(2, 3, 16, 16)
    out = {"x": x.permute(0, 2, 3, 1).contiguous().numpy()}
    for make in (Residual, Inception, Mobile, Transformer, Mixer, Decoder):
        net, name = make().eval(), make.__name__.lower()
        for buffer in net.buffers():
            if buffer.is_floating_point():
                buffer.add_(torch.rand_like(buffer) * 0.5)
        images = x.clone().requires_grad_()
        y = net(images)
        (g,) = torch.autograd.grad((y**2).sum(), images)
        out[name + ".y"] = y.detach().numpy()
        out[name + ".g"] = g.permute(0, 2, 3, 1).contiguous().numpy()
        torch.onnx.export(net, (x,), name + ".onnx", dynamo=False, opset_version=17,
                          input_names=["images"], dynamic_axes={"images": {0: "n"}})
        if make is Transformer:
            torch.onnx.export(net, (x,), name + "-dynamo.onnx", dynamo=True, external_data=False,
                              dynamic_shapes=({0: torch.export.Dim("n")},), verbose=False)
            strip(name + "-dynamo.onnx")
    np.savez_compressed("pytorch.npz", **out)


if __name__ == "__main__":
    main()
