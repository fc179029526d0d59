"""Goldens of package nn/loss, to second order."""

import torch
import torch.nn.functional as F

from record import Golden


def margin(z, y):
    """max over i != y of z_i, minus z_y (Carlini and Wagner)."""
    own = z.gather(1, y[:, None])[:, 0]
    return z.scatter(1, y[:, None], float("-inf")).amax(1) - own


def dlr(z, y):
    """AutoAttack's difference of logits ratio, with its reference implementation's guard."""
    top = z.sort(1, descending=True).values
    return margin(z, y) / (top[:, 0] - top[:, 2] + 1e-12)


def write():
    g = Golden("nn/loss/testdata/losses.safetensors")
    z, labels = lambda: 2 * g.normal(6, 5), g.labels(6, 5)
    for s in (0.0, 0.1):
        g.case(f"ce {s}", lambda z, y: F.cross_entropy(z, y.long(), label_smoothing=s), z(), labels)
        g.case(f"each ce {s}",
               lambda z, y: F.cross_entropy(z, y.long(), label_smoothing=s, reduction="none"), z(),
               labels)
    g.case("soft ce", lambda z, t: F.cross_entropy(z, t), z(), F.softmax(z(), 1))
    g.case("mse", F.mse_loss, g.normal(4, 3), g.normal(4, 3))
    g.case("l1", F.l1_loss, g.normal(4, 3), g.normal(4, 3))
    g.case("hinge d", lambda r, f: F.relu(1 - r).mean() + F.relu(1 + f).mean(), 2 * g.normal(7),
           2 * g.normal(7))
    g.case("hinge g", lambda f: -f.mean(), g.normal(7))
    kl = lambda p, q: F.kl_div(F.log_softmax(q, 1), F.softmax(p, 1), reduction="none").sum(1)
    g.case("kl", kl, z(), z())
    g.case("margin", margin, z(), labels)
    g.case("dlr", dlr, z(), labels)
    return g.save()
