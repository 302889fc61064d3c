"""Bundles with true hashes that were made to do harm: they are refused before anything of them runs."""

import os
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from ranker import bundle as layout
from ranker.bundle import Bundle
from ranker.errors import BundleError
from ranker.store import POINTER, Store
from ranker.towers import INPUT, OUTPUT
from ranker.vectors import SCALES, VECTORS
from tests.unit.tiny_towers import DIMENSION, bundle_folder, reseal


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy, for the test to harm."""
    return Path(shutil.copytree(bundle_folder(), tmp_path / "bundle"))


def graph(nodes: list[onnx.NodeProto], weights: onnx.TensorProto, domain: str = "") -> bytes:
    """A tower as far as its ends can tell."""
    ends = (
        [helper.make_tensor_value_info(INPUT, TensorProto.INT64, [1, "t"])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [1, DIMENSION])],
    )
    opsets = [helper.make_opsetid("", 17), *([helper.make_opsetid(domain, 1)] if domain else [])]
    model = helper.make_model(helper.make_graph(nodes, "g", *ends, [weights]), opset_imports=opsets, ir_version=8)
    raw: bytes = model.SerializeToString()
    return raw


def test_weights_outside_of_the_bundle_are_not_read(folder: Path) -> None:
    secret = np.ones((1, DIMENSION), np.float32)
    (folder.parent / "secret.bin").write_bytes(secret.tobytes())
    weights = numpy_helper.from_array(secret, "weights")
    onnx.external_data_helper.set_external_data(weights, "../secret.bin")
    weights.ClearField("raw_data")
    raw = graph([helper.make_node("Identity", ["weights"], [OUTPUT])], weights)
    (folder / layout.REQUEST_TOWER).write_bytes(raw)
    reseal(folder)
    with pytest.raises(BundleError, match=r"request_tower\.onnx is no graph that onnxruntime can run: .*escapes"):
        Bundle.load(folder)


def test_operators_of_others_are_not_run(folder: Path) -> None:
    weights = numpy_helper.from_array(np.ones(1, np.float32), "weights")
    raw = graph([helper.make_node("Evil", ["weights"], [OUTPUT], domain="org.example")], weights, "org.example")
    (folder / layout.REQUEST_TOWER).write_bytes(raw)
    reseal(folder)
    with pytest.raises(BundleError, match=r"request_tower\.onnx is no graph.*Evil"):
        Bundle.load(folder)


class Pickled:
    """Leaves a trace when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("file", [VECTORS, SCALES])
def test_nothing_is_unpickled(folder: Path, file: str, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    np.save(folder / file, np.array([Pickled(trace)], object), allow_pickle=True)
    reseal(folder)
    with pytest.raises(BundleError, match=r"item vectors in .*(pickle|Object arrays|Python objects)"):
        Bundle.load(folder)
    assert not trace.exists()


def test_a_version_leads_nowhere(tmp_path: Path) -> None:

    store = Store(tmp_path / "store")
    store.folder.mkdir()
    (store.folder / POINTER).write_text('{"active": "../../etc"}')
    with pytest.raises(BundleError, match=r"active\.json is damaged"):
        store.pointer()
