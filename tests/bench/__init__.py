"""Benchmarks: `python -m tests.bench`, one line a figure, each beside what it is compared with in the same run."""

import os

# Before numpy is loaded, here and in every process that is started from here.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"
