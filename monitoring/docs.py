"""docs/metrics.md, written from the definitions."""

import inspect

from monitoring.catalogue import PROCESS, definitions, unit
from monitoring.define import Definition
from monitoring.metrics import Metrics
from monitoring.quality import Quality

_HEAD = """\
# Metrics

Made by `python -m monitoring.generate` from [monitoring/metrics.py](../monitoring/metrics.py) and
[monitoring/quality.py](../monitoring/quality.py): change them there.

A worker answers `/metrics` on port 9108. Every series of a closed label set is there from the start, at 0, so that the
rate of something rare is 0 and not absent. A histogram has `_bucket`, `_sum` and `_count`. No label ever holds a reader,
an item or a text.

| metric | type | labels | unit | meaning | set by |
|---|---|---|---|---|---|
"""
_METHODS = """
## Where they are set

Methods of `Metrics` and `Quality`; the agents in [streams/agents.py](../streams/agents.py), the sampler in
[streams/sampling.py](../streams/sampling.py), [streams/canaries.py](../streams/canaries.py),
[streams/swap.py](../streams/swap.py) and the worker in [streams/worker.py](../streams/worker.py) call them.

| method | called when |
|---|---|
"""
_PROCESS = """
## The process

From prometheus_client, on Linux.

| metric | unit | meaning |
|---|---|---|
"""


def metrics_page() -> str:
    """The whole page."""
    ours = definitions()
    methods = sorted({method for definition in ours for method in definition.set_by})
    return "".join(
        (
            _HEAD,
            *map(_row, ours),
            _METHODS,
            *(f"| `{method}` | {_story(method)} |\n" for method in methods),
            _PROCESS,
            *(f"| `{name}` | {unit(name)} | {meaning} |\n" for name, meaning in PROCESS.items()),
        )
    )


def _row(definition: Definition) -> str:
    labels = "<br>".join(
        f"`{label}`: {', '.join(values)}" if values else f"`{label}`" for label, values in definition.labels.items()
    )
    setters = ", ".join(f"`{method}`" for method in definition.set_by) or "every histogram"
    name, kind = definition.name, definition.kind
    return f"| `{name}` | {kind} | {labels} | {unit(name)} | {definition.meaning} | {setters} |\n"


def _story(method: str) -> str:
    text = inspect.getdoc(getattr(Metrics, method, None) or getattr(Quality, method)) or ""
    return " ".join(text.split("\n\n")[0].split())
