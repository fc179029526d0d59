"""Whole steps. A maker takes a row and a mode and returns a function that makes one step."""

import contextlib

import torch
import torch.nn.functional as F

from yardstick import networks
from yardstick.kernels import compiled


def autocast(mode):
    """bfloat16 where the mode says so."""
    if mode.startswith("bf16"):
        return torch.autocast("cpu", torch.bfloat16)
    return contextlib.nullcontext()


def classifier(spec, mode):
    """Momentum, weight decay; with "pgd" iterations of an attack before, in evaluation mode, on the
    input alone."""
    a = spec["args"]
    net = networks.layout(networks.classifier(spec["arch"], a["classes"]), mode).train()
    params = list(net.parameters())
    opt = torch.optim.SGD(params, lr=1e-3, momentum=0.9, weight_decay=5e-4, fused=True)
    x = networks.layout(torch.rand(a["n"], 3, a["h"], a["h"]), mode)
    y = torch.arange(a["n"]) % a["classes"]

    def forward(x):
        with autocast(mode):
            return F.cross_entropy(net(x), y)

    loss = compiled(forward, mode)

    def step():
        images = attack(net, params, loss, x, a["pgd"]) if a["pgd"] else x
        opt.zero_grad(set_to_none=True)
        loss(images).backward()
        opt.step()

    return step


def attack(net, params, loss, x, steps, eps=8 / 255, size=2 / 255):
    """Projected gradient ascent in the largest norm from a random start (Madry et al.)."""
    net.eval()
    for p in params:  # no gradient of the weights, compiled or not
        p.requires_grad_(False)
    low, high = (x - eps).clamp_min_(0), (x + eps).clamp_max_(1)
    adv = (x + torch.empty_like(x).uniform_(-eps, eps)).clamp_(0, 1)
    for _ in range(steps):
        adv.requires_grad_()
        (g,) = torch.autograd.grad(loss(adv), adv)
        with torch.no_grad():
            adv = torch.clamp(adv.add(g.sign_(), alpha=size), low, high)
    for p in params:
        p.requires_grad_()
    net.train()
    return adv.detach()


class Players:
    """BigGAN's two networks with what a step of either needs."""

    def __init__(self, spec, mode):
        a = spec["args"]
        self.n, self.z, self.mode = a["n"], a["z"], mode
        self.G = networks.layout(networks.Generator(spec), mode).train()
        self.D = networks.layout(networks.Discriminator(spec), mode).train()
        self.x = networks.layout(torch.rand(a["n"], 3, a["h"], a["h"]) * 2 - 1, mode)
        self.y = torch.randn(a["n"], a["cond"])

    def noise(self):
        return torch.randn(self.n, self.z)

    @staticmethod
    def adam(net):
        return torch.optim.Adam(net.parameters(), lr=4e-4, betas=(0.5, 0.999), eps=1e-8, fused=True)


def discriminator(spec, mode):
    """Real and painted images in one batch; the generator runs without gradients."""
    p = Players(spec, mode)
    opt, yy = p.adam(p.D), torch.cat([p.y, p.y])

    def paint(z):
        with autocast(mode):
            return p.G(z, p.y)

    def hinge(x):
        with autocast(mode):
            real, fake = p.D(x, yy).split(p.n)
            return F.relu(1 - real).mean() + F.relu(1 + fake).mean()

    paint, hinge = compiled(paint, mode), compiled(hinge, mode)

    def step():
        with torch.no_grad():
            fake = paint(p.noise())
        opt.zero_grad(set_to_none=True)
        hinge(torch.cat([p.x, fake.float()])).backward()
        opt.step()

    return step


def generator(spec, mode):
    """The discriminator's weights are frozen; the average of the generator's weights follows."""
    p = Players(spec, mode)
    p.D.requires_grad_(False)
    opt, params = p.adam(p.G), list(p.G.parameters())
    average = [w.detach().clone() for w in params]

    def hinge(z):
        with autocast(mode):
            return -p.D(p.G(z, p.y), p.y).mean()

    hinge = compiled(hinge, mode)

    def step():
        opt.zero_grad(set_to_none=True)
        hinge(p.noise()).backward()
        opt.step()
        with torch.no_grad():
            torch._foreach_lerp_(average, params, 0.001)

    return step


def forward_only(net, mode):
    """net in evaluation mode without gradients; "freeze" compiles with the weights as constants."""
    net = networks.layout(net.eval(), mode)
    if mode == "freeze":
        net = torch.compile(net, options={"freezing": True})
    f = compiled(net, mode)

    @torch.no_grad()
    def run(*x):
        return f(*x)

    return run


def inference(spec, mode):
    a = spec["args"]
    run = forward_only(networks.classifier(spec["arch"], a["classes"]), mode)
    x = networks.layout(torch.rand(a["n"], 3, a["h"], a["h"]), mode)
    return lambda: run(x)


def paint(spec, mode):
    """One image; the spectral norms are divided out beforehand, as a network that only paints
    allows."""
    a = spec["args"]
    run = forward_only(networks.freeze(networks.Generator(spec)), mode)
    z, y = torch.randn(a["n"], a["z"]), torch.randn(a["n"], a["cond"])
    return lambda: run(z, y)


class Photographs(torch.utils.data.Dataset):
    """Images in memory with torchvision's augmentation, item by item, as
    torchvision.datasets.CIFAR10 does it."""

    def __init__(self, n, size, crop):
        from torchvision import transforms

        self.pixels = torch.randint(0, 256, (n, size, size, 3), dtype=torch.uint8).numpy()
        self.transform = transforms.Compose([transforms.RandomCrop(size, padding=crop),
                                             transforms.RandomHorizontalFlip(),
                                             transforms.ToTensor()])

    def __len__(self):
        return len(self.pixels)

    def __getitem__(self, i):
        from PIL import Image

        return self.transform(Image.fromarray(self.pixels[i])), i % 10


def loader(spec, mode):
    a, workers = spec["args"], int(mode.removeprefix("workers"))
    loader = torch.utils.data.DataLoader(Photographs(a["images"], a["h"], a["crop"]), a["n"],
                                         shuffle=True, num_workers=workers, drop_last=True,
                                         persistent_workers=workers > 0)

    def endless():
        while True:
            yield from loader

    batches = endless()

    def run():
        for _ in range(a["batches"]):
            next(batches)

    return run


KINDS = {
    "classifier": classifier, "gan-d": discriminator, "gan-g": generator, "inference": inference,
    "paint": paint, "loader": loader,
}
