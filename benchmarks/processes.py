"""What only a new process shows: import time, first call, peak memory.

Peak memory is the resident set's high-water mark above where it stood before the call. The mark
is reset by ``/proc/self/clear_refs``, so neither loading the data nor, as with ``ru_maxrss``, the
parent process counts; where that file isn't writable ``ru_maxrss`` is taken as it is.
"""

import json
import os
import subprocess
import sys

# Start of every script: the data come as a path, so nothing is imported to make them.
_PRELUDE = """
import json, sys, time
import numpy as np
def load(path):
    with np.load(path) as content:
        if "X" in content:
            return content["X"]
    import scipy.sparse as sp
    return sp.csr_array(sp.load_npz(path))
def high_water_mark(reset=False):
    try:
        if reset:
            with open("/proc/self/clear_refs", "w") as file:
                file.write("5")
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
    except OSError:
        import resource
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
"""

_IMPORT = """
begin = time.perf_counter()
import {module}
print(json.dumps(time.perf_counter() - begin))
"""

_FIRST_CALL = """
X = load({path!r})
begin = time.perf_counter()
{statement}
print(json.dumps(time.perf_counter() - begin))
"""

# The first call, on a few rows, imports and compiles whatever the second one needs.
_PEAK = """
X = load({path!r})
call = {call}
call(X[:200])
before = high_water_mark(reset=True)
call(X)
print(json.dumps((high_water_mark() - before) / 1024))
"""


def import_seconds(module):
    """Time of ``import module`` in a new process that has imported NumPy."""
    return _run(_IMPORT.format(module=module))


def first_call_seconds(path, statement, threads):
    """Time of a statement on X in a new process that has only loaded X: imports are included."""
    return _run(_FIRST_CALL.format(path=str(path), statement=statement), threads)


def peak_megabytes(path, call, threads):
    """Peak memory of ``call(X)`` beyond X and the libraries; `call` is source text."""
    return _run(_PEAK.format(path=str(path), call=call), threads)


def _run(script, threads=1):
    limits = dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads)
    )
    finished = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _PRELUDE + script],
        env={**os.environ, **limits},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(finished.stdout.splitlines()[-1])
