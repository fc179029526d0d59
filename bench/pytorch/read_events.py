"""Reads runs' event files with TensorBoard itself: python bench/pytorch/read_events.py RUN …

Both of TensorBoard's readers are asked: the one in Python, and the server that it starts for its
pages. Every number of metrics.jsonl has to come back at its step, every sample sheet as a picture,
and nothing else.
"""

import json
import math
import pathlib
import struct
import subprocess
import sys
import time
import urllib.request

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def single(x):
    """x in single precision, as an event holds it."""
    x = float(x)
    return struct.unpack("f", struct.pack("f", x))[0] if math.isfinite(x) else x


def logged(run):
    """{tag: [(step, value)]} of the log."""
    out = {}
    for line in (run / "metrics.jsonl").read_text().splitlines():
        values = json.loads(line)
        for tag, v in values.items():
            if tag not in ("step", "seconds"):
                out.setdefault(tag, []).append((int(values["step"]), single(v)))
    return out


def same(a, b):
    return len(a) == len(b) and all(s == t and (x == y or x != x and y != y)
                                    for (s, x), (t, y) in zip(a, b))


def in_python(run, want):
    acc = EventAccumulator(str(run), size_guidance={"scalars": 0, "images": 0}).Reload()
    tags = acc.Tags()
    assert sorted(tags["scalars"]) == sorted(want), (tags["scalars"], sorted(want))
    for tag, points in want.items():
        got = [(e.step, e.value) for e in acc.Scalars(tag)]
        assert same(got, points), (tag, got, points)
    sheets = {int(p.stem.split("-")[1]): p.read_bytes()
              for p in (run / "samples").glob("step-*.png")}
    images = acc.Images("samples") if tags["images"] else []
    shown = {e.step: e.encoded_image_string for e in images}
    logged_steps = {s for points in want.values() for s, _ in points}
    expected = {s: b for s, b in sheets.items() if s in logged_steps}
    assert shown == expected, (sorted(shown), sorted(sheets))
    return sum(map(len, want.values())), len(shown)


def in_server(run, want):
    """Asks a server started on this run for its curves."""
    port = 16006
    server = subprocess.Popen([sys.executable, "-m", "tensorboard.main", "--logdir", str(run),
                               "--port", str(port), "--host", "127.0.0.1"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    base = f"http://127.0.0.1:{port}/data/plugin/scalars/"
    get = lambda path: json.load(urllib.request.urlopen(base + path, timeout=5))
    try:
        for _ in range(120):
            try:
                tags = get("tags")
                if tags and sorted(tags.get(".", {})) == sorted(want):
                    break
            except OSError:
                pass
            time.sleep(0.5)
        else:
            raise AssertionError("the server does not show the run")
        for tag, points in want.items():
            got = [(step, float(v)) for _, step, v in get(f"scalars?run=.&tag={tag}")]
            # The server samples at most a thousand points of a curve.
            assert len(points) > 1000 or same(got, points), (tag, got, points)
    finally:
        server.terminate()
        server.wait()


def main():
    for run in map(pathlib.Path, sys.argv[1:]):
        want = logged(run)
        numbers, sheets = in_python(run, want)
        in_server(run, want)
        print(f"{run}: {numbers} numbers of {len(want)} curves and {sheets} sheets, the same in "
              "TensorBoard")


if __name__ == "__main__":
    main()
