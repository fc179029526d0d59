"""The C library's malloc, as PyTorch on a CPU is fastest with it."""

import os
import sys

# PyTorch takes every large tensor from malloc. glibc's maps pages for it and gives them back with
# it, so that the next one pays for them again. With these nothing has a mapping of its own, nothing
# goes back, the heap grows in large pieces and, on Linux, of large pages: as this program's arena.
# ../../LOG.md has what each brings; THP_MEM_ALLOC_ENABLE, PyTorch's own switch, is slower.
TUNED = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "4294967296",
         "MALLOC_TOP_PAD_": "268435456", "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


def tune():
    """Starts the program anew with those of the variables that are not set: the library reads them
    when a process begins."""
    missing = {k: v for k, v in TUNED.items() if k not in os.environ}
    if missing:
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **missing})


def settings():
    """What is set in the environment of malloc; empty: all is as the system has it."""
    return {k: v for k, v in sorted(os.environ.items())
            if k.startswith(("MALLOC_", "THP_MEM_")) or k in ("GLIBC_TUNABLES", "LD_PRELOAD")}
