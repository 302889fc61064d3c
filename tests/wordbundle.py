"""A bundle that understands words without having been trained: a text's vector is the mean of its words' vectors.

Both towers are ONNX graphs of three nodes with one table of words, so that a request lies near the items that share its
words. It has what monitoring needs and a test can break: references, and golden requests that it answers well.
"""

import string
from functools import cache
from itertools import chain
from pathlib import Path

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from exporters.canaries import with_baseline
from exporters.familiarity import references
from exporters.probes import Asked, draw_requests
from ranker import bundle as layout
from ranker.bundle import BundleCalibration, write_manifest
from ranker.canaries import Canary
from ranker.catalogue import Catalogue
from ranker.data import load_dataset
from ranker.rank import Model
from ranker.towers import Tower
from ranker.vectors import Floats, ItemVectors, quantize
from tests import once
from tests.unit.tiny_towers import data, reseal

DIMENSION, MAX_LENGTH = 64, 64
EACH = 40
MUTE = "hush"
"""A word that the tower has no vector for: a request of it alone is a dead letter of class `model`."""
SLOPE, INTERCEPT = 10.0, -2.0


def usual_requests() -> list[Asked]:
    """As the bundle was made with."""
    return draw_requests(load_dataset(data()), "dev", EACH)


def word_bundle(folder: Path) -> Path:
    """Make the bundle in `folder`."""
    folder.mkdir()
    catalogue, asked = load_dataset(data()).catalogue, usual_requests()
    words = _words([*catalogue.texts(), *(f"{each.text} {each.context or ''}" for each in asked), "please", MUTE])
    _save_tokenizer(folder / layout.TOKENIZER, words)
    table = np.random.default_rng(5).normal(size=(len(words), DIMENSION)).astype(np.float32)
    table[2:4] = 0  # the marks at both ends mean nothing
    table[words.index(MUTE)] = 0
    for file in (layout.REQUEST_TOWER, layout.ITEM_TOWER):
        _save_tower(folder / file, table)
    tower = Tower(folder / layout.REQUEST_TOWER, folder / layout.TOKENIZER, max_length=MAX_LENGTH)
    items = tower.embed_all(catalogue.texts())
    ItemVectors.save(folder, [item.item_id for item in catalogue.items], map(quantize, items))
    model = Model("", ItemVectors.load(folder), SLOPE, INTERCEPT, 1.0)
    canaries = with_baseline(_canaries(catalogue), tower, model)
    known = BundleCalibration(SLOPE, INTERCEPT, references(tower, asked, items), canaries)
    (folder / layout.CALIBRATION).write_bytes(msgspec.json.encode(known))
    write_manifest(
        folder, name="words", backbone="none", dimension=DIMENSION, max_length=MAX_LENGTH,
        quantization={"request": "fp32", "item": "fp32"}, training={}, parity={},
    )  # fmt: skip
    return folder


def word_cosines(text: str) -> Floats:
    """(n,) float32 of the catalogue's items with a request, as the bundle has them."""
    tower, items = _served()
    return items @ tower.embed(text)  # (n, d) @ (d,) -> (n,)


@once.once
def _made() -> Path:
    return word_bundle(once.folder() / "words")


@cache
def _served() -> tuple[Tower, Floats]:
    folder = _made()
    towers = [
        Tower(folder / file, folder / layout.TOKENIZER, max_length=MAX_LENGTH)
        for file in (layout.REQUEST_TOWER, layout.ITEM_TOWER)
    ]
    return towers[0], towers[1].embed_all(load_dataset(data()).catalogue.texts())


def shuffle_items(folder: Path) -> None:
    """Give every item of a bundle the vector of another one, and seal it again: no hash tells."""
    values = np.load(folder / "item_vectors.npy")
    np.save(folder / "item_vectors.npy", np.random.default_rng(6).permutation(values))
    reseal(folder)


def _canaries(catalogue: Catalogue) -> list[Canary]:
    ids = [item.item_id for item in catalogue.items]
    found = []
    for genre in catalogue.genres:
        relevance = [float(genre in item.genres) for item in catalogue.items]
        found += [
            Canary("wish", genre.lower(), ids, relevance),
            Canary("paraphrase", f"{genre} please", ids, relevance),
        ]
    return found


def _words(texts: list[str]) -> list[str]:
    split = pre_tokenizers.Whitespace()
    found = {word for text in texts for word, _ in split.pre_tokenize_str(text.lower())}
    return ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *sorted(found | set(chain(string.punctuation)))]


def _save_tokenizer(file: Path, words: list[str]) -> None:
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(file))


def _save_tower(file: Path, table: "np.ndarray[tuple[int, int], np.dtype[np.float32]]") -> None:
    """input_ids (1, t) -> table[ids] (1, t, d) -> mean (1, d) -> unit vector (1, d)."""
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["table", "input_ids"], ["words"]),
            helper.make_node("ReduceMean", ["words"], ["mean"], axes=[1], keepdims=0),
            helper.make_node("LpNormalization", ["mean"], ["vector"], axis=1, p=2),
        ],
        "words",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, [1, "t"])],
        [helper.make_tensor_value_info("vector", TensorProto.FLOAT, [1, table.shape[1]])],
        [numpy_helper.from_array(table, "table")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.save(model, str(file))
