"""Progress bars for the steps of an export, on standard error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def steps() -> Iterator[Callable[[str, int], Callable[[int], object]]]:
    """Gives a function that starts a bar, from its name and number of parts, and returns what moves it to a part."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:

        def step(name: str, parts: int) -> Callable[[int], object]:
            task = bars.add_task(name, total=parts)
            return lambda done: bars.update(task, completed=done)

        yield step
