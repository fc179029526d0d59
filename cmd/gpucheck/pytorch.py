"""PyTorch doing gpucheck's steps in the same run: ResNet-50 and BigGAN in F32, TF32 and bf16,
eager, compiled, and captured by hand, with the memory that its allocator reserves and the time of
its kernels. Prints a JSON line for each. Needs torch and torchvision, and for BigGAN this
repository's bench/pytorch, the folder that --networks names. --gpumon names the program that tells
a card's joules."""
import argparse
import gc
import json
import subprocess
import sys
import time

try:
    import torch
except ImportError as problem:  # a machine without PyTorch is no failure
    print(json.dumps({"name": "skipped", "ok": True,
                      "values": {"why": f"python3 has no PyTorch: {problem}"}}))
    sys.exit(0)

parser = argparse.ArgumentParser()
parser.add_argument("--networks", default="bench/pytorch")
parser.add_argument("--gpumon", default="")
parser.add_argument("tiny", nargs="?")
args = parser.parse_args()
device = "cuda" if torch.cuda.is_available() else "cpu"


def say(name, ok, **values):
    print(json.dumps({"name": name, "ok": ok, "values": values}), flush=True)


def wait():
    if device == "cuda":
        torch.cuda.synchronize()


def energy():
    """Joules since the driver was loaded of the first card, or None."""
    if not args.gpumon:
        return None
    try:
        out = subprocess.run([args.gpumon, "-once"], capture_output=True, check=True,
                             timeout=10).stdout
        return json.loads(out)["devices"][0]["energy_joules"]
    except Exception:  # telemetry is not what is measured
        return None


def measure(step, window=3.0):
    """Seconds of a step, the median of five runs of five, and joules of a step or None."""
    for _ in range(3):
        step()
    times = []
    for _ in range(5):
        wait()
        begin = time.perf_counter()
        for _ in range(5):
            step()
        wait()
        times.append((time.perf_counter() - begin) / 5)
    before, begin, calls = energy(), time.perf_counter(), 0
    while before is not None and time.perf_counter() - begin < window:
        step()
        calls += 1
        wait()
    after = energy() if calls else None
    return sorted(times)[2], (after - before) / calls if after is not None else None


def kernels(step, steps=3):
    """Seconds that the kernels of a step take, added up, by PyTorch's profiler; None without."""
    if device != "cuda":
        return None
    from torch.profiler import DeviceType, ProfilerActivity, profile
    with profile(activities=[ProfilerActivity.CUDA]) as p:
        for _ in range(steps):
            step()
        wait()
    times = [e.device_time_total for e in p.events() if e.device_type == DeviceType.CUDA
             and not e.name.startswith(("Memcpy", "Memset"))]
    return sum(times) / steps / 1e6


def captured(step):
    """A step as one CUDA graph."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def idle(step, seconds):
    """What of a step no kernel runs in, as gpucheck's stage idle has it."""
    try:
        sum_of_kernels = kernels(step)
    except Exception as problem:  # a profiler that does not work costs no measurement
        return {"idle_problem": str(problem).split("\n")[0]}
    if not sum_of_kernels:
        return {}
    return {"kernel_seconds": sum_of_kernels, "idle": 1 - sum_of_kernels / seconds}


def compiled(f, mode):
    return f if mode in ("eager", "captured") else torch.compile(f, mode=mode)


def resnet50(batch, size, amp, mode):
    """One step of SGD."""
    import torchvision

    model = torchvision.models.get_model("resnet18" if args.tiny else "resnet50")
    model = model.to(device, memory_format=torch.channels_last)
    opt = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9, weight_decay=1e-4)
    x = torch.randn(batch, 3, size, size, device=device).to(memory_format=torch.channels_last)
    y = torch.randint(1000, (batch,), generator=torch.Generator().manual_seed(1)).to(device)
    forward = compiled(model, mode)

    def step():
        opt.zero_grad(set_to_none=mode != "captured")
        with torch.autocast(device, dtype=torch.bfloat16, enabled=amp):
            loss = torch.nn.functional.cross_entropy(forward(x), y)
        loss.backward()
        opt.step()

    return step


class Then(torch.nn.Module):
    """A block, then attention."""

    def __init__(self, block, attention):
        super().__init__()
        self.block, self.attention = block, attention

    def forward(self, *inputs):
        return self.attention(self.block(*inputs))


def biggan(spec, amp, mode):
    """A discriminator step and a generator step: hinge losses, Adam, the average of the generator's
    weights."""
    from yardstick import networks

    torch.set_default_device(device)
    a = spec["args"]
    g, d = networks.Generator(spec), networks.Discriminator(spec)
    for blocks, sizes in ((g.blocks, [8, 16, 32, 64, 128, 256]), (d.blocks, [64, 32, 16, 8, 4, 4])):
        for i, block in enumerate(blocks):
            if a["attention"] and sizes[i] == a["attention"]:
                blocks[i] = Then(block, networks.Attention(block.conv2.out_channels))
    g, d = (m.train().to(memory_format=torch.channels_last) for m in (g, d))
    adam = {"lr": 1e-6, "betas": (0.5, 0.999), "eps": 1e-8, "capturable": mode == "captured"}
    opt_g, opt_d = (torch.optim.Adam(m.parameters(), **adam) for m in (g, d))
    n, size = a["n"], a["h"]
    x = (torch.rand(n, 3, size, size) * 2 - 1).to(memory_format=torch.channels_last)
    y = torch.randn(n, a["cond"])
    average = [w.detach().clone() for w in g.parameters()]
    paint, judge = compiled(g, mode), compiled(d, mode)

    def discriminate():
        with torch.no_grad(), torch.autocast(device, dtype=torch.bfloat16, enabled=amp):
            fake = paint(torch.randn(n, a["z"]), y)
        opt_d.zero_grad(set_to_none=mode != "captured")
        with torch.autocast(device, dtype=torch.bfloat16, enabled=amp):
            real, fake = judge(torch.cat([x, fake.float()]), torch.cat([y, y])).split(n)
            loss = torch.relu(1 - real).mean() + torch.relu(1 + fake).mean()
        loss.backward()
        opt_d.step()

    def generate():
        opt_g.zero_grad(set_to_none=mode != "captured")
        d.requires_grad_(False)
        with torch.autocast(device, dtype=torch.bfloat16, enabled=amp):
            loss = -judge(paint(torch.randn(n, a["z"]), y), y).mean()
        loss.backward()
        d.requires_grad_(True)
        opt_g.step()
        with torch.no_grad():
            torch._foreach_lerp_(average, list(g.parameters()), 0.001)

    def step():
        discriminate()
        generate()

    return step


def biggan_spec(size):
    """BigGAN-32 with ch 64 and BigGAN-128 with ch 96, as gan/config.go has them."""
    if args.tiny:
        return {"args": {"ch": 8, "cond": 4, "z": 20, "embed": 8, "n": 2, "h": 32, "attention": 0},
                "lists": {"g_mult": [4, 4, 2, 1], "d_mult": [1, 2, 4, 4], "d_down": [1, 1, 0, 0]}}
    if size == 32:
        return {"args": {"ch": 64, "cond": 10, "z": 80, "embed": 128, "n": 64, "h": 32,
                         "attention": 0},
                "lists": {"g_mult": [4] * 4, "d_mult": [4] * 4, "d_down": [1, 1, 0, 0]}}
    return {"args": {"ch": 96, "cond": 1000, "z": 120, "embed": 128, "n": 32, "h": 128,
                     "attention": 64},
            "lists": {"g_mult": [16, 16, 8, 4, 2, 1], "d_mult": [1, 2, 4, 8, 16, 16],
                      "d_down": [1, 1, 1, 1, 1, 0]}}


def run(name, batch, arithmetic, mode, make):
    """Times one case and says it."""
    tf32 = arithmetic != "F32"
    if device == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
        torch.cuda.reset_peak_memory_stats()
    try:
        step = make(arithmetic == "bf16", mode)
        step = captured(step) if mode == "captured" else step
        seconds, joules = measure(step, 0 if args.tiny else 3)
        values = {"images_per_s": batch / seconds}
        if joules is not None:
            values["torch_joules_per_image"] = joules / batch
        if device == "cuda":
            free, total = torch.cuda.mem_get_info()
            values |= {"memory_allocated": torch.cuda.max_memory_allocated(),
                       "memory_reserved": torch.cuda.max_memory_reserved(),
                       "device_used": total - free}
        if arithmetic == "bf16" and mode in ("eager", "captured"):
            values |= idle(step, seconds)
        say(name, True, batch=batch, mode=mode, arithmetic=arithmetic, **values)
    except Exception as problem:  # one mode's failure must not hide the others
        say(name, False, batch=batch, mode=mode, arithmetic=arithmetic,
            problem=(str(problem).strip() or repr(problem)).split("\n")[0])
    finally:
        torch.set_default_device(None)
        step = None
        if mode not in ("eager", "captured"):
            torch.compiler.reset()
        gc.collect()
        if device == "cuda":
            torch.cuda.empty_cache()


def main():
    if device == "cpu" and not args.tiny:
        say("device", False, problem="torch sees no GPU")
        return
    say("versions", True, torch=torch.__version__, cuda=torch.version.cuda or "none",
        cudnn=torch.backends.cudnn.version() or 0)
    sys.path.insert(0, args.networks)
    batches = (2, 2, 2) if args.tiny else (128, 64, 32)
    cases = [("resnet50", batches[0],
              lambda amp, mode: resnet50(batches[0], 32 if args.tiny else 224, amp, mode)),
             ("biggan128 ch96", batches[2], lambda amp, mode: biggan(biggan_spec(128), amp, mode)),
             ("biggan32 ch64", batches[1], lambda amp, mode: biggan(biggan_spec(32), amp, mode))]
    # What is asked for most comes first: the stage may run out of its time.
    for arithmetic in ("bf16", "TF32", "F32"):
        for mode in ("eager", "captured", "default", "reduce-overhead"):
            if mode != "eager" and (args.tiny or arithmetic == "F32"):
                continue
            if args.tiny and arithmetic != "bf16":
                continue
            for name, batch, make in cases:
                run(name, batch, arithmetic, mode, make)


if __name__ == "__main__":
    main()
