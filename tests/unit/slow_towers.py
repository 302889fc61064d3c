"""A bundle whose request tower takes long for certain words, within onnxruntime, as a real one may."""

import shutil
import time
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer as Words

from ranker import bundle as layout
from ranker.towers import OUTPUT, Tower
from tests.once import folder, once
from tests.unit.tiny_towers import MAX_LENGTH, bundle_folder, reseal

SLOW, ENDLESS = "mirror", "orchard"
"""Each SLOW costs half a second, on the machine that the bundle was made on; ENDLESS takes hours."""
SECONDS, TRIAL = 0.5, 2_000
HOURS = 10**9


@once
def slow_bundle_folder() -> Path:
    """The tiny bundle, but for those words. Not to be changed."""
    path = Path(shutil.copytree(bundle_folder(), folder() / "slow"))
    turns = TRIAL
    for _ in range(2):  # at first to see how long a turn takes
        model = _slowed(onnx.load(bundle_folder() / layout.REQUEST_TOWER), path / layout.TOKENIZER, turns)
        onnx.save(model, path / layout.REQUEST_TOWER)
        tower = Tower(path / layout.REQUEST_TOWER, path / layout.TOKENIZER, max_length=MAX_LENGTH)
        quickest = min(_seconds(tower) for _ in range(5))  # when the machine was busy with nothing else
        turns = max(1, round(turns * SECONDS / quickest))
    reseal(path, name="slow")
    return path


def _seconds(tower: Tower) -> float:
    began = time.perf_counter()
    tower.embed(SLOW)
    return time.perf_counter() - began


def _slowed(model: onnx.ModelProto, words: Path, turns: int) -> onnx.ModelProto:
    """The same graph, plus nought times the result of a loop of so many turns for each slow word."""
    graph, vocabulary = model.graph, Words.from_file(str(words))
    for node in graph.node:
        for place, name in enumerate(node.output):
            if name == OUTPUT:
                node.output[place] = "quick"
    turn = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("MatMul", ["state", "weights"], ["product"]),
            helper.make_node("Tanh", ["product"], ["next"]),
        ],
        "turn",
        [
            helper.make_tensor_value_info("number", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, [64, 64]),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, [64, 64]),
        ],
    )
    weights = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    slow, endless = (np.int64(vocabulary.token_to_id(word)) for word in (SLOW, ENDLESS))
    constants = {
        "weights": weights, "slow": slow, "endless": endless, "turns": np.int64(turns), "hours": np.int64(HOURS),
        "yes": np.bool_(True), "nought": np.float32(0),
    }  # fmt: skip
    graph.initializer.extend(numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items())
    counted = []
    for word, cost in (("slow", "turns"), ("endless", "hours")):
        counted += [
            helper.make_node("Equal", ["input_ids", word], [f"is_{word}"]),
            helper.make_node("Cast", [f"is_{word}"], [f"ones_{word}"], to=TensorProto.INT64),
            helper.make_node("ReduceSum", [f"ones_{word}"], [f"count_{word}"], keepdims=0),
            helper.make_node("Mul", [f"count_{word}", cost], [f"cost_{word}"]),
        ]
    graph.node.extend(
        [
            *counted,
            helper.make_node("Add", ["cost_slow", "cost_endless"], ["all_turns"]),
            helper.make_node("Loop", ["all_turns", "yes", "weights"], ["ground"], body=turn),
            helper.make_node("ReduceMax", ["ground"], ["one"], keepdims=0),
            helper.make_node("Mul", ["one", "nought"], ["none"]),
            helper.make_node("Add", ["quick", "none"], [OUTPUT]),
        ]
    )
    return model
