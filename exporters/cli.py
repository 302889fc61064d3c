"""`ctrlrec export` and `ctrlrec embed`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(no_args_is_help=True)


@app.callback()
def main() -> None:
    """Make bundles of trained towers, and look inside them."""


@app.command()
def export(
    towers: Annotated[Path, typer.Option(help="Folder of trained towers, by `ctrlrec train`.")] = Path("var/towers"),
    data: Annotated[Path, typer.Option(help="Folder of the catalogue and its ratings.")] = Path("var/data"),
    out: Annotated[Path, typer.Option(help="The bundle to write, in place of one that is there.")] = Path("var/bundle"),
    name: Annotated[str, typer.Option(help="What the bundle calls itself, beside its version.")] = "ctrlrec",
) -> None:
    """Turn trained towers into a bundle, the one directory that workers load.

    Both towers become ONNX graphs with pooling and normalisation inside; the request tower is quantized to 8 bits; the
    whole catalogue is embedded; all of it is compared with the trained towers, and refused if it differs too much; then
    it is hashed and moved into place in one go. The version is a hash of the content.

    Example: ctrlrec export --towers var/towers --data var/data --out var/bundle
    """
    from rich.console import Console

    from exporters.export import export as make_bundle
    from exporters.progress import steps

    with steps() as step:
        manifest = make_bundle(towers, data, out, name=name, step=step)
    figures = ", ".join(f"{key.replace('_', ' ')} {value:.4f}" for key, value in manifest.parity.items())
    Console().print(f"bundle {manifest.version} in {out}: {figures}", highlight=False, soft_wrap=True)


@app.command()
def embed(
    out: Annotated[Path, typer.Option(help="The .npy file to write: (n, d) float32, a row a line.")],
    bundle: Annotated[Path, typer.Option(help="The bundle whose tower to use.")] = Path("var/bundle"),
    tower: Annotated[Literal["request", "item"], typer.Option(help="Which of the two towers.")] = "request",
    context: Annotated[str | None, typer.Option(help="The reader's taste, read beside every request.")] = None,
) -> None:
    """Embed texts: one a line on standard input, UTF-8; unit vectors to a NumPy file.

    The vectors are what serving computes, before they are quantized: their dot product is the cosine.

    Example: echo "no horror please" | ctrlrec embed --tower request --out requests.npy
    """
    import numpy as np

    from exporters.lines import read_lines
    from exporters.progress import steps
    from ranker.bundle import Bundle
    from ranker.errors import ConfigError
    from ranker.requesttext import request_text
    from ranker.store import served

    if context is not None and tower == "item":
        raise ConfigError("--context is read by the request tower only; leave it out with --tower item")
    texts = read_lines(typer.get_binary_stream("stdin"))
    loaded = Bundle.load(served(bundle))
    if tower == "request":
        chosen, texts = loaded.request_tower, [request_text(text, context) for text in texts]
    else:
        chosen = loaded.item_tower
    with steps() as step:
        vectors = chosen.embed_all(texts, step("texts", len(texts)))
    try:
        with out.open("wb") as stream:  # np.save would add .npy to a bare name
            np.save(stream, vectors)
    except OSError as error:
        raise ConfigError(f"{out} cannot be written: {error.strerror}") from error
