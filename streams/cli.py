"""The `ctrlrec` command: gathers the commands of every part, and ends with a message instead of a traceback."""

import sys
from importlib.metadata import entry_points
from typing import Annotated

import typer
from typer.main import get_command

from ranker import __version__
from ranker.errors import CtrlrecError
from streams.discreet import guard

GROUP = "ctrlrec.commands"
"""Entry points of this group are typer.Typer objects; their commands become commands of `ctrlrec`."""


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ctrlrec {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Readers steer their feed in plain language, inside the ranking pipeline that is already there."""


def build() -> typer.Typer:
    """The command with all its commands."""
    # Pretty tracebacks would print local variables, readers' texts and passwords among them.
    app = typer.Typer(name="ctrlrec", no_args_is_help=True, pretty_exceptions_enable=False)
    app.callback()(_root)
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        part: typer.Typer = point.load()
        app.registered_commands.extend(part.registered_commands)
        app.registered_groups.extend(part.registered_groups)
    return app


def main() -> None:
    """Exit status 2 and a message for what is wrong outside the program, 130 for Ctrl-C; a bug keeps its traceback, but
    not what its exceptions say."""
    guard()
    try:
        get_command(build())()  # the app itself would put typer's own hook in the place of ours
    except CtrlrecError as error:
        typer.secho(f"ctrlrec: {error}", fg=typer.colors.RED, err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
