"""Compile CUDA texts to machine code with NVRTC, without a GPU and without a CUDA toolkit.

    python nvrtc.py FOLDER ARCH...

For every FOLDER/STEM.cu and every ARCH it makes STEM.ARCH.cubin (sm_80, sm_90a) or STEM.ARCH.ptx
(compute_80) with NVRTC; the former is what the program does on a machine with a GPU. NVRTC's own
ptxas says how many registers each kernel takes and how many bytes it spills. Output: one JSON
object a line,

    {"stem": …, "arch": …, "kernel": …, "registers": …, "spill": …, "shared": …, "stack": …}

and a last line {"nvrtc": version, "seconds": …}. An error ends it with status 1, warnings at the
end.

The compiler comes from a wheel (no toolkit, no driver), in a virtual environment outside the
repository; its release is pinned, because registers and spills are compared with a committed table:

    python3 -m venv VENV
    VENV/bin/pip install -r requirements-nvrtc.txt
"""
import concurrent.futures
import ctypes
import glob
import json
import os
import re
import sys
import time

ROOT = os.path.join(glob.glob(os.path.join(sys.prefix, "lib", "python3*", "site-packages"))[0],
                    "nvidia", "cu13")
OPTIONS = ["--std=c++17"]


def open_nvrtc():
    """NVRTC 13.0 finds its builtins only if they were opened before it."""
    lib = os.path.join(ROOT, "lib")
    ctypes.CDLL(os.path.join(lib, "libnvrtc-builtins.so.13.0"), mode=ctypes.RTLD_GLOBAL)
    return ctypes.CDLL(os.path.join(lib, "libnvrtc.so.13"))


def virtual(arch):
    """Whether an architecture is PTX's, which a driver translates for the card."""
    return arch.startswith("compute_")


def compile_text(nvrtc, name, text, arch):
    """Returns (cubin or PTX, log); exits with NVRTC's log on an error."""
    prog, size = ctypes.c_void_p(), ctypes.c_size_t()
    nvrtc.nvrtcCreateProgram(ctypes.byref(prog), text, name.encode(), 0, None, None)
    options = OPTIONS + ["--gpu-architecture=" + arch]
    if virtual(arch):
        kind = "PTX"
    else:
        kind, options = "CUBIN", options + ["--ptxas-options=-v"]
    options = [o.encode() for o in options]
    status = nvrtc.nvrtcCompileProgram(prog, len(options),
                                       (ctypes.c_char_p * len(options))(*options))
    nvrtc.nvrtcGetProgramLogSize(prog, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(prog, log)
    log = log.value.decode()
    if status != 0:
        raise SystemExit(f"{name} for {arch}: NVRTC status {status}\n{log}")
    getattr(nvrtc, f"nvrtcGet{kind}Size")(prog, ctypes.byref(size))
    image = ctypes.create_string_buffer(size.value)
    getattr(nvrtc, "nvrtcGet" + kind)(prog, image)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(prog))
    return image.value if virtual(arch) else image.raw, log


def properties(log):
    """Yields what ptxas says about each kernel."""
    found = re.findall(r"Compiling entry function '(\w+)'.*?"
                       r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads"
                       r".*?Used (\d+) registers([^\n]*)", log, re.S)
    for kernel, stack, stores, loads, registers, rest in found:
        shared = re.search(r"(\d+) bytes smem", rest)
        yield {"kernel": kernel, "registers": int(registers), "spill": int(stores) + int(loads),
               "shared": int(shared.group(1)) if shared else 0, "stack": int(stack)}


def compile_file(job):
    """Compiles one text for one architecture; returns the lines to print and the warnings."""
    path, arch = job
    nvrtc, stem = open_nvrtc(), os.path.basename(path)[:-3]
    with open(path, "rb") as f:
        image, log = compile_text(nvrtc, stem + ".cu", f.read(), arch)
    with open(f"{path[:-3]}.{arch}.{'ptx' if virtual(arch) else 'cubin'}", "wb") as f:
        f.write(image)
    rows = [json.dumps({"stem": stem, "arch": arch, **row}) for row in properties(log)]
    # "Potential Performance Loss" is how ptxas says that it lets products of a warpgroup wait for
    # each other, which it does not call a warning.
    warnings = [line for line in log.splitlines()
                if "warning" in line or "Performance Loss" in line]
    return rows, warnings


def main():
    folder, archs = sys.argv[1], sys.argv[2:]
    start, major, minor = time.time(), ctypes.c_int(), ctypes.c_int()
    open_nvrtc().nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
    jobs = [(path, arch) for path in sorted(glob.glob(os.path.join(folder, "*.cu")))
            for arch in archs]
    with concurrent.futures.ProcessPoolExecutor() as pool:
        warnings = []
        for rows, complaints in pool.map(compile_file, jobs):
            print("\n".join(rows), flush=True)
            warnings += complaints
    print(json.dumps({"nvrtc": f"{major.value}.{minor.value}",
                      "seconds": round(time.time() - start, 1)}))
    if warnings:
        sys.exit("\n".join(warnings))


if __name__ == "__main__":
    main()
