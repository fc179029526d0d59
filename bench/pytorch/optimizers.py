"""Goldens of package nn/optim: five steps of each optimizer, clipping, averages, schedules.

Learning rates and decays are sums of few powers of two: ours are single precision on the device.
"""

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from record import Golden

STEPS = 5
RATES = [0.125, 0.125, 0.0625, 0.25, 0.03125]
OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=1),
    "sgd decay": lambda p: torch.optim.SGD(p, lr=1, weight_decay=0.1),
    "momentum": lambda p: torch.optim.SGD(p, lr=1, momentum=0.9, weight_decay=0.1),
    "nesterov": lambda p: torch.optim.SGD(p, lr=1, momentum=0.9, weight_decay=0.1, nesterov=True),
    "adam": lambda p: torch.optim.Adam(p, lr=1, betas=(0.9, 0.999), eps=1e-8),
    "adam biggan": lambda p: torch.optim.Adam(p, lr=1, betas=(0.0, 0.999), eps=1e-6),
    "adamw": lambda p: torch.optim.AdamW(p, lr=1, betas=(0.9, 0.99), eps=1e-3, weight_decay=0.1),
}


def optimizers():
    g = Golden("nn/optim/testdata/optimizers.safetensors")
    start = [g.normal(4, 3), g.normal(5)]
    grads = [[g.normal(*p.shape) for p in start] for _ in range(STEPS)]
    for i, p in enumerate(start):
        g.put(f"in/p{i}", p)
        for t in range(STEPS):
            g.put(f"in/grad{t}/p{i}", grads[t][i])
    g.put("in/rates", torch.tensor(RATES, dtype=torch.float64))
    for name, make in OPTIMIZERS.items():
        params = [p.clone().requires_grad_() for p in start]
        o = make(params)
        for t in range(STEPS):
            o.param_groups[0]["lr"] = RATES[t]
            for p, d in zip(params, grads[t]):
                p.grad = d.clone()
            o.step()
            for i, p in enumerate(params):
                g.put(f"{name}/{t}/p{i}", p)
    for limit in (1.0, 100.0):
        params = [p.clone().requires_grad_() for p in start]
        for p, d in zip(params, grads[0]):
            p.grad = d.clone()
        norm = torch.nn.utils.clip_grad_norm_(params, limit)
        g.put(f"clip {limit:g}/norm", norm)
        for i, p in enumerate(params):
            g.put(f"clip {limit:g}/p{i}", p.grad)
    return g.save()


def averages():
    """AveragedModel copies at its first update; ours does with Start 1."""
    g = Golden("nn/optim/testdata/average.safetensors")
    model = torch.nn.BatchNorm1d(4).double()  # has parameters and buffers
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.875), use_buffers=True)
    for t in range(STEPS):
        for name in ("weight", "bias", "running_mean", "running_var"):
            x = g.normal(4)
            with torch.no_grad():
                getattr(model, name).copy_(x)
            g.put(f"in/{t}/{name}", x)
        average.update_parameters(model)
        for name in ("weight", "bias", "running_mean", "running_var"):
            g.put(f"{t}/ema.{name}", getattr(average.module, name))
    total = g.save()

    # A young average keeps its decay at most (1+n)/(10+n), TensorFlow's rule, after one step that
    # copies.
    g = Golden("nn/optim/testdata/average_warmup.safetensors")
    average = None
    for t in range(STEPS):
        x = g.normal(4)
        g.put(f"in/{t}", x)
        # As ours is held.
        decay = torch.tensor(min(0.25, (1 + t) / (10 + t)), dtype=torch.float32).double()
        average = x if average is None else average + (1 - decay) * (x - average)
        g.put(f"{t}/ema", average)
    return total + g.save()


def rates(make, n, lr=0.1):
    """The learning rates of n steps under a scheduler."""
    o = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr, momentum=0.9)
    s, out = make(o), []
    for _ in range(n):
        out.append(o.param_groups[0]["lr"])
        o.step()
        s.step()
    return torch.tensor([float(r) for r in out], dtype=torch.float64)


def schedules():
    g = Golden("nn/optim/testdata/schedules.safetensors")
    s = torch.optim.lr_scheduler
    for name, make, n in [
        ("step", lambda o: s.StepLR(o, 7, 0.3), 30),
        ("multistep", lambda o: s.MultiStepLR(o, [5, 11, 20], 0.1), 30),
        ("cosine", lambda o: s.CosineAnnealingLR(o, 24, 0.01), 25),
        ("onecycle", lambda o: s.OneCycleLR(o, 0.1, total_steps=41, pct_start=11 / 41), 41),
        ("onecycle div", lambda o: s.OneCycleLR(o, 0.1, total_steps=31, pct_start=13 / 31,
                                                div_factor=10,
                                               final_div_factor=100), 31),
        ("triangular", lambda o: s.CyclicLR(o, 0, 0.1, step_size_up=6, step_size_down=14), 21),
        ("warmup", lambda o: s.LinearLR(o, 1 / 8, 1, total_iters=7), 12),
        ("constant", lambda o: s.ConstantLR(o, 1), 5),
        ("warmup cosine", lambda o: s.ChainedScheduler([s.LinearLR(o, 1 / 5, 1, total_iters=4),
                                                        s.CosineAnnealingLR(o, 20)]), 21),
    ]:
        g.put(name, rates(make, n))
    return g.save()


def write():
    return optimizers() + averages() + schedules()
