"""BigGAN-32 of four channels from the same weights, data, noise and conditions.

Generator and discriminator are written after Brock et al. (appendix B) and their PyTorch code's
layer order: the upsampling stands before the skip's convolution and the pooling behind it, where
ours swap them. A training step is the inverter's: hinge losses, real and painted images in one
discriminator batch, Adam; a pass through the other player's network leaves no trace in it (neither
running statistics nor power iterations).
"""

import torch
import torch.nn.functional as F

import envelope
import philox
from layers import power_iteration
from record import Golden, nchw, nhwc, oihw

SEED, STEPS, BATCH = 13, 20, 8
CH, COND, EMBED, Z = 4, 10, 128, 80
SN_EPS, BN_EPS, STD = 1e-6, 1e-5, 0.02
# A rate that single precision holds exactly. Adam's first steps are the gradient's signs but for
# eps, so that an entry that is nothing but rounding moves a weight as far as any other: a large eps
# and small steps keep that in bounds.
LR, BETAS, ADAM_EPS = 2.0**-13, (0.5, 0.999), 1e-6
WIDTH, BLOCKS, CHUNK = 4 * CH, 3, Z // 4
D_DOWN = [True, True, False, False]


def shapes():
    """Every parameter: name to (our shape, kind of initial value)."""
    out = {}

    def conv(name, o, i, k):
        out[name + ".weight"] = ((o, k, k, i), STD)
        out[name + ".bias"] = ((o,), 0.0)
        out[name + ".weight_u"] = ((o,), 1.0)

    def linear(name, o, i, bias=False, sn=True, std=STD):
        out[name + ".weight"] = ((o, i), std)
        if bias:
            out[name + ".bias"] = ((o,), 0.0)
        if sn:
            out[name + ".weight_u"] = ((o,), 1.0)

    linear("generator.shared", EMBED, COND, sn=False)
    linear("generator.linear", WIDTH * 16, CHUNK, bias=True)
    for i in range(BLOCKS):
        p = f"generator.blocks.{i}."
        for bn, c in (("bn1", "conv1"), ("bn2", "conv2")):
            linear(p + bn + ".gain", WIDTH, CHUNK + EMBED)
            linear(p + bn + ".bias", WIDTH, CHUNK + EMBED)
            conv(p + c, WIDTH, WIDTH, 3)
        conv(p + "conv_sc", WIDTH, WIDTH, 1)
    out["generator.output.0.weight"] = ((WIDTH,), None)
    out["generator.output.0.bias"] = ((WIDTH,), 0.0)
    conv("generator.output.1", 3, WIDTH, 3)
    for i, down in enumerate(D_DOWN):
        p, inner = f"discriminator.blocks.{i}.", WIDTH if i else 3
        conv(p + "conv1", WIDTH, inner, 3)
        conv(p + "conv2", WIDTH, WIDTH, 3)
        if down or inner != WIDTH:
            conv(p + "conv_sc", WIDTH, inner, 1)
    linear("discriminator.linear", 1, WIDTH, bias=True)
    linear("discriminator.embed", WIDTH, COND, std=(2 / (WIDTH + COND)) ** 0.5)
    return out


def weights():
    """nn.Init's values in double precision; convolutions stay OHWI."""
    out = {}
    for name, (shape, kind) in shapes().items():
        if kind is None:
            out[name] = torch.ones(shape).double()
        else:
            out[name] = torch.from_numpy(kind * philox.normal(SEED, "init/" + name, shape))
    return out


class Pass:
    """One forward pass: spectral norms iterate once from the stored u; new u are kept for who wants
    them."""

    def __init__(self, params):
        self.p, self.u = params, {}

    def w(self, name):
        w, u = self.p[name + ".weight"], self.p[name + ".weight_u"]
        self.u[name + ".weight_u"], _, sigma = power_iteration(w, u, SN_EPS)
        return w / sigma

    def conv(self, name, x):
        w = oihw(self.w(name))
        return F.conv2d(x, w, self.p[name + ".bias"], padding=w.shape[-1] // 2)

    def cbn(self, name, x, cond):
        gain = 1 + F.linear(cond, self.w(name + ".gain"))
        bias = F.linear(cond, self.w(name + ".bias"))
        y = F.batch_norm(x, None, None, None, None, True, 0.1, BN_EPS)
        return y * gain[:, :, None, None] + bias[:, :, None, None]

    def generate(self, z, y):
        y = F.linear(y, self.p["generator.shared.weight"])
        zs = z.split(CHUNK, 1)
        h = F.linear(zs[0], self.w("generator.linear"), self.p["generator.linear.bias"])
        h = nchw(h.view(-1, 4, 4, WIDTH))
        for i in range(BLOCKS):
            p, cond = f"generator.blocks.{i}.", torch.cat([y, zs[i + 1]], 1)
            up = lambda t: F.interpolate(t, scale_factor=2, mode="nearest")
            r = self.conv(p + "conv1", up(F.relu(self.cbn(p + "bn1", h, cond))))
            r = self.conv(p + "conv2", F.relu(self.cbn(p + "bn2", r, cond)))
            h = r + self.conv(p + "conv_sc", up(h))
        h = F.batch_norm(h, None, None, self.p["generator.output.0.weight"],
                         self.p["generator.output.0.bias"], True, 0.1, BN_EPS)
        return torch.tanh(self.conv("generator.output.1", F.relu(h)))

    def judge(self, x, y):
        h = x
        for i, down in enumerate(D_DOWN):
            p = f"discriminator.blocks.{i}."
            r = self.conv(p + "conv1", F.relu(h) if i else h)
            r = self.conv(p + "conv2", F.relu(r))
            # The first block pools before its skip's convolution, the others after it.
            skip = F.avg_pool2d(h, 2) if i == 0 else h
            if p + "conv_sc.weight" in self.p:
                skip = self.conv(p + "conv_sc", skip)
            if down:
                r = F.avg_pool2d(r, 2)
                skip = F.avg_pool2d(skip, 2) if i else skip
            h = r + skip
        h = F.relu(h).sum((2, 3))
        score = F.linear(h, self.w("discriminator.linear"),
                         self.p["discriminator.linear.bias"])[:, 0]
        return score + (F.linear(y, self.w("discriminator.embed")) * h).sum(1)


def draw(data, name, shape, step, f=philox.normal):
    return torch.from_numpy(f(SEED, "golden/" + name, shape, step)).to(data)


def discriminate(params, step, n, data):
    """The discriminator's loss and the pass whose power iterations belong to it; data is the
    images' precision."""
    own, dtype = Pass(params), params["generator.linear.weight"].dtype
    x = (2 * draw(data, "images", (n, 32, 32, 3), step, philox.uniform) - 1).to(dtype)
    y = draw(data, "conditions", (n, COND), step).to(dtype)
    z = draw(data, "noise", (n, Z), 2 * step).to(dtype)
    with torch.no_grad():
        fake = Pass(params).generate(z, y)
    real, painted = own.judge(torch.cat([nchw(x), fake]), torch.cat([y, y])).split(n)
    return F.relu(1 - real).mean() + F.relu(1 + painted).mean(), own


def generate(params, step, n, data):
    own, dtype = Pass(params), params["generator.linear.weight"].dtype
    y = draw(data, "conditions", (n, COND), step).to(dtype)
    z = draw(data, "noise", (n, Z), 2 * step + 1).to(dtype)
    return -Pass(params).judge(own.generate(z, y), y).mean(), own


def trainable(params, prefix):
    return {k: v for k, v in params.items() if k.startswith(prefix) and not k.endswith("weight_u")}


def exact():
    """Losses and every parameter's gradient of the first step, and four steps' losses, in double
    precision."""
    g = Golden("gan/testdata/biggan_step.safetensors")
    params = weights()
    for player, loss in (("discriminator", discriminate), ("generator", generate)):
        mine = trainable(params, player)
        for p in mine.values():
            p.requires_grad_()
        value, own = loss(params, 0, 2, torch.float64)
        g.put(f"{player}/loss", value)
        for name, d in zip(mine, torch.autograd.grad(value, mine.values())):
            if d.numel() <= 16:
                g.put(f"grad/{name}", d)
            else:
                flat = d.flatten()
                wave = torch.cos(torch.arange(len(flat)).double())
                g.put(f"sum/{name}", torch.stack([flat.norm(), flat @ wave]))
        for name in {"discriminator": ("embed", "blocks.0.conv1"),
                     "generator": ("linear", "blocks.2.bn1.gain")}[player]:
            name = f"{player}.{name}.weight_u"
            g.put(f"u/{name}", own.u[name])
        for p in mine.values():
            p.requires_grad_(False)
    for name, losses in play(params, 4, 2, torch.float64).items():
        g.put(f"steps/{name}", torch.tensor(losses, dtype=torch.float64))
    return g.save()


def play(params, steps, n, data):
    """Alternating steps from params: both loss curves."""
    params, players = {k: v.clone() for k, v in params.items()}, {}
    for player in ("discriminator", "generator"):
        mine = list(trainable(params, player).values())
        players[player] = (mine, torch.optim.Adam(mine, lr=LR, betas=BETAS, eps=ADAM_EPS))
    curves = {"d_loss": [], "g_loss": []}
    for step in range(steps):
        for player, loss, name in (("discriminator", discriminate, "d_loss"),
                                   ("generator", generate, "g_loss")):
            mine, adam = players[player]
            for p in mine:
                p.requires_grad_()
            value, own = loss(params, step, n, data)
            for p, d in zip(mine, torch.autograd.grad(value, mine)):
                p.grad = d
            for p in mine:
                p.requires_grad_(False)
            adam.step()
            params.update({k: u for k, u in own.u.items() if k.startswith(player)})
            curves[name].append(value.item())
    return curves


def train(start, _):
    """Both loss curves from start, whose precision they have; data have single precision."""
    return play(start, STEPS, BATCH, torch.float32)


def curve():
    g = Golden("gan/testdata/biggan_curve.safetensors")
    envelope.record(g, weights(), train)
    return g.save()


def write():
    return exact() + curve()
