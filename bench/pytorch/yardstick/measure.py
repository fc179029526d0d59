"""Settings, timing, memory, and the answers to requests."""

import ctypes
import gc
import os
import platform
import resource
import time
import traceback
import warnings

import torch

from yardstick import allocator, kernels, steps

MAX_RUNS = 1000  # as in the Go program
# Seconds of a warm-up run after which another would show nothing, unless the first one compiled.
LONG = 2.0
STATE = {}  # settings that the environment reports


class Unsupported(Exception):
    """There is no way to do a row."""


def set_up(threads, flush):
    warnings.filterwarnings("ignore")
    torch.set_num_threads(threads or os.cpu_count())
    torch.manual_seed(1)
    STATE["flush_denormal"] = bool(torch.set_flush_denormal(True)) if flush else False
    # What every user of these networks has imported before the first step.
    import torchvision  # noqa: F401

    STATE["start"] = resident("VmRSS:")


def environment():
    import torchvision

    return {
        "program": "pytorch", "torch": torch.__version__, "torchvision": torchvision.__version__,
        "python": platform.python_version(), "platform": platform.platform(), "cpu": cpu_name(),
        "threads": torch.get_num_threads(), "capability": torch.backends.cpu.get_cpu_capability(),
        "flush_denormal": STATE["flush_denormal"], "onednn": library("MKL-DNN v"),
        "mkl": library("Version "),
        "malloc": allocator.settings(),
        "openmp": {k: v for k, v in os.environ.items()
                   if k.startswith(("OMP_", "KMP_", "GOMP_", "MKL_"))},
    }


def library(mark):
    """The word behind a mark in PyTorch's description of itself."""
    return next((line.split(mark)[1].split()[0] for line in torch.__config__.show().splitlines()
                 if mark in line and "C++" not in line), "unknown")


def cpu_name():
    """As the Go program has it: a virtual machine may call all generations "AMD EPYC"."""
    with open("/proc/cpuinfo") as f:
        first = f.read().partition("\n\n")[0]
    facts = {k.strip(): v.strip() for k, _, v in (x.partition(":") for x in first.splitlines())}
    name = facts.get("model name", platform.machine())
    if "cpu family" not in facts:
        return name
    return (f"{name} (family {facts['cpu family']}, model {facts['model']}, "
            f"stepping {facts['stepping']})")


def resident(field):
    """Bytes of VmRSS: (now) or VmHWM: (at most so far)."""
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith(field))


def cpu_seconds():
    u = resource.getrusage(resource.RUSAGE_SELF)
    return u.ru_utime + u.ru_stime


def prepare(spec, mode):
    """A function without arguments that does the row's work once."""
    kinds = {**kernels.KINDS, **steps.KINDS}
    if mode not in (spec.get("modes") or []) or spec["kind"] not in kinds:
        raise Unsupported(f"{spec['key']}: kind {spec['kind']}, mode {mode}: not supported")
    return kinds[spec["kind"]](spec, mode)


def times(run, least, seconds):
    """Wall-clock seconds of each run and CPU seconds of all."""
    wall, begin, cpu = [], time.perf_counter(), cpu_seconds()
    while len(wall) < least or (time.perf_counter() - begin < seconds and len(wall) < MAX_RUNS):
        start = time.perf_counter()
        run()
        wall.append(time.perf_counter() - start)
    return wall, cpu_seconds() - cpu


class Server:
    """Keeps the modes of the last row ready, so that taking turns costs no second start or
    compilation."""

    def __init__(self):
        self.key, self.ready = None, {}

    def answer(self, request):
        try:
            if request["op"] == "hello":
                return {"environment": environment()}
            if request["op"] == "memory":
                return {"start": STATE["start"], "peak": resident("VmHWM:")}
            if request["op"] == "measure":
                return self.measure(request)
            return {"error": f"unknown op {request['op']!r}: expected hello, measure, memory or "
                             "quit"}
        except Unsupported as e:
            return {"error": str(e), "unsupported": True}
        except Exception as e:  # one row's failure must not end the comparison
            traceback.print_exc()
            return {"error": f"{type(e).__name__}: {str(e).splitlines()[0] if str(e) else ''}"}

    def measure(self, request):
        spec, mode = request["spec"], request.get("mode", "")
        if spec["key"] != self.key:
            self.drop()
            self.key = spec["key"]
        if mode not in self.ready:
            run = prepare(spec, mode)
            for _ in range(request.get("warmups", 0)):
                (wall,), _ = times(run, 1, 0)
                if wall > LONG and "compile" not in mode and mode != "freeze":
                    break
            self.ready[mode] = run
        wall, cpu = times(self.ready[mode], max(request.get("least", 1), 1),
                          request.get("seconds", 0))
        return {"seconds": wall, "cpu": cpu / len(wall)}

    def drop(self):
        """Gives the last row's memory back to the system, so that rows do not feel each other."""
        self.ready.clear()
        torch.compiler.reset()
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)


def shrunk(spec):
    """The row on one or two images, or a narrow network: the same procedure, little work."""
    most = {"n": 2, "ch": 4, "bytes": 1 << 16, "m": 32, "images": 64, "batches": 2, "pgd": 2}
    args = {k: min(v, most.get(k, v)) for k, v in spec.get("args", {}).items()}
    if spec.get("arch") == "resnet50":
        args["h"] = 64
    lists = {k: [min(v, 50) for v in x] if k in ("sizes", "rows", "cols") else x
             for k, x in spec.get("lists", {}).items()}
    return {**spec, "args": args, "lists": lists}


def check(rows, modes, out):
    """Does every row once, on little, in the given modes: no measurement, a test that each can be
    done."""
    server, done, failed = Server(), 0, 0
    for row in rows:
        if row.get("target"):
            continue
        for mode in row["modes"]:
            if mode in modes if modes else "compile" not in mode and mode != "freeze":
                reply = server.answer({"op": "measure", "spec": shrunk(row), "mode": mode})
                done += 1
                if "error" in reply:
                    failed += 1
                    print(row["key"], mode, reply["error"], file=out, flush=True)
    print(f"{done} rows and modes, {failed} failures", file=out)
    if failed:
        raise SystemExit(1)
