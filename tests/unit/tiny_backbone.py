"""A small random encoder to train from, of as many layers as training needs, and its tokenizer."""

from pathlib import Path

from tests.once import folder, once
from tests.unit.tiny_towers import towers

LAYERS = 4


@once
def backbone() -> Path:
    """Not to be changed."""
    import torch
    from transformers import BertConfig, BertModel

    path = folder() / "backbone"
    config = BertConfig.from_pretrained(towers() / "request")
    config.num_hidden_layers = LAYERS
    torch.manual_seed(4)
    BertModel(config, add_pooling_layer=False).save_pretrained(path)
    (path / "tokenizer.json").write_bytes((towers() / "tokenizer.json").read_bytes())
    return path
