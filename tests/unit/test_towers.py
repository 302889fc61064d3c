import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from ranker.errors import BundleError
from ranker.towers import Tower
from tests.unit.tiny_towers import DIMENSION, MAX_LENGTH, TEXTS, bundle_folder, tower, towers

BOTH = pytest.mark.parametrize("name", ["request", "item"])


@BOTH
def test_a_vector_is_float32_of_unit_length(name: str) -> None:
    for text in TEXTS:
        vector = tower(name).embed(text)
        assert vector.shape == (DIMENSION,)
        assert vector.dtype == np.float32
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


@BOTH
def test_the_bytes_of_a_text_depend_on_nothing_but_the_text(name: str) -> None:
    alone = {text: tower(name).embed(text).tobytes() for text in TEXTS}
    assert len(set(alone.values())) == len(TEXTS)
    shuffled = TEXTS[::-1] * 3
    assert [row.tobytes() for row in tower(name).embed_all(shuffled)] == [alone[text] for text in shuffled]
    with ThreadPoolExecutor(2) as pool:
        at_once = list(pool.map(tower(name).embed, TEXTS * 20))
    assert [vector.tobytes() for vector in at_once] == [alone[text] for text in TEXTS * 20]
    two_workers = tower(name).embed_all(TEXTS, workers=2)
    assert [row.tobytes() for row in two_workers] == list(alone.values())


@BOTH
def test_more_threads_give_the_same_bytes(name: str) -> None:
    files = bundle_folder() / f"{name}_tower.onnx", bundle_folder() / "tokenizer.json"
    threaded = Tower(*files, max_length=MAX_LENGTH, threads=2).embed_all(TEXTS)
    assert threaded.tobytes() == tower(name).embed_all(TEXTS).tobytes()


@pytest.mark.parametrize(("name", "cosine"), [("request", 0.998), ("item", 0.999999)])
def test_vectors_are_those_of_the_torch_tower(name: str, cosine: float) -> None:
    from ranker.training import towers as trained

    tokenizer = trained.load_tokenizer(towers() / "tokenizer.json")
    torch_tower = trained.Tower(trained.load_encoder(towers() / name), tokenizer).eval()
    cosines = (torch_tower.embed(TEXTS) * tower(name).embed_all(TEXTS)).sum(axis=1)
    assert cosines.min() > cosine


def test_what_lies_past_the_longest_text_is_not_read() -> None:
    words = ["river"] * (MAX_LENGTH - 2)  # and the two tokens that mark the ends
    full = tower("request").embed(" ".join(words)).tobytes()
    assert tower("request").embed(" ".join([*words, "horror"])).tobytes() == full
    assert tower("request").embed(" ".join([*words[:-1], "horror"])).tobytes() != full


def test_progress_is_told_of_every_text() -> None:
    told: list[int] = []
    assert tower("request").embed_all([], told.append).shape == (0, DIMENSION)
    tower("request").embed_all(TEXTS, told.append)
    assert told == list(range(1, len(TEXTS) + 1))


def test_files_that_are_no_tower_are_refused_by_name(tmp_path: Path) -> None:
    good_graph, good_tokenizer = bundle_folder() / "request_tower.onnx", bundle_folder() / "tokenizer.json"
    bad = tmp_path / "bad.file"
    bad.write_bytes(b"\x08\x07 not a graph")
    for graph, tokenizer in ((bad, good_tokenizer), (good_graph, bad), (tmp_path / "bad.file.none", good_tokenizer)):
        with pytest.raises(BundleError, match=r"bad\.file"):
            Tower(graph, tokenizer, max_length=MAX_LENGTH)


def test_a_graph_that_takes_a_batch_is_refused(tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    file = tmp_path / "batch.onnx"
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "tokens"])
    vector = helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["batch", "tokens"])
    node = helper.make_node("Cast", ["input_ids"], ["vector"], to=TensorProto.FLOAT)
    opset = [helper.make_opsetid("", 18)]
    onnx.save(
        helper.make_model(helper.make_graph([node], "g", [ids], [vector]), opset_imports=opset, ir_version=9), file
    )
    with pytest.raises(BundleError, match=r"batch\.onnx maps .*not one row"):
        Tower(file, bundle_folder() / "tokenizer.json", max_length=MAX_LENGTH)


def test_serving_imports_nothing_of_training() -> None:
    code = "import sys, ranker.bundle; print({'torch', 'transformers', 'onnx', 'optimum'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
