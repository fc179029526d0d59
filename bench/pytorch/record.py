"""Writes golden files: cases with inputs, value, gradient and gradient of the gradient.

A case called c of a function y = f(in0, in1, …) stores

    c/in0 …   the inputs; those that get a gradient have a dx
    c/y       f's value                c/dy      a random cotangent
    c/dx0 …   the VJP of f with dy     c/v0 …    random directions
    c/ddx0 …, c/ddy   the gradient of the scalar Σ ⟨v_i, dx_i⟩ in the inputs and in dy

Beside cases there are arrays of other names, which put stores: those below in/ are inputs, the
others are compared.

Images are NHWC and convolution weights OHWI throughout; the functions below turn them into
PyTorch's.
"""

import json
import pathlib
import zlib

import torch
from safetensors.torch import load_file

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
LARGEST = 100_000  # bytes of one file


def nchw(x):
    return x.permute(0, 3, 1, 2)


oihw = nchw


def nhwc(x):
    return x.permute(0, 2, 3, 1)


class Golden:
    """One file of goldens, filled by case and put, written by save."""

    def __init__(self, path):
        self.path, self.arrays = path, {}
        self.seed = zlib.crc32(path.encode())  # a file's draws do not depend on the others
        self.rng = torch.Generator().manual_seed(self.seed)

    def normal(self, *shape):
        return torch.randn(shape, generator=self.rng, dtype=torch.float64)

    def uniform(self, lo, hi, *shape):
        return lo + (hi - lo) * torch.rand(shape, generator=self.rng, dtype=torch.float64)

    def labels(self, n, classes):
        return torch.randint(classes, (n,), generator=self.rng)

    def off_zero(self, *shape):
        """Points at least 0.2 away from 0, of both signs."""
        x = self.normal(*shape)
        return x + torch.where(x < 0, -0.2, 0.2)

    def put(self, name, x):
        assert name not in self.arrays, name
        x = x.detach().clone().contiguous()
        self.arrays[name] = x.to(torch.int32) if x.dtype == torch.int64 else x

    def case(self, name, f, *inputs, const=(), order=2):
        """Records f at inputs. Integers and the positions in const get no gradient."""
        leaf = [i for i, x in enumerate(inputs) if x.is_floating_point() and i not in const]
        ins = [x.detach().clone().requires_grad_(i in leaf) for i, x in enumerate(inputs)]
        y = f(*ins)
        for i, x in enumerate(inputs):
            self.put(f"{name}/in{i}", x)
        self.put(f"{name}/y", y)
        if order == 0:
            return
        dy = self.normal(*y.shape).requires_grad_()
        wanted = [ins[i] for i in leaf]
        dxs = torch.autograd.grad(y, wanted, dy, create_graph=order > 1)
        self.put(f"{name}/dy", dy)
        for i, dx in zip(leaf, dxs):
            self.put(f"{name}/dx{i}", dx)
        if order == 1:
            return
        vs = [self.normal(*dx.shape) for dx in dxs]
        s = sum((v * dx).sum() for v, dx in zip(vs, dxs))
        second = torch.autograd.grad(s, wanted + [dy], allow_unused=True, materialize_grads=True)
        for i, v, d in zip(leaf, vs, second):
            self.put(f"{name}/v{i}", v)
            self.put(f"{name}/ddx{i}", d)
        self.put(f"{name}/ddy", second[-1])

    def save(self):
        out = REPOSITORY / self.path
        out.parent.mkdir(parents=True, exist_ok=True)
        write(out, self.arrays, {"torch": torch.__version__.split("+")[0], "seed": str(self.seed),
                                 "script": "bench/pytorch/goldens.py"})
        back = load_file(out)
        assert back.keys() == self.arrays.keys()
        assert all(torch.equal(back[k], x) for k, x in self.arrays.items())
        size = out.stat().st_size
        print(f"{self.path}: {len(self.arrays)} arrays, {size} bytes")
        assert size <= LARGEST, f"{self.path} exceeds {LARGEST} bytes"
        return size


def write(path, arrays, metadata):
    """A safetensors file of the same bytes every time; the library's own writer shuffles the
    metadata."""
    header, data = {"__metadata__": metadata}, b""
    for name, x in sorted(arrays.items(), key=lambda a: (-a[1].element_size(), a[0])):  # aligned
        raw = x.numpy().tobytes()
        header[name] = {"dtype": {torch.float64: "F64", torch.int32: "I32"}[x.dtype],
                        "shape": list(x.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
