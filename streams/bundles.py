"""`ctrlrec bundle`: what a store holds, which version is served, and how to change that while workers run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ranker.store import Pointer

app = typer.Typer(no_args_is_help=True)

StoreDir = Annotated[Path, typer.Option("--store", envvar="CTRLREC_BUNDLE", help="Directory of the store.")]
AsJson = Annotated[bool, typer.Option("--json", help="For a script.")]
STORE = Path("var/bundles")


@app.callback()
def main() -> None:
    """Exchange bundles under running workers: those whose CTRLREC_BUNDLE names a store follow its active version.

    CTRLREC_BUNDLE may name a single bundle instead, as `ctrlrec export` writes it; that one is served for good.
    """


@app.command("list")
def list_(store: StoreDir = STORE, as_json: AsJson = False) -> None:
    """Show the versions that the store holds. They are not verified: `ctrlrec bundle verify` does that."""
    import msgspec
    from rich.console import Console

    from streams.bundlelist import entries, table

    found = entries(store)
    if as_json:
        typer.echo(msgspec.json.encode(found))
    elif found:
        Console().print(table(found))
    else:
        typer.echo(f"{store} holds no bundle; `ctrlrec bundle activate PATH` puts one there")


@app.command()
def verify(
    bundles: Annotated[
        list[str] | None,
        typer.Argument(metavar="[VERSION|PATH]...", help="Which ones.", show_default="all of the store"),
    ] = None,
    store: StoreDir = STORE,
    as_json: AsJson = False,
) -> None:
    """Check every hash of every file. Each damaged file is named; the exit status is then 1."""
    import msgspec

    from streams.bundlelist import verified

    found = verified(store, bundles or [])
    if as_json:
        typer.echo(msgspec.json.encode(found))
    for bundle in () if as_json else found:
        if bundle.damage:
            typer.secho(f"{bundle.bundle}: damaged", fg=typer.colors.RED)
        else:
            typer.echo(f"{bundle.bundle}: whole")
        for wrong in bundle.damage:
            typer.echo(f"  {wrong}")
    if any(bundle.damage for bundle in found):
        raise typer.Exit(1)


@app.command()
def activate(
    bundle: Annotated[str, typer.Argument(metavar="VERSION|PATH", help="A version of the store, or a bundle to copy.")],
    store: StoreDir = STORE,
    as_json: AsJson = False,
) -> None:
    """Serve this bundle from now on. It is verified first; a damaged or incompatible one changes nothing.

    A directory that `ctrlrec export` wrote is copied into the store, under its version. Workers take it within
    seconds, once they have embedded again what their users asked for. Activating the active version again has workers
    that refused it try once more.

    Example: ctrlrec bundle activate var/bundle
    """
    from ranker.errors import ConfigError
    from ranker.store import Store, is_bundle

    if is_bundle(store):
        raise ConfigError(
            f"{store} is a single bundle and no store: name another directory with --store, or in CTRLREC_BUNDLE"
        )
    there, folder = Store(store), Path(bundle)
    version = bundle
    if bundle not in {held.version for held in there.held()} and is_bundle(folder):
        version = there.add(folder)
    _tell(there.activate(version), as_json)


@app.command()
def rollback(store: StoreDir = STORE, as_json: AsJson = False) -> None:
    """Serve what was served before, verified again. A second time goes back once more."""
    from ranker.store import Store

    _tell(Store(store).rollback(), as_json)


@app.command()
def prune(
    keep: Annotated[int, typer.Option(min=0, help="How many of those served before the active one stay.")] = 3,
    store: StoreDir = STORE,
    as_json: AsJson = False,
) -> None:
    """Remove versions that are not served: all but the active one and those that `rollback` could still go back to.

    A version that was added and never activated goes, too. First see that all workers serve the active one (the metric
    feedranker_bundle_info): one that refused it still serves a version before.

    Example: ctrlrec bundle prune --keep 2
    """
    import msgspec

    from ranker.store import Store

    removed = Store(store).prune(keep)
    if as_json:
        typer.echo(msgspec.json.encode(removed))
    else:
        typer.echo(f"removed {', '.join(removed)}" if removed else "nothing to remove")


def _tell(pointer: "Pointer", as_json: bool) -> None:
    import msgspec

    if as_json:
        typer.echo(msgspec.json.encode(pointer))
        return
    before = f"; rollback goes to {pointer.before[0]}" if pointer.before else ""
    typer.echo(f"bundle {pointer.active} is active{before}")
