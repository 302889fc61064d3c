"""A tower of torch weights becomes one ONNX graph: token ids in, the finished vector out.

The batch axis is fixed at one text. Quantized activations may take their scale over everything in a call, so a
text embedded beside others would get another vector; this graph cannot be called that way. With a single text there is
no padding either, so the graph needs no attention mask, and the mean over its tokens is a plain mean.
"""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from ranker.errors import BundleError, DataError
from ranker.towers import INPUT, OUTPUT

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from ranker.training.head import Head

DOMAINS = frozenset({"", "ai.onnx", "com.microsoft"})
"""Operator sets that onnxruntime brings along; com.microsoft holds those that `exporters.quantize` puts in."""


def load_encoder(folder: Path) -> "PreTrainedModel":
    """The encoder saved in `folder`, as it is best converted. Raises DataError if it cannot be loaded."""
    from transformers import AutoModel

    if not (folder / "config.json").is_file():
        raise DataError(f"{folder} holds no encoder (no config.json); `ctrlrec train` leaves one for each tower")
    try:
        # Plain attention leaves fewer operators about shapes and masks in the graph: 5 to 9 % of a request's time.
        return AutoModel.from_pretrained(
            folder, add_pooling_layer=False, attn_implementation="eager", local_files_only=True
        ).eval()
    except (OSError, ValueError) as error:
        raise DataError(f"{folder} holds no encoder that transformers can load: {error}") from error


def to_onnx(encoder: "PreTrainedModel", head: "Head | None", output: Path) -> None:
    """Write `encoder` with its head, if it has one, and L2 normalisation: `input_ids` (1, t) int64 -> `vector` (1, d).

    Raises BundleError if the graph would need a second file or operators that a worker does not have.
    """
    import torch
    from optimum.exporters.onnx import export
    from optimum.exporters.onnx.config import TextEncoderOnnxConfig
    from optimum.utils import DEFAULT_DUMMY_SHAPES, NormalizedTextConfig

    from ranker.training.head import pooled

    class Pooled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder
            self.head = head
            self.config = encoder.config

        def forward(self, input_ids: "Tensor") -> dict[str, "Tensor"]:
            hidden = self.encoder(input_ids=input_ids, output_hidden_states=True).hidden_states  # (1, t, d) each
            return {OUTPUT: pooled(hidden, None, self.head)}  # (1, d)

    class PooledConfig(TextEncoderOnnxConfig):
        NORMALIZED_CONFIG_CLASS = NormalizedTextConfig
        inputs: ClassVar[dict[str, dict[int, str]]] = {INPUT: {1: "tokens"}}
        outputs: ClassVar[dict[str, dict[int, str]]] = {OUTPUT: {}}

    config = PooledConfig(encoder.config, task="feature-extraction")
    with warnings.catch_warnings():
        # torch's exporter deprecates itself, and warns of every constant that it folds.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        shapes = DEFAULT_DUMMY_SHAPES | {"batch_size": 1}
        # The fix of axes would note in the graph that one vector comes out, at a third of the whole time.
        export(Pooled(), config, output, input_shapes=shapes, disable_dynamic_axes_fix=True)
    check_graph(output)


def check_graph(file: Path) -> None:
    """Raise BundleError if the graph in `file` reaches outside it: weights in other files, operators of others."""
    import onnx

    graph = onnx.load(str(file), load_external_data=False)
    for tensor in onnx.external_data_helper._get_all_tensors(graph):
        if onnx.external_data_helper.uses_external_data(tensor):
            raise BundleError(f"{file.name} keeps the weights {tensor.name} in another file; a graph must be one file")
    foreign = {opset.domain for opset in graph.opset_import} | {node.domain for node in graph.graph.node}
    foreign -= DOMAINS
    if foreign or graph.functions:
        owners = ", ".join(sorted(foreign)) or "its own"
        raise BundleError(f"{file.name} uses operators of {owners}; onnxruntime alone cannot run them")
