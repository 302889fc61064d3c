import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from exporters import parity
from exporters.export import export, put_in_place, read_training, refuse_to_replace
from exporters.onnx import check_graph
from exporters.probes import probe_requests
from exporters.quantize import BLOCK, ZERO, quantize_blocks
from ranker.bundle import Bundle
from ranker.data import load_dataset
from ranker.errors import BundleError, ConfigError, DataError, ParityError
from tests.unit.tiny_towers import bundle, bundle_folder, data, towers


@settings(deadline=None)
@given(st.integers(1, 4), st.integers(1, 3 * BLOCK), st.integers(0, 99), st.sampled_from([1e-6, 1.0, 1e4]))
def test_blocks_hold_the_weights_to_half_a_step(rows: int, k: int, seed: int, size: float) -> None:
    weights = (np.random.default_rng(seed).normal(size=(rows, k)) * size).astype(np.float32)
    weights[0] = 0
    values, scales = quantize_blocks(weights)
    blocks = -(-k // BLOCK)
    assert values.shape == (rows, blocks, BLOCK)
    assert values.dtype == np.uint8
    steps = values.astype(np.float32) - ZERO
    restored = (steps * scales[:, :, None]).reshape(rows, -1)
    assert (restored[:, k:] == 0).all()
    error = np.abs(np.pad(weights, ((0, 0), (0, blocks * BLOCK - k))) - restored).reshape(rows, blocks, BLOCK)
    assert (error <= scales[:, :, None] * 0.501).all()


def test_the_request_tower_computes_in_8_bits() -> None:
    graph = onnx.load(bundle_folder() / "request_tower.onnx").graph
    kinds = Counter(node.op_type for node in graph.node)
    assert kinds["MatMulNBits"] == 2 * 6
    assert kinds["GatherBlockQuantized"] >= 1
    assert kinds["MatMul"] == 2 * 2  # of activations with activations
    for node in graph.node:
        if node.op_type == "MatMulNBits":
            attributes = {attribute.name: attribute.i for attribute in node.attribute}
            assert attributes["bits"] == 8
            assert attributes["accuracy_level"] == 4
    largest = max(numpy_helper.to_array(tensor).nbytes for tensor in graph.initializer if tensor.data_type == 1)
    assert largest <= 64 * 128 * 4  # the table of positions: no matrix of weights is left in float32
    assert not any(node.op_type == "MatMulNBits" for node in onnx.load(bundle_folder() / "item_tower.onnx").graph.node)


def test_exporting_twice_gives_the_same_bundle(tmp_path: Path) -> None:
    steps: dict[str, list[int]] = {}
    manifest = export(
        towers(), data(), tmp_path / "again", name="tiny", step=lambda name, _: steps.setdefault(name, []).append
    )
    assert manifest == bundle().manifest
    assert {name: done[-1] for name, done in steps.items()}["item vectors"] == 50
    assert [path.name for path in tmp_path.iterdir()] == ["again"]


def test_a_bundle_below_the_bounds_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = Path(shutil.copytree(bundle_folder(), tmp_path / "bundle"))
    monkeypatch.setattr(parity, "MIN_TOP_AGREEMENT", 1.01)
    with pytest.raises(ParityError, match="top_agreement is"):
        export(towers(), data(), out)
    assert Bundle.load(out).version == bundle().version
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_bundle_is_replaced_whole(tmp_path: Path) -> None:
    out, new = tmp_path / "bundle", tmp_path / "new"
    shutil.copytree(bundle_folder(), out)
    new.mkdir()
    (new / "manifest.json").write_text("{}")
    refuse_to_replace(out)
    put_in_place(new, out)
    assert [path.name for path in out.iterdir()] == ["manifest.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_what_is_no_bundle_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    for out in (tmp_path, tmp_path / "thesis.txt", tmp_path / "link"):
        with pytest.raises(ConfigError, match=out.name):
            export(towers(), data(), out)
    refuse_to_replace(tmp_path / "empty")
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_towers_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"training\.json is missing: train towers first"):
        export(tmp_path, data(), tmp_path / "out")
    (tmp_path / "training.json").write_text('{"backbone": "tiny"}')
    with pytest.raises(DataError, match=r"training\.json is not as .*dimension"):
        read_training(tmp_path)


def test_towers_of_another_dimension(tmp_path: Path) -> None:
    other = Path(shutil.copytree(towers(), tmp_path / "towers"))
    training = json.loads((other / "training.json").read_text())
    (other / "training.json").write_text(json.dumps(training | {"dimension": 64}))
    with pytest.raises(DataError, match=r"request has 128 dimensions, training\.json 64"):
        export(other, data(), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["towers"]


def graph_file(folder: Path, domain: str, *, external: bool) -> Path:
    weights = numpy_helper.from_array(np.ones((2, 2), np.float32), "w")
    if external:
        onnx.external_data_helper.set_external_data(weights, "elsewhere.bin")
        weights.ClearField("raw_data")
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 2]) for name in ("x", "y")]
    node = helper.make_node("Add", ["x", "w"], ["y"], domain=domain)
    model = helper.make_model(
        helper.make_graph([node], "g", ends[:1], ends[1:], [weights]),
        opset_imports=[helper.make_opsetid(name, 1 if name else 18) for name in {"", domain}],
    )
    file = folder / "tower.onnx"
    file.write_bytes(model.SerializeToString())
    return file


def test_graphs_that_reach_outside_are_refused(tmp_path: Path) -> None:
    for domain in ("", "com.microsoft"):
        check_graph(graph_file(tmp_path, domain, external=False))
    with pytest.raises(BundleError, match=r"tower\.onnx uses operators of org\.example"):
        check_graph(graph_file(tmp_path, "org.example", external=False))
    with pytest.raises(BundleError, match=r"tower\.onnx keeps the weights w in another file"):
        check_graph(graph_file(tmp_path, "", external=True))


def test_probes_cover_what_readers_ask() -> None:
    dataset = load_dataset(data())
    probes = probe_requests(dataset)
    assert len(probes) == len(set(probes)) > 50
    assert probes == probe_requests(dataset)
    assert any("| reader usually watches" in text for text in probes)
