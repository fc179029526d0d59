"""Tests of the PyTorch side that measure nothing: python bench/pytorch/test_bench.py

They need PyTorch, so they are no part of `make test`; bench/catalogue_test.go holds rows.json
against the Go side.
"""

import io
import json
import os
import subprocess
import sys
import unittest

import torch

import bench
from yardstick import allocator, kernels, measure, networks, steps

HERE = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(HERE, "rows.json")) as f:
    ROWS = json.load(f)


class Rows(unittest.TestCase):
    def test_every_row_has_its_work_here(self):
        keys, kinds = set(), {**kernels.KINDS, **steps.KINDS}
        for row in ROWS:
            self.assertNotIn(row["key"], keys)
            keys.add(row["key"])
            self.assertGreater(row["work"], 0, row["key"])
            if row.get("modes") and not row.get("target"):
                self.assertIn(row["kind"], kinds, row["key"])

    def test_every_kind_is_asked_for(self):
        asked = {row["kind"] for row in ROWS if row.get("modes")}
        self.assertEqual({**kernels.KINDS, **steps.KINDS}.keys() - asked, set())

    def test_results_carry_the_rows_keys(self):
        class A:
            runs, seconds = 1, 0

        small = [measure.shrunk(r) for r in ROWS if r["kind"] in ("add", "softmax")]
        stderr, sys.stderr = sys.stderr, io.StringIO()
        try:
            done = [bench.measure_row(measure.Server(), r, None, A) for r in small]
        finally:
            sys.stderr = stderr
        self.assertEqual([d["key"] for d in done], [r["key"] for r in small])
        # The fields of a row of `afterimage bench --json`, as far as they are of the work.
        for field in ("key", "name", "shape", "unit", "median", "min", "max", "runs", "cpu",
                      "rate"):
            self.assertIn(field, done[0])


class Networks(unittest.TestCase):
    def convolutions(self, net, *inputs):
        """The multiset of a forward pass's convolutions: (size, in, out, kernel, stride)."""
        seen, original = {}, torch.nn.functional.conv2d

        def spy(x, w, bias=None, stride=1, padding=0, *rest):
            s = stride if isinstance(stride, int) else stride[0]
            key = x.shape[2], x.shape[1], w.shape[0], w.shape[2], s
            seen[key] = seen.get(key, 0) + 1
            return original(x, w, bias, stride, padding, *rest)

        torch.nn.functional.conv2d = spy
        try:
            with torch.no_grad():
                net.eval()(*inputs)
        finally:
            torch.nn.functional.conv2d = original
        return seen

    def listed(self, net):
        out = {}
        for r in ROWS:
            if r["kind"] == "conv-forward" and net in r["uses"]:
                a = r["args"]
                out[a["h"], a["c"], a["o"], a["k"], a["s"]] = r["uses"][net]
        return out

    def test_classifiers_have_the_listed_convolutions(self):
        for arch, size in (("resnet20-cifar", 32), ("resnet18-cifar", 32), ("resnet50", 224)):
            net = networks.classifier(arch, 10)
            self.assertEqual(self.convolutions(net, torch.zeros(1, 3, size, size)),
                             self.listed(arch), arch)

    def test_biggan_has_the_listed_convolutions(self):
        # 3x3 ones agree; a skip's 1x1 runs here before pooling or after upsampling, in the authors'
        # order.
        row = next(r for r in ROWS if r["key"] == "step/biggan32-ch64-n64-D")
        z, y = torch.zeros(1, row["args"]["z"]), torch.zeros(1, row["args"]["cond"])
        for net, name, x in ((networks.Generator(row), "biggan32-ch64 G", z),
                             (networks.Discriminator(row), "biggan32-ch64 D",
                              torch.zeros(1, 3, 32, 32))):
            got, want = self.convolutions(net, x, y), self.listed(name)
            three = lambda d: {k: v for k, v in d.items() if k[3] == 3}
            self.assertEqual(three(got), three(want), name)
            self.assertEqual(sum(got.values()), sum(want.values()), name)

    def test_frozen_network_paints_the_same(self):
        spec = measure.shrunk(next(r for r in ROWS if r["key"] == "inference/biggan32-ch64-n1"))
        g = networks.Generator(spec).eval()
        z, y = torch.randn(2, spec["args"]["z"]), torch.randn(2, spec["args"]["cond"])
        with torch.no_grad():
            before = g(z, y)
            after = networks.freeze(g)(z, y)
        self.assertLess((before - after).abs().max(), 1e-5)

    def test_layouts_compute_the_same(self):
        spec = measure.shrunk(next(r for r in ROWS if r["key"] == "step/biggan32-ch64-n64-D"))
        g, d = networks.Generator(spec).eval(), networks.Discriminator(spec).eval()
        z, y = torch.randn(2, spec["args"]["z"]), torch.randn(2, spec["args"]["cond"])
        with torch.no_grad():
            x = g(z, y)
            s = d(x, y)
            gl, dl = networks.layout(g, "eager-cl"), networks.layout(d, "eager-cl")
            xl = gl(z, y)
            self.assertTrue(xl.is_contiguous(memory_format=torch.channels_last))
            self.assertLess((x - xl).abs().max(), 1e-5)
            self.assertLess((s - dl(xl, y)).abs().max(), 1e-4)


class Protocol(unittest.TestCase):
    def test_lines(self):
        add = measure.shrunk(next(r for r in ROWS if r["kind"] == "add"))
        bad = {**add, "key": "bad", "kind": "nothing"}
        requests = [{"op": "hello"},
                    {"op": "measure", "spec": add, "mode": "eager", "warmups": 2, "least": 3,
                                      "seconds": 0, "bound": True},
                    {"op": "measure", "spec": bad, "mode": "eager"},
                    {"op": "measure", "spec": add, "mode": "fastest"},
                    {"op": "measure", "mode": "eager",
                     "spec": {**add, "key": "broken", "args": {}}},
                    {"op": "memory"}, {"op": "dance"}, {"op": "quit"}, {"op": "hello"}]
        text = "".join(json.dumps(r) + "\n" for r in requests)
        command = [sys.executable, os.path.join(HERE, "bench.py"), "serve", "--threads", "1",
                   "--tune-malloc"]
        p = subprocess.run(command, input=text,
                           capture_output=True, text=True, check=True)
        hello, good, bad, mode, broken, memory, dance = map(json.loads, p.stdout.splitlines())
        self.assertEqual(hello["environment"]["threads"], 1)
        self.assertLessEqual(allocator.TUNED.items(), hello["environment"]["malloc"].items())
        self.assertEqual(len(good["seconds"]), 3)
        self.assertTrue(bad["unsupported"] and mode["unsupported"])
        self.assertTrue("error" in broken and "unsupported" not in broken)
        self.assertGreaterEqual(memory["peak"], memory["start"])
        self.assertIn("error", dance)


if __name__ == "__main__":
    measure.set_up(1, False)
    unittest.main()
