"""Writes every golden file: python bench/pytorch/goldens.py [part …]."""

import importlib
import sys

import torch

PARTS = ["ops", "layers", "losses", "optimizers", "attacks", "lpips", "metrics", "resnet20",
         "biggan"]
LARGEST = 1_500_000  # bytes of all files together


def main():
    torch.set_num_threads(1)
    parts = sys.argv[1:] or PARTS
    total = sum(importlib.import_module(p).write() for p in parts)
    print(f"{total} bytes in all, by torch {torch.__version__}")
    assert total <= LARGEST


if __name__ == "__main__":
    main()
