"""JSON is read as editors and shells write it, wherever it is read."""

import json
from pathlib import Path

import pytest

from mpt.datasets import files
from mpt.errors import InputError
from mpt.json_files import read_json

CONTENT = [{"image_id": "caf\u00e9.png", "keypoints": [1.5, None]}]


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
)  # utf-16 is what PowerShell's > writes, utf-8-sig what Notepad and Out-File write
@pytest.mark.parametrize("read", [read_json, files.read_json])
def test_every_encoding_is_read(read, encoding, tmp_path):
    path = tmp_path / "some.json"
    path.write_bytes((json.dumps(CONTENT, ensure_ascii=False) + "\r\n").encode(encoding))
    assert read(path) == CONTENT


@pytest.mark.parametrize(
    "content", [b"", b"\xef\xbb\xbf", b"\xff\xfe", b"[1, 2", b"\xff\xfe[\x00", b"\x80\x81", b"[" * 100_000]
)
def test_what_is_no_json_is_told_by_one_error(content, tmp_path):
    path: Path = tmp_path / "some.json"
    path.write_bytes(content)
    with pytest.raises(ValueError):
        read_json(path)
    with pytest.raises(InputError, match=r"some\.json: is no whole JSON file"):
        files.read_json(path)
