"""Loss curves of a training and of five more whose weights start off by a rounding's worth.

These run in single precision, as ours does. They share most of PyTorch's roundings, which a
perturbation of 1e-7 leaves as they are, so that their band may miss the curve that all of them
approximate: on the first step of ResNet-20 PyTorch's single precision flips a few ReLUs, which
moves gradients by a hundredth, and it flips nearly the same ones every time. So the curve in double
precision is recorded too, and belongs to the band.
"""

import importlib
import sys

import torch

RUNS = 5
PERTURBATION = 1e-7  # relative; single precision rounds by up to 6e-8


def perturb(weights, run):
    """Single-precision weights multiplied by 1 + 1e-7 N(0, 1). Zeros stay zero."""
    rng = torch.Generator().manual_seed(run)
    drawn = lambda w: torch.randn(w.shape, generator=rng, dtype=torch.float64)
    return {k: (w.double() * (1 + PERTURBATION * drawn(w))).float() for k, w in weights.items()}


def record(g, weights, train):
    """Puts double [steps], single [steps] and perturbed [RUNS steps] of each curve that train
    returns."""
    weights = {k: w.float() for k, w in weights.items()}
    double = train({k: w.double() for k, w in weights.items()}, torch.float64)
    single = train(weights, torch.float32)
    perturbed = [train(perturb(weights, i + 1), torch.float32) for i in range(RUNS)]
    for name, exact in double.items():
        g.put(f"{name}/double", torch.tensor(exact, dtype=torch.float64))
        g.put(f"{name}/single", torch.tensor(single[name], dtype=torch.float64))
        g.put(f"{name}/perturbed", torch.tensor([r[name] for r in perturbed], dtype=torch.float64))
        width = [max(c) - min(c) for c in zip(*(r[name] for r in perturbed))]
        for t, (loss, w, f32) in enumerate(zip(exact, width, single[name])):
            print(f"{name} step {t + 1}: {loss:.6f}, single precision {f32 - loss:+.1e}, "
                  f"width {w:.1e}")


def inside(curve, runs):
    """How many points of a curve lie between the smallest and the largest of the runs."""
    return sum(min(r) <= x <= max(r) for x, *r in zip(curve, *runs))


def odds(part, more):
    """Prints how often PyTorch itself stays in the envelope of RUNS perturbed runs: unperturbed,
    with other kernels, with another number of threads, in double precision, and from perturbed
    weights that are not in the envelope."""
    module = importlib.import_module(part)
    weights = {k: w.float() for k, w in module.weights().items()}

    def train(start, dtype=torch.float32):
        return {k: [float(x) for x in v] for k, v in module.train(start, dtype).items()}

    torch.set_num_threads(1)
    runs = [train(perturb(weights, i + 1)) for i in range(RUNS + more)]
    others = {"unperturbed": train(weights),
              "double precision": train({k: w.double() for k, w in weights.items()}, torch.float64)}
    with torch.backends.mkldnn.flags(enabled=False):
        others["without oneDNN"] = train(weights)
    torch.set_num_threads(2)
    others["two threads"] = train(weights)
    for name in runs[0]:
        first = [r[name] for r in runs[:RUNS]]
        steps = len(first[0])
        for what, curve in others.items():
            print(f"{name}, {what}: {inside(curve[name], first)} of {steps} losses inside")
        counts = [inside(r[name], first) for r in runs[RUNS:]]
        print(f"{name}, {more} other perturbed runs: {counts} of {steps}")


if __name__ == "__main__":  # python bench/pytorch/envelope.py resnet20|biggan [other runs]
    odds(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 7)
