"""Other people's networks from ONNX files: this program beside PyTorch and ONNX Runtime, in turn.

    python bench/pytorch/imported.py export DIR   # torchvision's classifiers as DIR/NAME.onnx
    go build -o DIR/imported ./bench/imported
    python bench/pytorch/imported.py compare DIR --out bench/results/imported

Weights are drawn with a seed, biases and gains moved from 0 and 1, batch norm's statistics taken
from two batches of smooth random images. Differences are largest |difference| over largest |value|,
on two images, from what PyTorch computes in double precision: of logits, and of the gradient of Σ
logits² with respect to the images. Times are medians of runs in turn, round by round, of forward
passes and of forward passes with that gradient. PyTorch is eager; of its two layouts the faster one
counts, and malloc is tuned for it (yardstick/allocator.py). NAMEs behind the folder choose
networks; compare keeps the rows of the others.
"""

import argparse
import json
import logging
import math
import pathlib
import statistics
import subprocess
import time
import warnings

import onnxruntime
import torch
import torchvision
from safetensors.torch import load_file, save_file

from yardstick import allocator

SIZE, CLASSES, SEED = 224, 1000, 1
NETS = ["resnet18", "resnet50", "mobilenet_v2", "mobilenet_v3_small", "shufflenet_v2_x1_0",
        "efficientnet_b0", "densenet121", "squeezenet1_1", "googlenet", "inception_v3", "vgg11_bn",
        "regnet_y_400mf", "mnasnet1_0", "convnext_tiny", "swin_t", "vit_b_16"]
PLAIN = {"googlenet": {"aux_logits": False, "init_weights": False},
         "inception_v3": {"aux_logits": False, "init_weights": False}}
WAYS = ["ours", "pytorch", "pytorch-cl", "onnxruntime"]


def images(n, seed):
    """Smooth pictures with some noise, in [0, 1]."""
    g = torch.Generator().manual_seed(seed)
    x = torch.nn.functional.interpolate(torch.rand(n, 3, SIZE // 8, SIZE // 8, generator=g),
                                        size=SIZE, mode="bilinear")
    return 0.8 * x + 0.2 * torch.rand(n, 3, SIZE, SIZE, generator=g)


@torch.no_grad()
def network(name):
    """A network in evaluation mode in which every parameter matters: none is at a value that hides
    it."""
    torch.manual_seed(SEED)
    net = torchvision.models.get_model(name, weights=None, **PLAIN.get(name, {}))
    for key, p in net.named_parameters():
        if "layer_scale" in key:
            p.fill_(0.3)
        elif p.ndim == 1:
            p.add_(0.1 * torch.randn(p.shape))
    norms = [m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for m in net.modules():
        if isinstance(m, torch.nn.Linear) and m.out_features == CLASSES:
            torch.nn.init.normal_(m.weight, std=m.in_features ** -0.5)
    for m in norms:
        m.momentum = None  # a plain average over the batches that follow
    net.eval()
    for m in norms:
        m.reset_running_stats()
        m.train()
    for seed in (2, 3):
        if norms:
            net(images(8, seed))
    return net.eval().requires_grad_(False)


def export(args):
    logging.disable(logging.WARNING)
    args.dir.mkdir(parents=True, exist_ok=True)
    for name in args.names or NETS:
        file = args.dir / f"{name}.onnx"
        batch = torch.export.Dim("batch", min=1, max=64)
        torch.onnx.export(network(name), (images(2, 4),), file, dynamo=True, external_data=False,
                          verbose=False, dynamic_shapes=({0: batch},))
        print(f"{file}: {file.stat().st_size >> 20} MiB", flush=True)


class Ours:
    """The Go program of bench/imported, which answers lines of JSON."""

    def __init__(self, program, threads):
        self.child = subprocess.Popen([program, "-threads", str(threads)], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, text=True)

    def ask(self, **request):
        print(json.dumps(request, default=str), file=self.child.stdin, flush=True)
        reply = json.loads(self.child.stdout.readline() or '{"error": "the program ended"}')
        if "error" in reply:
            raise SystemExit(f"imported.py: {request}: {reply['error']}")
        return reply


def gradient(net, x):
    x = x.detach().requires_grad_()
    y = net(x)
    return y.detach(), torch.autograd.grad((y * y).sum(), x)[0]


def differences(ours, net, session, folder):
    """How far each program's logits and gradient are from those in double precision."""
    x = images(2, 5)
    save_file({"images": x.permute(0, 2, 3, 1).contiguous()}, folder / "images.safetensors")
    ours.ask(op="values", images=folder / "images.safetensors", out=folder / "values.safetensors")
    mine = load_file(folder / "values.safetensors")
    logits, grad = gradient(net, x)
    runtime = torch.from_numpy(session.run(None, {session.get_inputs()[0].name: x.numpy()})[0])
    exact, exact_grad = gradient(net.double(), x.double())
    net.float()

    def far(a, b):
        return float((a.double() - b).abs().max() / b.abs().max())

    return {"logits": {"ours": far(mine["logits"], exact), "pytorch": far(logits, exact),
                       "onnxruntime": far(runtime, exact)},
            "gradient": {"ours": far(mine["gradient"].permute(0, 3, 1, 2), exact_grad),
                         "pytorch": far(grad, exact_grad)}}


def seconds(run, least, limit):
    times, begin = [], time.perf_counter()
    while len(times) < least or time.perf_counter() - begin < limit:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return times


def turns(ours, net, session, batch, grad, args):
    """Medians in milliseconds of each way of doing it, the programs in turn."""
    x = images(batch, 6)
    feed = {session.get_inputs()[0].name: x.numpy()}

    def torch_way(x):
        net.to(memory_format=torch.channels_last
               if x.is_contiguous(memory_format=torch.channels_last)
               else torch.contiguous_format)
        with torch.set_grad_enabled(grad):
            run = (lambda: gradient(net, x)) if grad else (lambda: net(x))
            run()
            return seconds(run, 2, args.seconds)

    def our_way():
        return ours.ask(op="time", batch=batch, gradient=grad, least=2,
                        seconds=args.seconds)["seconds"]

    def runtime_way():
        session.run(None, feed)
        return seconds(lambda: session.run(None, feed), 2, args.seconds)

    cl = x.to(memory_format=torch.channels_last)
    ways = {"ours": our_way, "pytorch": lambda: torch_way(x), "pytorch-cl": lambda: torch_way(cl)}
    if not grad:
        ways["onnxruntime"] = runtime_way
    times = {way: [] for way in ways}
    for _ in range(args.rounds):
        for way, run in ways.items():
            times[way] += run()
            # The libraries' threads spin for a while, and the next program wants the cores.
            time.sleep(0.05)
    return {way: round(1e3 * statistics.median(t), 3) for way, t in times.items()}


def measure(name, ours, args):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = args.threads, 4
    file = args.dir / f"{name}.onnx"
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    ours.ask(op="open", file=file)
    net = network(name)
    row = {"network": name, **differences(ours, net, session, args.dir), "milliseconds": {}}
    for batch in (1, 8):
        for grad in (False, True):
            key = f"{'gradient' if grad else 'forward'}, {batch}"
            row["milliseconds"][key] = turns(ours, net, session, batch, grad, args)
    return row


def ratio(row, key, theirs):
    """Their time over ours."""
    times = row["milliseconds"][key]
    return min(times[w] for w in times if w.startswith(theirs)) / times["ours"]


def table(record):
    kinds = [(k, w) for k in ("forward, 1", "forward, 8", "gradient, 1", "gradient, 8")
             for w in ("pytorch", "onnxruntime") if k.startswith("forward") or w == "pytorch"]
    lines = ["# Networks from their ONNX files", "", record["about"], "",
             "| network | logits: ours, PyTorch, ONNX Runtime "
             "| gradient: ours, PyTorch | ours, ms: forward 1, 8; gradient 1, 8 | "
             + " | ".join(f"{w} / ours, {k}" for k, w in kinds) + " |",
             "|---|---|---|---|" + "---:|" * len(kinds)]
    for row in record["rows"]:
        errors = [", ".join(f"{e:.1e}" for e in row[k].values()) for k in ("logits", "gradient")]
        ours = ", ".join(f"{t['ours']:.3g}" for k, t in sorted(row["milliseconds"].items()))
        lines.append(f"| {row['network']} | {errors[0]} | {errors[1]} | {ours} | "
                     + " | ".join(f"{ratio(row, k, w):.2f}" for k, w in kinds) + " |")
    ratios = [[ratio(r, k, w) for r in record["rows"]] for k, w in kinds]
    means = [math.exp(statistics.mean(map(math.log, q))) for q in ratios]
    lines += ["| geometric mean | | | | " + " | ".join(f"**{m:.2f}**" for m in means) + " |",
              "| smallest … largest | | | | "
              + " | ".join(f"{min(q):.2f} … {max(q):.2f}" for q in ratios) + " |",
              "| networks on which ours is slower | | | | "
              + " | ".join(str(sum(x < 1 for x in q)) for q in ratios) + " |"]
    return "\n".join([*lines, ""])


def compare(args):
    allocator.tune()
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    file, ours = args.out / "imported.json", Ours(args.dir / "imported", args.threads)
    rows = {r["network"]: r for r in json.loads(file.read_text())["rows"]} if file.exists() else {}
    about = (f"{SIZE} pixels, {args.threads} threads, {args.rounds} rounds of {args.seconds} s "
             f"each; PyTorch {torch.__version__} with malloc tuned, ONNX Runtime "
             f"{onnxruntime.__version__}. Differences from double precision, largest over largest; "
             "ratios above 1 where ours is faster.")
    for name in args.names or NETS:
        rows[name] = measure(name, ours, args)
        record = {"about": about, "rows": [rows[n] for n in NETS if n in rows]}
        file.write_text(json.dumps(record, indent=1) + "\n")
        (args.out / "imported.md").write_text(table(record))
        print(table({**record, "rows": [rows[name]]}).splitlines()[6], flush=True)


def main():
    warnings.filterwarnings("ignore")
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("what", choices=["export", "compare"])
    p.add_argument("dir", type=pathlib.Path)
    p.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NETS)}")
    p.add_argument("--out", type=pathlib.Path, default=pathlib.Path("imported"))
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--seconds", type=float, default=0.2)
    args = p.parse_args()
    {"export": export, "compare": compare}[args.what](args)


if __name__ == "__main__":
    main()
