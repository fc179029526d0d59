"""Loads exported networks into PyTorch and ONNX Runtime and compares their results with ours.

    go run ./bench/exports EXPORTS && python bench/pytorch/exports.py EXPORTS [--json FILE]

Any folder that afterimage export wrote will do as well. A network's examples
(NAME-example.safetensors) hold inputs and our outputs. PyTorch loads NAME-pytorch.safetensors with
strict=True; ONNX's checker reads NAME.onnx, and ONNX Runtime runs it. A comparison passes where the
largest |difference| is at most 1e-4 of max(1, the largest |output|). The last line is "N passed, N
failed"; the exit code is 1 on any failure.
"""

import argparse
import json
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime
import safetensors
import torch
import torchvision
from safetensors.numpy import load_file

import networks

TOLERANCE = 1e-4


def metadata(path):
    with safetensors.safe_open(path, "np") as f:
        return f.metadata()


def state(path):
    return {k: torch.from_numpy(v) for k, v in load_file(path).items()}


def normalised(x, mean, std):
    """Images in [0, 1] as a network without a normalisation of its own wants them."""
    if not mean:
        return x
    return (x - np.float32(mean)[:, None, None]) / np.float32(std)[:, None, None]


def by_torch(file, inputs):
    meta, weights = metadata(file), state(file)
    if "net" in meta:
        net = networks.Generator(json.loads(meta["net"]))
        args = [inputs["noise"], inputs[meta["condition"]]]
    else:
        net = networks.classifier(meta["arch"], int(meta["classes"]), int(meta["channels"]),
                                  int(meta["input_size"]))
        mean, std = ([float(v) for v in meta[k].split()] for k in ("mean", "std"))
        args = [normalised(inputs["images"], mean, std)]
    net.load_state_dict(weights, strict=True)
    with torch.no_grad():
        return net.eval()(*map(torch.from_numpy, args)).numpy()


def by_onnx(file, inputs):
    model = onnx.load(file)
    onnx.checker.check_model(model, full_check=True)
    props = {p.key: p.value for p in model.metadata_props}
    fed = json.loads(props.get("afterimage.classifier", "{}"))
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    names = [i.name for i in session.get_inputs()]
    if "afterimage.generator" in props:
        feed = {n: inputs[n] for n in names}
    else:
        x = normalised(inputs["images"], fed.get("mean"), fed.get("std"))
        x = x * np.float32(fed.get("scale") or 1)
        x = x[:, ::-1] if fed.get("bgr") else x
        x = x.transpose(0, 2, 3, 1) if fed.get("channels_last") else x
        feed = {names[0]: np.ascontiguousarray(x)}
    batch = session.get_inputs()[0].shape[0]
    if batch == 1:  # a graph for single images
        outs = [session.run(None, {k: v[i:i + 1] for k, v in feed.items()})[0]
                for i in range(len(feed[names[0]]))]
        return np.concatenate(outs)
    return session.run(None, feed)[0]


def check(folder, stem, rows):
    example = load_file(folder / f"{stem}-example.safetensors")
    want = example["images" if stem == "generator" else "logits"]
    for what, name, run in (("PyTorch", f"{stem}-pytorch.safetensors", by_torch),
                            ("ONNX Runtime", f"{stem}.onnx", by_onnx)):
        if not (folder / name).exists():
            continue
        row = {"network": folder.name, "file": name, "by": what}
        try:
            got = run(folder / name, example)
            row["largest"] = float(np.abs(want).max())
            row["error"] = float(np.abs(got.reshape(want.shape) - want).max())
            row["passed"] = row["error"] <= TOLERANCE * max(1, row["largest"])
        except Exception as e:  # whatever a runtime raises is a failure to be shown
            row.update(passed=False, reason=f"{type(e).__name__}: {e}")
        rows.append(row)
        print(f"{'passed' if row['passed'] else 'FAILED'}  {row['network']:26} {name:34} {what:12} "
              + (f"error {row['error']:.1e} of {row['largest']:.3g}" if "error" in row
                 else row["reason"][:300]))


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("folder", type=pathlib.Path, nargs="+")
    p.add_argument("--json", type=pathlib.Path, help="where to write the rows and the versions")
    args = p.parse_args()
    rows = []
    for root in args.folder:
        for file in sorted(root.rglob("*-example.safetensors")):
            check(file.parent, file.name.removesuffix("-example.safetensors"), rows)
    if not rows:
        sys.exit("exports.py: no exported network below the given folders: write some with "
                 "afterimage export --format onnx or go run ./bench/exports")
    failed = sum(not r["passed"] for r in rows)
    if args.json:
        versions = {m.__name__: m.__version__ for m in (torch, torchvision, onnx, onnxruntime, np)}
        record = {"tolerance": TOLERANCE, "versions": versions, "rows": rows}
        args.json.write_text(json.dumps(record, indent=1) + "\n")
    print(f"{len(rows) - failed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
