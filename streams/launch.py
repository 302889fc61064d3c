"""Processes that do not outlive the one that started them, however that ends."""

import os
import signal
import sys

# Asks Linux for a signal when the starting thread ends (1 is PR_SET_PDEATHSIG), and then replaces itself with the command.
# A program of its own rather than a preexec_fn, which may deadlock in a process with threads.
_LAUNCH = """
import os, sys
if sys.platform == "linux":
    import ctypes
    ctypes.CDLL(None).prctl(1, int(sys.argv[2]))
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[3], sys.argv[3:])
"""


def with_parent(sign: signal.Signals) -> tuple[str, ...]:
    """Goes before a command, whose process gets `sign` when the calling thread ends. Linux alone does so."""
    return (sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid()), str(int(sign)))
