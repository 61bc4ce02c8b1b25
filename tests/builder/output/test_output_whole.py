"""All of a data set is written or nothing, and never over anything else."""

from __future__ import annotations

import filecmp
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from spurbench.builder.output import Built, write
from spurbench.builder.output.whole import check_place
from spurbench.errors import DataError, SpurbenchError, UsageError

MakeBuilt = Callable[..., Built]


def page(built: Built) -> str:
    return f"<p>{built.title}</p>"


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_build_gives_the_same_bytes(make_built: MakeBuilt, tmp_path: Path) -> None:
    built = make_built()
    # One place on disk, as commands in the card name it.
    write(built, tmp_path / "out", report=page, forms=("huggingface", "webdataset"))
    first = files_in(tmp_path / "out")
    shuffled = replace(built, photos=built.photos.sample(frac=1, random_state=1))
    write(shuffled, tmp_path / "out", report=page, forms=("webdataset", "huggingface"), replace=True)
    second = files_in(tmp_path / "out")
    assert first.pop("manifest.parquet"), "whose rows are in the order of the table"
    second.pop("manifest.parquet")
    assert first == second
    assert first["report.html"].decode() == page(built)


def test_nothing_is_seen_before_it_is_whole(make_built: MakeBuilt, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    seen = []

    def look(built: Built) -> str:
        seen.append(out.exists())
        return ""

    write(make_built(), out, report=look, progress=lambda what, done, total: seen.append(out.exists()))
    assert len(seen) > 1
    assert not any(seen)
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    assert out.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("bug"), DataError("bad photo")])
@pytest.mark.parametrize("there", ["nothing", "an older one"])
def test_what_was_there_stays_when_anything_goes_wrong(
    make_built: MakeBuilt, tmp_path: Path, error: BaseException, there: str
) -> None:
    built, out = make_built(), tmp_path / "made" / "out"
    if there == "an older one":
        write(built, out, report=page)
    before = files_in(tmp_path / "made")

    def broken(built: Built) -> str:
        raise error

    with pytest.raises(type(error)):
        write(replace(built, title="newer"), out, report=broken, replace=True)
    assert files_in(tmp_path / "made") == before
    assert out.exists() == (there == "an older one")


def test_a_failing_rename_gives_the_older_one_back(
    make_built: MakeBuilt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built, out = make_built(), tmp_path / "made" / "out"
    write(built, out, report=page)
    before = files_in(tmp_path / "made")
    ordinary = Path.rename

    def refusing(self: Path, target: Any) -> Path:
        if self.suffix == ".part":
            raise OSError(28, "No space left on device")
        return ordinary(self, target)

    monkeypatch.setattr(Path, "rename", refusing)
    with pytest.raises(DataError, match="cannot be written: No space left on device"):
        write(replace(built, title="newer"), out, report=page, replace=True)
    assert files_in(tmp_path / "made") == before


def test_only_a_built_data_set_is_replaced(make_built: MakeBuilt, tmp_path: Path) -> None:
    built, out = make_built(), tmp_path / "out"
    out.mkdir()
    write(built, out, report=page)  # An empty folder is as good as none.
    with pytest.raises(UsageError, match="is not empty"):
        write(built, out, report=page)
    write(replace(built, title="newer"), out, report=page, replace=True)
    assert (out / "report.html").read_text() == "<p>newer</p>"
    (out / "build.json").write_text('{"schema_version": 1, "else": true}')
    with pytest.raises(UsageError, match="no data set that spurbench built"):
        write(built, out, report=page, replace=True)
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="no data set that spurbench built"):
        write(built, precious, report=page, replace=True)
    assert files_in(precious) == {"thesis.txt": b"years of work"}


def test_a_data_set_and_its_photos_lie_apart(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (tmp_path / "link").symlink_to(photos)
    (tmp_path / "file").write_text("")
    for out in (photos, photos / "out", tmp_path, tmp_path / "link" / "out"):
        with pytest.raises(UsageError, match="must lie apart"):
            check_place(photos, out, replace=True)
    with pytest.raises(UsageError, match="is a file"):
        check_place(photos, tmp_path / "file", replace=True)
    check_place(photos, tmp_path / "photos2", replace=False)


def test_the_photos_are_only_read(make_built: MakeBuilt, tmp_path: Path) -> None:
    built = make_built()
    before = {name: (content, (built.folder_of_photos / name).stat().st_mtime_ns) for name, content in
              files_in(built.folder_of_photos).items()}  # fmt: skip
    write(built, tmp_path / "out", report=page, link=True)
    write(built, tmp_path / "out", report=page, replace=True)
    after = {name: (content, (built.folder_of_photos / name).stat().st_mtime_ns) for name, content in
             files_in(built.folder_of_photos).items()}  # fmt: skip
    assert before == after


@pytest.mark.parametrize("link", [False, True])
def test_a_photo_that_changed_meanwhile_is_named(make_built: MakeBuilt, tmp_path: Path, link: bool) -> None:
    built = make_built()
    name = built.photos.loc[built.photos["split"] == "test", "path"].iloc[0]
    (built.folder_of_photos / name).write_bytes(b"another")
    with pytest.raises(DataError, match=f"{name} changed while"):
        write(built, tmp_path / "out", report=page, link=link)
    (built.folder_of_photos / name).unlink()
    with pytest.raises(DataError, match=f"{name} cannot be put .* No such file"):
        write(built, tmp_path / "out", report=page, link=link)
    assert not (tmp_path / "out").exists()


def test_no_photo_is_taken_from_elsewhere(make_built: MakeBuilt, tmp_path: Path) -> None:
    built = make_built()
    name = built.photos.loc[built.photos["split"] == "test", "path"].iloc[0]
    secret = tmp_path / "secret.jpg"
    (built.folder_of_photos / name).rename(secret)
    (built.folder_of_photos / name).symlink_to(secret)
    with pytest.raises(DataError, match="leads out of"):
        write(built, tmp_path / "out", report=page)
    photos = built.photos.assign(path=["../secret.jpg" if path == name else path for path in built.photos["path"]])
    with pytest.raises(SpurbenchError, match="leads out of"):
        write(replace(built, photos=photos), tmp_path / "out", report=page)


@pytest.mark.parametrize("possible", [True, False])
def test_links_where_the_file_system_has_them(
    make_built: MakeBuilt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, possible: bool
) -> None:
    built = make_built()

    def refusing(*args: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    if not possible:
        monkeypatch.setattr(os, "link", refusing)
    write(built, tmp_path / "out", report=page, link=True)
    source = built.photos.loc[built.photos["split"] == "test", "path"].iloc[0]
    copies = [path for path in (tmp_path / "out").rglob("*") if path.name == Path(source).name]
    same = [os.path.samefile(path, built.folder_of_photos / source) for path in copies]  # noqa: PTH121
    assert any(same) == possible
    assert any(filecmp.cmp(path, built.folder_of_photos / source, shallow=False) for path in copies)


def test_nothing_kept_is_still_a_record(make_built: MakeBuilt, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(make_built(kept=()), out, report=page, forms=("huggingface", "webdataset"))
    assert sorted(path.name for path in out.iterdir()) == [
        "README.md", "build.json", "card.yaml", "croissant.json", "label_names.txt", "manifest.parquet",
        "metadata.csv", "report.html",
    ]  # fmt: skip
    assert (out / "metadata.csv").read_text().count("\n") == 1
    assert "**No class was kept** of the 3" in (out / "README.md").read_text()


def test_what_killed_builds_left_is_removed_and_nothing_else(make_built: MakeBuilt, tmp_path: Path) -> None:
    place = tmp_path / "made"
    for name in (
        ".out.8llcqqws.part",
        ".out.abcd_123.former",
        ".out.x.8llcqqws.part",
        ".other.8llcqqws.part",
        ".out.part",
    ):
        (place / name / "0 crane").mkdir(parents=True)
    (place / ".out.notes_12.part").write_text("a file")
    write(make_built(), place / "out", report=page)
    kept = {"out", ".out.x.8llcqqws.part", ".other.8llcqqws.part", ".out.part", ".out.notes_12.part"}
    assert {path.name for path in place.iterdir()} == kept


def test_what_was_to_be_replaced_stays_until_something_is_in_its_place(make_built: MakeBuilt, tmp_path: Path) -> None:
    # As a kill between the two renames leaves it.
    former = tmp_path / "made" / ".out.8llcqqws.former"
    former.mkdir(parents=True)

    def broken(built: Built) -> str:
        raise DataError("bad photo")

    with pytest.raises(DataError, match="bad photo"):
        write(make_built(), tmp_path / "made" / "out", report=broken)
    assert list(former.parent.iterdir()) == [former]


def test_two_builds_to_one_place_do_not_meet(make_built: MakeBuilt, tmp_path: Path) -> None:
    place = tmp_path / "made"
    (place / ".out.8llcqqws.part").mkdir(parents=True)
    with FileLock(place / ".out.lock"), pytest.raises(UsageError, match="another build is writing to .*out; wait"):
        write(make_built(), place / "out", report=page)
    assert (place / ".out.8llcqqws.part").is_dir()
    assert not (place / "out").exists()


def test_a_place_that_can_never_be_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="file is a file; name another --out"):
        check_place(photos, tmp_path / "file" / "deep" / "out", replace=False)
    disk = tmp_path / "disk"
    disk.mkdir()
    monkeypatch.setattr(Path, "is_mount", lambda path: path == disk)
    with pytest.raises(UsageError, match="disk is mounted.*name a folder in it"):
        check_place(photos, disk, replace=False)
    # Whoever runs tests may be the one who can write everywhere.
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    with pytest.raises(UsageError, match="nothing can be written to"):
        check_place(photos, tmp_path / "new" / "out", replace=False)
