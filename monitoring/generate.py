"""`python -m monitoring.generate` writes every file that is made from definitions in this package."""

from collections.abc import Callable
from pathlib import Path

from monitoring.docs import metrics_page

HERE = Path(__file__).parent
FILES: dict[Path, Callable[[], str]] = {
    HERE.parent / "docs/metrics.md": metrics_page,
}


def main() -> None:
    for path, made in FILES.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(made(), encoding="utf-8")


if __name__ == "__main__":
    main()
