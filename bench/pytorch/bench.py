"""The PyTorch side of the yardstick: the same rows as `afterimage bench`, from the same list.

    python bench.py serve --threads 2   answers requests line by line (`afterimage bench compare`
                                        asks)
    python bench.py run --only '^step/' --modes eager,eager-cl
                                        measures rows alone and prints JSON
    python bench.py check               does every row once, on little, in every mode that does not
                                        compile

rows.json is written by `afterimage bench rows`; a row is described by numbers alone and README.md
says how they are read.
"""

import argparse
import json
import os
import re
import statistics
import sys
import time

from yardstick import allocator


def arguments():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("action", choices=["serve", "run", "check"])
    p.add_argument("--threads", type=int, default=0, help="threads; 0: all cores")
    p.add_argument("--flush-denormal", action="store_true", help="flush denormal numbers to zero")
    p.add_argument("--tune-malloc", action="store_true",
                   help="keep freed memory instead of giving it back: see yardstick/allocator.py")
    here = os.path.dirname(os.path.abspath(__file__))
    p.add_argument("--rows", default=os.path.join(here, "rows.json"))
    p.add_argument("--only", default="", help="rows whose key matches")
    p.add_argument("--modes", default="", help="ways to try, separated by commas; all if empty")
    p.add_argument("--seconds", type=float, default=0.3, help="time for a row and mode")
    p.add_argument("--runs", type=int, default=5, help="runs of a row and mode, at least")
    return p.parse_args()


def main():
    a = arguments()
    if a.tune_malloc:
        allocator.tune()
    # The protocol owns standard output; whatever a library prints goes to the error output.
    out, sys.stdout = sys.stdout, sys.stderr
    from yardstick import measure

    measure.set_up(a.threads, a.flush_denormal)
    if a.action == "serve":
        serve(measure.Server(), out)
        return
    with open(a.rows) as f:
        rows = [r for r in json.load(f) if r.get("modes") and re.search(a.only, r["key"])]
    modes = a.modes.split(",") if a.modes else None
    if a.action == "check":
        measure.check(rows, modes, out)
        return
    done = [measure_row(measure.Server(), r, modes, a) for r in rows if not r.get("target")]
    json.dump({"environment": measure.environment(), "rows": done}, out, indent=1)
    print(file=out)


def serve(server, out):
    """Answers a line of JSON with a line of JSON until "quit" or the end of the input."""
    for line in sys.stdin:
        request = json.loads(line)
        if request["op"] == "quit":
            return
        out.write(json.dumps(server.answer(request)) + "\n")
        out.flush()


def measure_row(server, row, modes, a):
    """A row of the same form as `afterimage bench --json`'s, of its best mode, with every mode's
    median."""
    medians, best = {}, None
    for mode in row["modes"]:
        if modes and mode not in modes:
            continue
        reply = server.answer({"op": "measure", "spec": row, "mode": mode, "warmups": 2,
                               "least": a.runs, "seconds": a.seconds})
        if "error" in reply:
            print(row["key"], mode, reply["error"], file=sys.stderr)
            continue
        medians[mode] = statistics.median(reply["seconds"])
        if best is None or medians[mode] < best[0]:
            best = medians[mode], mode, reply
    out = {"key": row["key"], "name": row["name"], "shape": row["shape"], "unit": row["unit"],
           "modes": medians}
    if best:
        t = best[2]["seconds"]
        out.update(mode=best[1], median=best[0], min=min(t), max=max(t), runs=len(t),
                   cpu=best[2]["cpu"], rate=row["work"] / best[0])
    print(time.strftime("%H:%M:%S"), row["key"], out.get("mode"), out.get("median"),
          file=sys.stderr)
    return out


if __name__ == "__main__":
    main()
