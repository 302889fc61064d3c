import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest

from ranker.bundle import FILES, MANIFEST, Bundle, write_manifest
from ranker.errors import BundleError
from ranker.vectors import quantize
from tests.unit.tiny_towers import DIMENSION, TEXTS, bundle, bundle_folder, damaged, reseal


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle_folder(), tmp_path / "bundle"))


def test_a_whole_bundle_serves() -> None:
    loaded = bundle()
    manifest = loaded.manifest
    assert (manifest.name, manifest.backbone, manifest.dimension) == ("tiny", "tiny", DIMENSION)
    assert manifest.quantization == {"request": "int8", "item": "fp32"}
    assert set(manifest.files) == set(FILES)
    assert (loaded.calibration.slope, loaded.calibration.intercept) == (9.0, -3.0)
    model = loaded.model(0.7, "rrf")
    assert (model.bundle, model.slope, model.intercept) == (loaded.version, 9.0, -3.0)
    assert (model.weight, model.fusion, len(model.items)) == (0.7, "rrf", 50)


def test_the_version_is_a_hash_of_the_content(copy: Path) -> None:
    version = bundle().version
    assert len(version) == 12
    assert int(version, 16) >= 0
    assert Bundle.load(copy).version == version
    (copy / "calibration.json").write_bytes(b'{"slope":8.0,"intercept":-3.0}')
    old = bundle().manifest
    resealed = write_manifest(
        copy,
        name=old.name,
        backbone=old.backbone,
        dimension=old.dimension,
        max_length=old.max_length,
        quantization=old.quantization,
        training=old.training,
        parity=old.parity,
    )
    assert resealed.version != version
    assert Bundle.load(copy).calibration.slope == 8.0


def test_late_items_get_the_vectors_of_the_catalogue() -> None:
    """The catalogue's vectors come from the same graph and call, so they are the same bytes."""
    from ranker.data import load_dataset
    from tests.unit.tiny_towers import data

    vectors = np.load(bundle_folder() / "item_vectors.npy")
    scales = np.load(bundle_folder() / "item_scales.npy")
    for row, text in enumerate(load_dataset(data()).catalogue.texts()):
        late = quantize(bundle().item_tower.embed(text))
        assert late.floats().tobytes() == vectors[row].tobytes()
        assert np.float32(late.scale) == scales[row]


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
@pytest.mark.parametrize("place", [0.0, 0.5, 0.999])
def test_one_damaged_byte_is_found_and_named(copy: Path, name: str, place: float) -> None:
    content = bytearray((copy / name).read_bytes())
    content[int(place * len(content))] ^= 0xFF
    (copy / name).write_bytes(content)
    with pytest.raises(BundleError, match=name):
        Bundle.load(copy)


def test_a_changed_figure_in_the_manifest_is_found(copy: Path) -> None:
    content = (copy / MANIFEST).read_bytes()
    (copy / MANIFEST).write_bytes(content.replace(b'"seed": 0', b'"seed": 1'))
    with pytest.raises(BundleError, match=r"manifest\.json is damaged: it amounts to"):
        Bundle.load(copy)


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(BundleError, match=f"{name} is missing"):
        Bundle.load(copy)


@pytest.mark.parametrize("name", ["weights.bin", "item_tower.onnx_data", ".hidden"])
def test_an_extra_file_is_named(copy: Path, name: str) -> None:
    (copy / name).write_bytes(b"x")
    with pytest.raises(BundleError, match=name):
        Bundle.load(copy)


def test_no_bundle_at_all(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"manifest\.json is missing"):
        Bundle.load(tmp_path / "none")


def test_another_format_is_refused(copy: Path) -> None:
    reseal(copy, format="ctrlrec-bundle/9")
    with pytest.raises(BundleError, match=r"'ctrlrec-bundle/9'; this version serves 'ctrlrec-bundle/1'"):
        Bundle.load(copy)


def test_a_manifest_cannot_name_files_elsewhere(copy: Path) -> None:
    files = dict(bundle().manifest.files)
    files["../request_tower.onnx"] = files.pop("request_tower.onnx")
    reseal(copy, files=files)
    with pytest.raises(BundleError, match=r"'\.\./request_tower\.onnx', 'request_tower\.onnx'"):
        Bundle.load(copy)


def test_another_dimension_is_refused(copy: Path) -> None:
    reseal(copy, dimension=DIMENSION * 2)
    with pytest.raises(BundleError, match=f"{DIMENSION} dimensions, not {DIMENSION * 2}"):
        Bundle.load(copy)


@pytest.mark.parametrize("field", ["dimension", "files", "quantization"])
def test_a_manifest_without_a_field_is_refused(copy: Path, field: str) -> None:
    manifest = msgspec.json.decode((copy / MANIFEST).read_bytes())
    del manifest[field]
    (copy / MANIFEST).write_bytes(msgspec.json.encode(manifest))
    with pytest.raises(BundleError, match=rf"manifest\.json is damaged: .*{field}"):
        Bundle.load(copy)


def test_an_item_tower_replaced_after_loading_is_not_used(copy: Path) -> None:
    loaded = Bundle.load(copy)
    shutil.copy(copy / "request_tower.onnx", copy / "item_tower.onnx")
    with pytest.raises(BundleError, match=r"item_tower\.onnx is damaged"):
        _ = loaded.item_tower
    assert loaded.request_tower.embed(TEXTS[0]).shape == (DIMENSION,)


def test_every_damaged_file_is_named(copy: Path) -> None:
    for name in FILES[2:4]:
        damaged(copy, name)
    (copy / FILES[0]).unlink()
    with pytest.raises(BundleError, match=f"{FILES[0]} is missing.*{FILES[2]} is damaged.*{FILES[3]} is damaged"):
        Bundle.load(copy)


def test_another_format_with_other_fields_is_not_called_damaged(copy: Path) -> None:
    (copy / MANIFEST).write_bytes(b'{"format":"ctrlrec-bundle/2","new":1}')
    with pytest.raises(BundleError, match="is of format 'ctrlrec-bundle/2'"):
        Bundle.load(copy)
