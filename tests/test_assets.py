"""External files come in whole, checked, and with a sentence where they cannot."""

import dataclasses
import hashlib
import io
import os
import tarfile
import zipfile

import pytest

from mpt import assets
from mpt.errors import InputError

CONTENT = b"weights" * 100


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A small wheel with one file, registered as the only asset; an empty cache; pip without a network."""
    file = assets.AssetFile("some/net.tflite", hashlib.sha256(CONTENT).hexdigest())
    monkeypatch.setattr(assets, "ASSETS", {"net": assets.Asset("net", "a net", "CC0", (file,))})
    monkeypatch.setenv("MPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    path = tmp_path / "some.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("some/net.tflite", CONTENT)
    return path


def test_a_wheel_got_by_hand_fills_the_cache(wheel):
    assert not assets.status()[0].present
    assert assets.add(wheel) == ["net"]
    assert assets.status()[0].present
    assert (assets.get("net") / "net.tflite").read_bytes() == CONTENT
    assert os.listdir(assets.cache_dir() / "net") == ["net.tflite"]


@pytest.mark.parametrize("damaged", [CONTENT[:100], CONTENT + b"more", b""])
def test_a_damaged_cache_is_filled_again(wheel, damaged, monkeypatch):
    assets.add(wheel)
    file = assets.cache_dir() / "net" / "net.tflite"
    file.write_bytes(damaged)
    monkeypatch.setattr(assets, "_download", lambda asset, folder: wheel)
    assert (assets.get("net") / "net.tflite").read_bytes() == CONTENT


def test_offline_the_sentence_says_how_to_get_it_by_hand(wheel):
    with pytest.raises(InputError) as refusal:
        assets.get("net")
    sentence = str(refusal.value)
    assert "python -m pip download --no-deps --only-binary=:all: --python-version 3.11" in sentence
    assert "mediapipe==0.10.21" in sentence and f"mpt assets add {assets.WHEEL}" in sentence
    assert "\n" not in sentence


def test_a_wheel_with_other_contents_is_refused_and_changes_nothing(wheel):
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("some/net.tflite", b"other")
    with pytest.raises(InputError, match=r"holds another net\.tflite"):
        assets.add(wheel)
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("readme", b"")
    with pytest.raises(InputError, match=r"has no file some/net\.tflite"):
        assets.add(wheel)
    assert not assets.cache_dir().exists()


def test_what_is_no_wheel_is_refused(wheel, tmp_path):
    wheel.write_bytes(wheel.read_bytes()[:50])
    for path, sentence in (
        (wheel, "is no wheel"),
        (tmp_path, "is no wheel"),
        (tmp_path / "x", "does not exist"),
    ):
        with pytest.raises(InputError, match=sentence):
            assets.add(path)


@pytest.fixture
def tarball(tmp_path, monkeypatch):
    """A registry of npm in a folder, with a tarball of one file, registered as the only asset."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        entry = tarfile.TarInfo("package/net.tflite")
        entry.size = len(CONTENT)
        archive.addfile(entry, io.BytesIO(CONTENT))
    path = tmp_path / "registry" / "@mediapipe" / "pose" / "-" / assets.TARBALL
    path.parent.mkdir(parents=True)
    path.write_bytes(content.getvalue())
    package = dataclasses.replace(assets.NPM_PACKAGE, sha256=hashlib.sha256(content.getvalue()).hexdigest())
    monkeypatch.setattr(assets, "NPM_PACKAGE", package)
    file = assets.AssetFile("package/net.tflite", hashlib.sha256(CONTENT).hexdigest())
    monkeypatch.setattr(assets, "ASSETS", {"net": assets.Asset("net", "a net", "CC0", (file,), package)})
    monkeypatch.setenv("MPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", (tmp_path / "registry").as_uri())
    return path


def test_a_tarball_is_fetched_from_the_registry_or_added_by_hand(tarball):
    assert (assets.get("net") / "net.tflite").read_bytes() == CONTENT
    (assets.cache_dir() / "net" / "net.tflite").unlink()
    assert assets.add(tarball) == ["net"] and assets.status()[0].present


def test_what_the_registry_lacks_or_changed_is_said(tarball):
    changed = tarball.read_bytes()[:60]
    tarball.write_bytes(changed)
    with pytest.raises(InputError, match=r"not the published pose-0\.5\.1675469404\.tgz"):
        assets.get("net")
    with pytest.raises(InputError, match="is no wheel and no tarball, or a broken one"):
        assets.add(tarball)
    tarball.unlink()
    with pytest.raises(InputError) as refusal:
        assets.get("net")
    sentence = str(refusal.value)
    assert "could not be fetched from npm's registry" in sentence and "\n" not in sentence
    assert assets.npm_address() in sentence and f"mpt assets add {assets.TARBALL}" in sentence
    assert not assets.cache_dir().exists()


def test_an_unwritable_cache_is_said(wheel, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MPT_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(InputError, match=r"cannot be written .* set MPT_CACHE"):
        assets.add(wheel)
