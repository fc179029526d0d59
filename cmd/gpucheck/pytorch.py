"""PyTorch doing gpucheck's steps in the same run: ResNet-50, F32, TF32 and bf16, eager, compiled, and
captured by hand. Prints a JSON line for each. Needs torch and torchvision."""
import json
import sys
import time

import torch
import torchvision


def say(name, ok, **values):
    print(json.dumps({"name": name, "ok": ok, "values": values}), flush=True)


tiny = "tiny" in sys.argv
device = "cuda" if torch.cuda.is_available() else "cpu"
if device == "cpu" and not tiny:
    say("device", False, problem="torch sees no GPU")
    sys.exit(0)
say("versions", True, torch=torch.__version__, cuda=torch.version.cuda,
    cudnn=torch.backends.cudnn.version())


def measure(step):
    for _ in range(3):
        step()
    times = []
    for _ in range(5):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        for _ in range(5):
            step()
        torch.cuda.synchronize()
        times.append((time.perf_counter() - begin) / 5)
    return sorted(times)[2]


def run(name, batch, tf32, amp, mode):
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    model = torchvision.models.resnet50().to(device, memory_format=torch.channels_last)
    opt = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9, weight_decay=1e-4)
    x = torch.randn(batch, 3, 224, 224, device=device).to(memory_format=torch.channels_last)
    y = torch.zeros(batch, dtype=torch.long, device=device)

    def step():
        opt.zero_grad(set_to_none=mode != "captured")
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=amp):
            loss = torch.nn.functional.cross_entropy(forward(x), y)
        loss.backward()
        opt.step()

    forward = model if mode in ("eager", "captured") else torch.compile(model, mode=mode)
    if mode == "captured":
        side = torch.cuda.Stream()
        with torch.cuda.stream(side):
            for _ in range(3):
                step()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step()
        seconds = measure(graph.replay)
    else:
        seconds = measure(step)
    say(name, True, batch=batch, mode=mode, tf32=tf32, bf16=amp, images_per_s=batch / seconds,
        memory=torch.cuda.max_memory_allocated())


if not tiny:
    for kind, tf32, amp in (("F32", False, False), ("TF32", True, False), ("bf16", True, True)):
        for mode in ("eager", "captured", "default", "reduce-overhead"):
            if kind == "F32" and mode not in ("eager", "captured"):
                continue
            try:
                run("resnet50 " + kind, 128, tf32, amp, mode)
            except Exception as problem:  # one mode's failure must not hide the others
                say("resnet50 " + kind, False, mode=mode, problem=str(problem).split("\n")[0])
            torch.cuda.empty_cache()
