"""Two small random encoders in the layout that training leaves, a small catalogue, and the bundle made of them."""

import atexit
import json
import shutil
import tempfile
from functools import cache
from pathlib import Path

from ranker.bundle import Bundle
from ranker.towers import Tower

DIMENSION, MAX_LENGTH = 128, 24
TITLES = ["river", "stone", "winter", "harbour", "engine", "garden", "mirror", "lantern", "valley", "orchard"]
KINDS = ["secrets", "songs", "letters", "thieves", "ghosts"]
GENRES = ["Drama", "Comedy", "Drama|War", "Horror", "Comedy|Romance"]
TEXTS = ["more drama", "no horror please", "comedy from the 1990s", "", "ghosts", "river river river of war songs"]


@cache
def folder() -> Path:
    """A folder that goes when the tests end."""
    path = Path(tempfile.mkdtemp(prefix="ctrlrec-tests-"))
    atexit.register(shutil.rmtree, path)
    return path


@cache
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


@cache
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


@cache
def bundle_folder() -> Path:
    """A finished bundle; not to be changed."""
    from exporters.export import export

    path = folder() / "bundle"
    export(towers(), data(), path, name="tiny")
    return path


@cache
def bundle() -> Bundle:
    return Bundle.load(bundle_folder())


def tower(name: str) -> Tower:
    loaded = bundle()
    return loaded.request_tower if name == "request" else loaded.item_tower
