"""Two small random encoders in the layout that training leaves, a small catalogue, and the bundle made of them."""

import json
import shutil
from functools import cache
from pathlib import Path

import msgspec

from ranker import bundle as layout
from ranker.bundle import Bundle
from ranker.towers import Tower
from ranker.vectors import ItemVectors, quantize
from tests.once import folder, once

DIMENSION, MAX_LENGTH = 128, 24
TITLES = ["river", "stone", "winter", "harbour", "engine", "garden", "mirror", "lantern", "valley", "orchard"]
KINDS = ["secrets", "songs", "letters", "thieves", "ghosts"]
GENRES = ["Drama", "Comedy", "Drama|War", "Horror", "Comedy|Romance"]
TEXTS = ["more drama", "no horror please", "comedy from the 1990s", "", "ghosts", "river river river of war songs"]


@once
def data() -> Path:
    """A platform's own tables: fifty items, three users."""
    path = folder() / "data"
    path.mkdir()
    rows = ["item_id,title,year,genres"]
    interactions = ["user_id,item_id,rating"]
    for number in range(50):
        title = f"{TITLES[number % 10]} {KINDS[number // 10]}"
        rows.append(f"i{number},{title},{1960 + number},{GENRES[number % 5]}")
        interactions.append(f"u{number % 3},i{number},{1 + number % 5}")
    (path / "items.csv").write_text("\n".join(rows) + "\n")
    (path / "interactions.csv").write_text("\n".join(interactions) + "\n")
    return path


@once
def towers() -> Path:
    """What `ctrlrec train` leaves, untrained."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel

    path = folder() / "towers"
    words = [
        "more",
        "no",
        "horror",
        "please",
        "from",
        "the",
        "drama",
        "war",
        "comedy",
        "romance",
        "of",
        "1990s",
        "like",
        "less",
        "and",
        "but",
        "not",
    ]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *TITLES, *KINDS, *words]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    for seed, name in enumerate(("request", "item")):
        torch.manual_seed(seed)
        config = BertConfig(
            vocab_size=len(words),
            hidden_size=DIMENSION,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=192,
            max_position_embeddings=64,
            initializer_range=0.1,
        )
        BertModel(config, add_pooling_layer=False).save_pretrained(path / name)
    tokenizer.save(str(path / "tokenizer.json"))
    training = {
        "backbone": "tiny",
        "dimension": DIMENSION,
        "max_length": MAX_LENGTH,
        "seed": 0,
        "calibration": {"slope": 9.0, "intercept": -3.0},
    }
    (path / "training.json").write_text(json.dumps(training))
    return path


@once
def bundle_folder() -> Path:
    """A finished bundle; not to be changed."""
    from exporters.export import export

    path = folder() / "bundle"
    export(towers(), data(), path, name="tiny")
    return path


@once
def other_bundle_folder() -> Path:
    """One of the same items that differs in every vector: its towers have changed places. Not to be changed."""
    from ranker.data import load_dataset

    path = Path(shutil.copytree(bundle_folder(), folder() / "other"))
    request_tower, item_tower = path / layout.REQUEST_TOWER, path / layout.ITEM_TOWER
    request_tower.rename(path / "spare")
    item_tower.rename(request_tower)
    (path / "spare").rename(item_tower)
    tower, catalogue = Tower(item_tower, path / layout.TOKENIZER, max_length=MAX_LENGTH), load_dataset(data()).catalogue
    vectors = [quantize(tower.embed(text)) for text in catalogue.texts()]
    ItemVectors.save(path, [item.item_id for item in catalogue.items], vectors)
    reseal(path, name="other")
    return path


def reseal(folder: Path, **changes: object) -> str:
    """Write the manifest anew, true to the files and to `changes`; the version."""
    file = folder / layout.MANIFEST
    manifest = msgspec.json.decode(file.read_bytes(), type=layout.Manifest)
    files = {name: layout.sha256(folder / name) for name in layout.FILES}
    manifest = msgspec.structs.replace(manifest, **{"files": files} | changes)
    manifest = msgspec.structs.replace(manifest, version=manifest.digest())
    file.write_bytes(msgspec.json.encode(manifest))
    return manifest.version


def damaged(folder: Path, name: str) -> Path:
    """The folder, with one byte in the middle of this file changed."""
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 0xFF
    (folder / name).write_bytes(content)
    return folder


@cache
def bundle() -> Bundle:
    return Bundle.load(bundle_folder())


def tower(name: str) -> Tower:
    loaded = bundle()
    return loaded.request_tower if name == "request" else loaded.item_tower
