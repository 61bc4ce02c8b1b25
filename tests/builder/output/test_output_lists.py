"""The lists have every photo once, the record counts them, and `folder:DIR` reads what was written."""

from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from spurbench.builder.output import Built, write
from spurbench.builder.output import record as module
from spurbench.builder.output.manifest import COLUMNS, LOOKED_AT
from spurbench.builder.output.record import BuildRecord, read_build
from spurbench.errors import DataError
from spurbench.images import open_rgb
from spurbench.record import json_schema
from spurbench.render.build_page import to_html
from spurbench_datasets.folder import Folder

MakeBuilt = Callable[..., Built]
SCHEMA = Path(module.__file__).with_name("build.schema.json")


def made(built: Built, out: Path) -> Path:
    write(built, out, report=lambda built: "")
    return out


def test_metadata_has_the_photos_of_the_data_set(make_built: MakeBuilt, tmp_path: Path) -> None:
    built = make_built()
    out = made(built, tmp_path / "out")
    table: Any = pd.read_csv(out / "metadata.csv", keep_default_na=False)
    assert tuple(table.columns) == COLUMNS
    used: Any = built.photos[built.photos["split"] != ""].set_index("photo_id")
    assert set(table["photo_id"]) == set(used.index)
    for row in table.itertuples():
        source = used.loc[row.photo_id]
        assert hashlib.sha256((out / row.file_name).read_bytes()).hexdigest() == source.sha256 == row.sha256
        assert (row.attribute, row.split, row.half, row.background) == (
            source.group, source.split, source.half, source.background,
        )  # fmt: skip
        assert row.correct == source.correct
        assert row.class_idx == built.instrument.labels.index(source.label)
        assert (row.licence, row.attribution, row.photographer) == (
            source.licence, source.attribution, source.photographer,
        )  # fmt: skip


@pytest.mark.parametrize("text", ["=cmd()|' /C calc'!A1", "+1", "-1+1", "@SUM(1)", "\t=1", "\r=1"])
def test_no_spreadsheet_runs_what_others_wrote(make_built: MakeBuilt, tmp_path: Path, text: str) -> None:
    built = make_built()
    columns = ("observation", "photographer", "licence", "attribution", "source_url")
    out = made(replace(built, photos=built.photos.assign(**dict.fromkeys(columns, text))), tmp_path / "out")
    with (out / "metadata.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream))
    assert any(text.lstrip("\r") in cell for row in rows for cell in row), "it is still there to be read"
    assert not [cell for row in rows for cell in row if cell[:1] in set("=+-@\t\r")]
    assert set(pd.read_parquet(out / "manifest.parquet")["attribution"]) == {text}, "as it was written"


def test_the_manifest_has_every_photo_that_was_looked_at(make_built: MakeBuilt, tmp_path: Path) -> None:
    built = make_built()
    out = made(built, tmp_path / "out")
    table = pd.read_parquet(out / "manifest.parquet")
    assert tuple(table.columns) == LOOKED_AT
    assert table["path"].tolist() == built.photos["path"].tolist()
    assert table["status"].tolist() == built.photos["status"].tolist()
    assert table["twin"].tolist() == built.photos["twin"].tolist()
    listed = set(pd.read_csv(out / "metadata.csv")["file_name"])
    assert set(table["file_name"]) - {""} == listed
    assert ((table["file_name"] != "") == (built.photos["split"] != "")).all()
    assert table["correct"].isna().tolist() == (built.photos["status"] != "").tolist()


def test_the_folder_is_a_data_set_to_run_on(make_built: MakeBuilt, tmp_path: Path) -> None:
    names = ("bear", "crane, a wader", "heron", "rock-dove")
    built = make_built()
    built = replace(built, instrument=replace(built.instrument, names=names))
    out = made(built, tmp_path / "out")
    data = Folder(str(out))
    assert data.card.classes == ("crane, a wader", "rock dove")
    assert data.card.attributes == ("easy", "hard")
    headline = data.card.prompt_set(None)
    assert headline.templates == built.instrument.templates
    assert headline.class_names == ("crane, a wader", "rock-dove"), "said as the instrument says them"
    examples = data.load(tmp_path)
    photos: Any = built.photos
    expected = Counter(
        (row.split, built.instrument.labels.index(row.label), row.group) for row in photos.itertuples() if row.split
    )
    for split in ("train", "val", "test"):
        counts = [expected[split, place, group] for place in (1, 3) for group in ("easy", "hard")]
        assert examples.group_totals(split) == counts


def test_photos_that_were_cut_short_can_be_run_on(make_built: MakeBuilt, tmp_path: Path) -> None:
    built = make_built(suffixes=(".jpg",))
    row = built.photos.index[built.photos["split"] == "test"][0]
    path = built.folder_of_photos / str(built.photos.loc[row, "path"])
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(DataError):
        open_rgb(path)
    photos = built.photos.copy()
    photos.loc[row, "sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    photos.loc[row, "truncated"] = True
    out = made(replace(built, photos=photos), tmp_path / "out")
    examples = Folder(str(out)).load(tmp_path)
    assert examples.photos is not None
    assert all(image.size == (48, 36) for image in examples.photos.open(range(len(examples))))
    assert read_build(out / "build.json").counts.truncated == 1
    assert "1 photos here are incomplete" in (out / "README.md").read_text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("truncated: hidden", "'truncated' can only be 'shown'"),
        ("class_names: [a]", "must map each class to how prompts say it"),
        ("class_names: {heron: x}", "every class and no other; see '"),
        ("class_names: {'crane, wader': x, 'rock/dove': 3}", "must be text, not 3"),
    ],
)
def test_a_card_that_makes_no_sense_is_refused(make_built: MakeBuilt, tmp_path: Path, text: str, message: str) -> None:
    out = made(make_built(), tmp_path / "out")
    (out / "card.yaml").write_text(text)
    with pytest.raises(DataError, match=f"card.yaml: .*{message}"):
        Folder(str(out))


def test_the_record_is_what_was_found(make_built: MakeBuilt, tmp_path: Path) -> None:
    built = make_built()
    out = made(built, tmp_path / "out")
    record = read_build(out / "build.json")
    assert record.found == built.found
    assert record.instrument == built.instrument
    assert (record.title, record.command, record.seed) == (built.title, built.command, built.seed)
    assert record.software == dict(built.software)
    assert record.metadata_sha256 == hashlib.sha256((out / "metadata.csv").read_bytes()).hexdigest()
    photos, counts = built.photos, record.counts
    assert counts.looked_at == len(photos)
    assert counts.kept == (photos["status"] == "").sum()
    assert {k: v for k, v in counts.left_out.items() if v} == Counter(s for s in photos["status"] if s)
    assert counts.in_data_set == (photos["split"] != "").sum()
    assert sum(counts.licences.values()) == counts.in_data_set
    assert counts.licences["none given"] == ((photos["split"] != "") & (photos["licence"] == "")).sum()
    assert counts.splits["test"]["hard"] == ((photos["split"] == "test") & (photos["group"] == "hard")).sum()


def test_the_committed_schema_is_that_of_the_model() -> None:
    assert SCHEMA.read_text() == json_schema(BuildRecord)
    schema = json.loads(SCHEMA.read_text())
    objects = [schema, *schema["$defs"].values()]
    assert all(part["additionalProperties"] is False for part in objects if "properties" in part)


def spoiled(content: dict[str, Any], where: tuple[str, ...], value: object) -> str:
    part = content
    for key in where[:-1]:
        part = part[key]
    part[where[-1]] = value
    return json.dumps(content)


SPOILED: tuple[tuple[tuple[str, ...], object], ...] = (
    (("extra",), 1),
    (("found", "rule", "extra"), 1),
    (("found", "drop", "low"), float("nan")),
    (("counts", "kept"), 1),
    (("counts", "left_out", "tiny"), -1),
    (("schema_version",), 2),
    (("metadata_sha256",), "ab"),
)


def test_a_record_that_is_none_is_refused(make_built: MakeBuilt, tmp_path: Path) -> None:
    path = made(make_built(), tmp_path / "out") / "build.json"
    whole = path.read_text()
    for where, value in SPOILED:
        path.write_text(spoiled(json.loads(whole), where, value))
        with pytest.raises(DataError, match=f"is no record of a built data set: {where[0]}"):
            read_build(path)


def test_a_record_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="build.json cannot be read"):
        read_build(tmp_path / "build.json")
    (tmp_path / "build.json").write_bytes(b"\xff{")
    with pytest.raises(DataError, match="is no record"):
        read_build(tmp_path / "build.json")


def test_the_published_rule_is_recorded(make_built: MakeBuilt, world: Any, tmp_path: Path) -> None:
    built = make_built(rule=replace(world.rule, published=True))
    record = read_build(made(built, tmp_path / "out") / "build.json")
    assert asdict(record.found) == asdict(built.found)
    assert record.found.drop is None
    assert record.found.drop_found is not None


def test_the_card_is_yaml_whatever_names_hold(make_built: MakeBuilt, tmp_path: Path) -> None:
    title = "---\nlicense: mit\n# {evil}: [x"
    names = ("bear", "!!python/object:os.system", "heron", "- no: & yes")
    built = make_built(title=title)
    out = made(replace(built, instrument=replace(built.instrument, names=names)), tmp_path / "out")
    card = yaml.safe_load((out / "card.yaml").read_text())
    assert card["title"] == " ".join(title.split())
    assert list(card["class_names"]) == [names[1], names[3]]
    assert Folder(str(out)).card.title == " ".join(title.split())


def test_a_supervised_instrument_asks_in_no_prompt(make_built: MakeBuilt, tmp_path: Path) -> None:
    built = make_built()
    built = replace(built, instrument=replace(built.instrument, templates=()))
    out = tmp_path / "out"
    write(built, out, report=to_html, forms=["webdataset"])
    assert [prompts.name for prompts in Folder(str(out)).card.prompts] == ["photo"]
    assert "its own classifier" in (out / "report.html").read_text()
    assert "- templates: none, it has a classifier of its own" in (out / "README.md").read_text()
    asked = out / "webdataset" / "easy" / "zeroshot_classification_templates.txt"
    assert asked.read_text() == "a photo of a {c}.\n"
