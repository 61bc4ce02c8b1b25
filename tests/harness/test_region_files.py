"""Boxes from files: the same from every form, and one message for each way in which a file can be wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spurbench.errors import DataError, UsageError
from spurbench.regions.files import read_boxes

IDS = ["a/1.jpg", "a/2.jpg", "b,3.jpg"]
CSV = 'id,left,top,right,bottom\na/1.jpg,0,0,10,20\n"b,3.jpg",1.5,2,30,4e1\na/1.jpg,5,5,6,6\n'
JSON = {"a/1.jpg": [[0, 0, 10, 20], [5, 5, 6, 6]], "b,3.jpg": [[1.5, 2, 30, 40.0]]}
EXPECTED = [[(0, 0, 10, 20), (5, 5, 6, 6)], [], [(1.5, 2, 30, 40)]]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("boxes.csv", CSV),
        ("boxes.CSV", "\ufeff" + CSV.replace("\n", "\r\n")),
        ("boxes.csv", 'label,bottom,right,top,left,id\nx,20,10,0,0,a/1.jpg\nx,40,30,2,1.5,"b,3.jpg"\n,6,6,5,5,a/1.jpg'),
        ("boxes.json", json.dumps(JSON)),
        ("boxes.jsonl", "\n".join(json.dumps({name: boxes}) for name, boxes in JSON.items()) + "\n\n"),
        ("boxes.jsonl", '{"a/1.jpg": [[0,0,10,20]]}\n{"b,3.jpg": [[1.5,2,30,40]], "a/1.jpg": [[5,5,6,6]]}'),
        ("boxes.json", '{"a/1.jpg": [[0,0,10,20]], "b,3.jpg": [[1.5,2,30,40]], "a/2.jpg": [], "a/1.jpg": [[5,5,6,6]]}'),
    ],
)  # fmt: skip
def test_files_of_every_form_say_the_same(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8", newline="")
    found, content = read_boxes(path, IDS)
    assert [[corners for _, corners, _ in some] for some in found] == EXPECTED
    assert [[name for name, _, _ in some] for some in found] == [["a/1.jpg"] * 2, [], ["b,3.jpg"]]
    assert content == path.read_bytes()


HEADER = "id,left,top,right,bottom\n"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("x.csv", HEADER + "a/1.jpg,0,0,1,1\nc,0,0,1,1\nd,0,0,1,1\ne,0,0,1,1\nf,0,0,1,1\n",
         "boxes of 4 images that the data set does not have: 'c', 'd', 'e', ...; ids look like 'a/1.jpg'"),
        ("x.csv", HEADER, "there is not one box in it"),
        ("x.csv", "", "lacks id, left, top, right, bottom; it has the columns none"),
        ("x.csv", "id,left,top,width,height\n", "lacks right, bottom; it has the columns id, left, top, width, height"),
        ("x.csv", HEADER + "a/1.jpg,0,0,1,1\na/1.jpg,0,0,nan,1\n", "line 3: the box 0, 0, nan, 1 is not finite"),
        ("x.csv", HEADER + "a/1.jpg,0,0,1e999,1\n", "line 2: the box 0, 0, inf, 1 is not finite"),
        ("x.csv", HEADER + "a/1.jpg,5,0,5,1\n", "line 2: the box 5, 0, 5, 1 is empty"),
        ("x.csv", HEADER + "a/1.jpg,0,7,5,1\n", "line 2: the box 0, 7, 5, 1 is empty"),
        ("x.csv", HEADER + "a/1.jpg,0,0,one,1\n", "line 2: a box is four numbers, not '0', '0', 'one', '1'"),
        ("x.csv", HEADER + "a/1.jpg,0,0\n", "line 2: a box is four numbers, not '0', '0', None, None"),
        ("x.csv", HEADER + '"a/1.jpg,0,0,1,1\n', "not CSV"),
        ("x.json", "{", "not JSON"),
        ("x.json", "[" * 100_000, "not JSON"),
        ("x.json", "[]", "must be an object that gives a list of boxes by id, not list []"),
        ("x.json", '{"a/1.jpg": {"x": 1}}', "'a/1.jpg': must be a list of [left, top, right, bottom]"),
        ("x.json", '{"a/1.jpg": [0, 0, 1, 1]}', "'a/1.jpg', box 1: a box is [left, top, right, bottom], not int 0"),
        ("x.json", '{"a/1.jpg": [[0, 0, 1, 1], [0, 0, 1]]}', "'a/1.jpg', box 2: a box is"),
        ("x.json", '{"a/1.jpg": [[0, 0, NaN, 1]]}', "box 1: the box 0, 0, nan, 1 is not finite"),
        ("x.json", '{"a/1.jpg": [[0, 0, true, 1]]}', "four numbers, not 0, 0, True, 1"),
        ("x.json", '{"a/1.jpg": [[0, 0, 1%s, 1]]}' % ("0" * 400), "four numbers"),
        ("x.json", '{"a/1.jpg": []}', "there is not one box"),
        ("x.json", json.dumps({"a/1.jpg": [[0, 0, 1, 1]] * 301}), "'a/1.jpg' has 301 boxes; a photo may"),
        ("x.jsonl", '{"a/1.jpg": [[0,0,1,1]]}\nnull\n', "line 2, must be an object"),
        ("x.jsonl", '{"a/1.jpg": [[0,0,1,1]]}\n{"a/1.jpg": [[3,0,1,1]]}', "line 2, 'a/1.jpg', box 1: the box 3, 0"),
    ],
)  # fmt: skip
def test_broken_files_are_one_message_with_the_place(tmp_path: Path, name: str, text: str, said: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        read_boxes(path, IDS)
    assert str(caught.value).startswith(f"{path}: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < len(str(path)) + 400


def test_files_that_are_not_there_or_of_another_kind_are_wrong_calls(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no file .*x\.csv to read boxes from"):
        read_boxes(tmp_path / "x.csv", IDS)
    (tmp_path / "x.pkl").write_bytes(b"")
    with pytest.raises(UsageError, match=r"read from \.csv, \.json, \.jsonl files"):
        read_boxes(tmp_path / "x.pkl", IDS)
    (tmp_path / "y.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match=r"y\.csv cannot be read"):
        read_boxes(tmp_path / "y.csv", IDS)
