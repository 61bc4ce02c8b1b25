"""Photos in folders and listings of every known kind become one table, or one message says why not."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spurbench.builder.sources import read_photos
from spurbench.builder.table import READ
from spurbench.errors import DataError, UsageError

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Empty files below a folder: photos are not opened here."""

    def build(*paths: str) -> Path:
        folder = tmp_path / "photos"
        folder.mkdir(exist_ok=True)
        for path in paths:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).touch()
        return folder

    return build


@pytest.fixture
def listing(tmp_path: Path) -> Callable[..., Path]:
    def write(text: str, name: str = "list.csv") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def row(table: pd.DataFrame, path: str) -> Mapping[str, str]:
    return table.set_index("path").loc[path].to_dict()  # type: ignore[no-any-return]


def test_folders_are_classes_and_backgrounds_in_the_order_of_paths(make: Make) -> None:
    folder = make("b cat/lawn/2.JPG", "b cat/lawn/10.jpeg", "a_dog/x.png", "a_dog/sand/x.png", "a_dog/notes.txt")
    make(".hidden/a/b.jpg", "a_dog/sand/.x.jpg", "readme.md")
    table = read_photos(folder)
    assert tuple(table.columns) == READ
    assert table["path"].tolist() == ["a_dog/sand/x.png", "a_dog/x.png", "b cat/lawn/10.jpeg", "b cat/lawn/2.JPG"]
    assert table["photo_id"].tolist() == table["path"].tolist()
    assert table["label"].tolist() == ["a_dog", "a_dog", "b cat", "b cat"]
    assert table["background"].tolist() == ["sand", "", "lawn", "lawn"]
    assert (table[["observation", "photographer", "licence", "attribution", "source_url"]] == "").all(axis=None)


def test_a_listing_of_ones_own(make: Make, listing: Callable[..., Path]) -> None:
    folder = make("a/1.jpg", "a/2.jpg", "deep/er/still/3.jpg", "a/unlisted.jpg")
    path = listing(
        "\ufeffFile,Class,BACKGROUND,Photo_ID,observation_id,photographer,License,attribution,URL\n"
        'a\\2.jpg,Cat, lawn ,p2,o1,"Ann, B.",CC BY 4.0,"(c) Ann, some rights reserved",https://x.org/2\n\n'
        "./a/1.jpg,Dog,,p1,,,,,\n"
        "3.jpg,Dog,sand,p3,,,,,\n"
    )
    table = read_photos(folder, path)
    assert table["path"].tolist() == ["a/1.jpg", "a/2.jpg", "deep/er/still/3.jpg"]
    assert row(table, "a/2.jpg") == {
        "photo_id": "p2", "label": "Cat", "background": "lawn", "observation": "o1", "photographer": "Ann, B.",
        "licence": "CC BY 4.0", "attribution": "(c) Ann, some rights reserved", "source_url": "https://x.org/2",
    }  # fmt: skip
    assert row(table, "deep/er/still/3.jpg")["background"] == "sand"
    assert row(table, "a/1.jpg")["background"] == ""


def test_inaturalists_export_of_observations(make: Make, listing: Callable[..., Path]) -> None:
    """Files are called after the number in the address, whose own last part is a size."""
    folder = make("fox/snow/101.jpg", "fox/grass/102.jpeg", "fox/103.jpg")
    base = "https://inaturalist-open-data.s3.amazonaws.com/photos"
    path = listing(
        "id,user_login,license,image_url,scientific_name,common_name\n"
        f"7,ann,CC-BY-NC,{base}/101/medium.jpg,Vulpes vulpes,Red Fox\n"
        f"8,ben,,{base}/102/original.jpeg?1,Vulpes vulpes,Red Fox\n"
        f"8,ben,,https://static.inaturalist.org/photos/103/square.JPG,Vulpes lagopus,Arctic Fox\n"
    )
    table = read_photos(folder, path)
    assert table["photo_id"].tolist() == ["103", "102", "101"]
    assert table["label"].tolist() == ["Arctic Fox", "Red Fox", "Red Fox"]
    assert table["observation"].tolist() == ["8", "8", "7"]
    assert table["licence"].tolist() == ["", "", "CC-BY-NC"]
    assert table["photographer"].tolist() == ["ben", "ben", "ann"]
    assert row(table, "fox/snow/101.jpg")["source_url"] == f"{base}/101/medium.jpg"
    # The folder is not called as the class, so that what is below it may be anything.
    assert table["background"].tolist() == ["", "", ""]


def test_names_of_classes_come_from_the_one_column_that_has_them_all(make: Make, listing: Callable[..., Path]) -> None:
    folder = make("1.jpg", "2.jpg")
    rows = "id,user_login,image_url,common_name,scientific_name,file\n1,a,u,Fox,Vulpes,1.jpg\n2,a,u,{},Canis,2.jpg\n"
    assert read_photos(folder, listing(rows.format("Wolf")))["label"].tolist() == ["Fox", "Wolf"]
    assert read_photos(folder, listing(rows.format("")))["label"].tolist() == ["Vulpes", "Canis"]
    with pytest.raises(DataError, match="'label' is empty in 1 rows, first row 2"):
        read_photos(folder, listing("file,label\n1.jpg,Fox\n2.jpg,\n"))


def test_inaturalist_open_data_has_tabs_and_leaves_classes_to_folders(make: Make, listing: Callable[..., Path]) -> None:
    folder = make("fox/snow/11.jpg", "fox/grass/11.jpeg", "hen/grass/12.png")
    path = listing(
        "photo_uuid\tphoto_id\tobservation_uuid\tobserver_id\textension\tlicense\twidth\n"
        "u1\t11\to1\t5\tjpeg\tCC0\t1\n"
        'u"2\t12\to2\t6\tpng\tCC-BY\t1\n',
        "photos.csv",
    )
    table = read_photos(folder, path)
    assert table["path"].tolist() == ["fox/grass/11.jpeg", "hen/grass/12.png"]
    assert table["background"].tolist() == ["grass", "grass"]
    assert table["label"].tolist() == ["fox", "hen"]
    assert table["licence"].tolist() == ["CC0", "CC-BY"]
    assert table["source_url"].tolist()[0] == "https://www.inaturalist.org/photos/11"
    text = path.read_text().replace("\tjpeg\t", "\twebp\t")
    with pytest.raises(DataError, match=r"fox/grass/11\.jpeg, fox/snow/11\.jpg; add a column `file`"):
        read_photos(folder, listing(text))


def test_gbif_with_quotation_marks_in_its_cells(make: Make, listing: Callable[..., Path]) -> None:
    folder = make("down/abc d.jpg", "down/55.jpeg")
    path = listing(
        "gbifID\tidentifier\tcreator\tlicense\trightsHolder\tspecies\tvernacularName\n"
        '1\thttps://museum.org/abc%20d.jpg\tJ. "Jo" Roe\thttp://creativecommons.org/licenses/by/4.0/\tMuseum\tA b\t\n'
        "1\thttps://inaturalist-open-data.s3.amazonaws.com/photos/55/original.jpg\tB\t\tB\tC d\t\n",
        "multimedia.txt",
    )
    table = read_photos(folder, path)
    first = row(table, "down/abc d.jpg")
    assert (first["photographer"], first["attribution"]) == ('J. "Jo" Roe', "Museum")
    assert first["licence"] == "http://creativecommons.org/licenses/by/4.0/"
    assert first["photo_id"] == "down/abc d.jpg"
    assert row(table, "down/55.jpeg")["photo_id"] == "55"
    assert table["label"].tolist() == ["C d", "A b"]
    assert table["observation"].tolist() == ["1", "1"]


def test_photos_are_found_by_number_or_else_by_address(make: Make, listing: Callable[..., Path]) -> None:
    folder = make("7.jpg", "b.jpg", "medium.jpg")
    path = listing(
        "photo_id,url,label\n7,https://x.org/b.jpg,x\n8,https://x.org/b.jpg?size=large,x\n9,http://[::1,x\n"
        ",https://www.inaturalist.org/photos/10/medium.jpg,x\n,no address,x\n"
    )
    table = read_photos(folder, path)
    assert table[["path", "photo_id"]].to_numpy().tolist() == [["7.jpg", "7"], ["b.jpg", "8"]]


def test_gbif_with_photos_and_occurrences_in_two_sheets(make: Make, listing: Callable[..., Path]) -> None:
    folder = make("1.jpg", "2.jpg", "3.jpg")
    photos = listing(
        "gbifID\tidentifier\tlicense\n5\thttp://x.org/1.jpg\tCC0\n5\thttp://x.org/2.jpg\t\n6\thttp://x.org/3.jpg\t\n",
        "multimedia.txt",
    )
    with pytest.raises(DataError, match="no column names classes"):
        read_photos(folder, photos)
    occurrences = "gbifID\tidentifier\tspecies\tscientificName\n6\tx\t\tB b L.\n5\ty\tA a\tA a L.\n"
    listing(occurrences, "occurrence.txt")
    assert read_photos(folder, photos)["label"].tolist() == ["A a L.", "A a L.", "B b L."]
    listing(occurrences.replace("\n6", "\n7"), "occurrence.txt")
    with pytest.raises(DataError, match=r"occurrence\.txt: lacks 1 of the observations that photos are of, first 6"):
        read_photos(folder, photos)
    listing("gbifID\tidentifier\n5\tx\n", "occurrence.txt")
    with pytest.raises(DataError, match=r"occurrence\.txt: has no column .* that names their classes"):
        read_photos(folder, photos)


def test_parquet_with_numbers_and_gaps(make: Make, tmp_path: Path) -> None:
    folder = make("cat/lawn/1.jpg", "cat/lawn/2.jpg")
    path = tmp_path / "list.parquet"
    columns = {"photo_id": [2, 1], "label": pa.array(["cat", "cat"]).dictionary_encode(), "observation": [7.0, None]}
    pq.write_table(pa.table(columns), path)
    table = read_photos(folder, path)
    assert table["photo_id"].tolist() == ["1", "2"]
    assert table["observation"].tolist() == ["", "7"]
    # Said by the folders, since the folder is the class.
    assert table["background"].tolist() == ["lawn", "lawn"]


def test_some_listed_photos_may_be_absent_but_not_all(
    make: Make, listing: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    folder = make("a/1.jpg")
    table = read_photos(folder, listing("file,label\na/1.jpg,x\na/2.jpg,x\nb/3.jpg,y\n"))
    assert table["path"].tolist() == ["a/1.jpg"]
    assert "2 of 3 photos that it lists are not in the folder: a/2.jpg, b/3.jpg; they are left out" in caplog.text
    with pytest.raises(DataError, match=r"list\.csv: 1 of 1 photos that it lists are not in the folder: a/2\.jpg"):
        read_photos(folder, listing("file,label\na/2.jpg,x\n"))


LISTINGS = {
    "": "is empty",
    "file,label\n": "has a header and no rows",
    "file,label\na/1.jpg\n": "line 2 has 1 cells where the header has 2",
    "file,label\na/1.jpg,x\na/1.jpg,x,y\n": "line 3 has 3 cells where the header has 2",
    'file,label\n"a/1.jpg,x\n': "cannot be read as a sheet: unexpected end of data",
    "name,kind\na,b\n": "no column says which photo a row is: file, photo_id or url; found name, kind",
    "file,File,label\na/1.jpg,,x\n": "has 2 columns called 'file'; leave one",
    "file,label\na/1.jpg,x\na\\1.jpg,y\n": r"1 files are listed more than once, first a/1.jpg",
    "file,label,photo_id\na/1.jpg,x,7\na/b/2.jpg,x,7\n": "1 photo ids stand more than once, first 7",
    "file,label\n../a/1.jpg,x\n": "the file '../a/1.jpg' leads out of the folder",
    "file,label\n/etc/1.jpg,x\n": "the file '/etc/1.jpg' leads out of the folder",
    "file,label\nC:\\a\\1.jpg,x\n": "leads out of the folder",
    "file\nroot.jpg\n": "no column names classes (label, class or species), and root.jpg lies in no class's folder",
    "file,label\na/1.jpg,x/y\n": "the label 'x/y' cannot be a folder's name",
    "file,label\na/1.jpg,..\n": "the label '..' cannot be a folder's name",
    "file,label\na/1.jpg,=cmd()\n": "the label '=cmd()' cannot be a folder's name",
    "file,label,background\na/1.jpg,x,@SUM(1)\n": "the background '@SUM(1)' cannot be a folder's name",
    "file,label,background\na/1.jpg,x,a\x1bb\n": "the background 'a\\x1bb' cannot be a folder's name",
    "file,label\na/1.jpg,Red fox\na/b/2.jpg,red_Fox\n": "the classes 'Red fox' and 'red_Fox' differ in case",
    "file,label\nsame.jpg,x\n": "may be any of a/same.jpg, b/same.jpg",
}


@pytest.mark.parametrize(("text", "message"), LISTINGS.items(), ids=LISTINGS.values())
def test_a_listing_that_does_not_fit_is_told_in_one_message(
    make: Make, listing: Callable[..., Path], text: str, message: str
) -> None:
    folder = make("a/1.jpg", "a/b/2.jpg", "root.jpg", "a/same.jpg", "b/same.jpg")
    with pytest.raises(DataError, match=re.escape(message)) as raised:
        read_photos(folder, listing(text))
    assert str(raised.value).count("list.csv") == ("cannot be a folder" not in message and "classes '" not in message)


@settings(max_examples=15)
@given(st.permutations([f"c{k % 3}/b{k % 2}/{k}.jpg" for k in range(6)]), st.sampled_from("\t,;"))
def test_the_order_of_rows_and_what_separates_cells_do_not_matter(
    tmp_path_factory: pytest.TempPathFactory, paths: list[str], mark: str
) -> None:
    folder = tmp_path_factory.mktemp("photos")
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()
    (folder / "list.csv").write_text("\n".join([f"url{mark}file", *(f"u{path[-5]}{mark}{path}" for path in paths)]))
    listed = read_photos(folder, folder / "list.csv")
    assert listed["source_url"].tolist() == [f"u{path[-5]}" for path in sorted(paths)]
    pd.testing.assert_frame_equal(listed.assign(source_url=""), read_photos(folder))


@pytest.mark.parametrize("name", ["list.csv", "list.parquet"])
def test_a_listing_of_bytes(make: Make, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes("file,label\na/1.jpg,B\xe4r\n".encode("latin-1"))
    with pytest.raises(DataError, match=rf"{name}: (is not UTF-8|cannot be read)"):
        read_photos(make("a/1.jpg"), tmp_path / name)


def test_parquet_whose_cells_are_no_text(make: Make, tmp_path: Path) -> None:
    pq.write_table(pa.table({"file": [["a/1.jpg"]], "label": ["x"]}), tmp_path / "list.parquet")
    with pytest.raises(DataError, match=r"list\.parquet: cannot be read as a sheet"):
        read_photos(make("a/1.jpg"), tmp_path / "list.parquet")


FOLDERS = {
    ("a/x.txt",): "no photos; put them in as class/background/*.jpg",
    ("1.jpg", "2.jpg"): "2 photos lie beside the folders, first 1.jpg; there are no class folders",
    ("1.jpg", "a/b/2.jpg"): "1 photos lie beside the folders, first 1.jpg; photos must lie in a class's folder",
    ("a/b/c/1.jpg", "a/b/2.jpg"): "1 photos lie too deep, first a/b/c/1.jpg",
    ("Red Fox/b/1.jpg", "red-fox/b/1.jpg"): "the classes 'Red Fox' and 'red-fox' differ in case, spaces, _ or - only",
    ("a/b\nc/1.jpg",): "the background 'b\\nc' cannot be a folder's name",
}


@pytest.mark.parametrize(("paths", "message"), FOLDERS.items(), ids=FOLDERS.values())
def test_folders_that_do_not_fit_are_told_in_one_message(make: Make, paths: tuple[str, ...], message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        read_photos(make(*paths))


def test_what_is_not_there(make: Make, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder"):
        read_photos(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="no file"):
        read_photos(make("a/b/1.jpg"), tmp_path / "nothing.csv")


LINKS = {
    "a/loop": (".", "in a circle"),
    "a/b/up": ("../..", "in a circle"),
    "a/self": ("self", "nowhere or in a circle"),
    "a/gone.jpg": ("nothing.jpg", "nowhere or in a circle"),
    "a/again": ("b", "to photos that are there already"),
    "a/out": ("../..", "out of the folder"),
    "a/out.jpg": ("../../secret.jpg", "out of the folder"),
}


@pytest.mark.parametrize(("link", "target"), [(link, target) for link, (target, _) in LINKS.items()])
def test_links_that_lead_out_or_round_are_refused(make: Make, tmp_path: Path, link: str, target: str) -> None:
    (tmp_path / "secret.jpg").touch()
    folder = make("a/b/1.jpg")
    (folder / link).symlink_to(target)
    with pytest.raises(DataError, match=re.escape(link) + " is a link that leads.*" + LINKS[link][1]):
        read_photos(folder)


def test_links_between_photos_of_the_folder_and_to_the_folder_itself(make: Make, tmp_path: Path) -> None:
    folder = make("a/b/1.jpg")
    (folder / "a/b/2.jpg").symlink_to("1.jpg")
    (tmp_path / "elsewhere").symlink_to(folder)
    assert read_photos(tmp_path / "elsewhere")["path"].tolist() == ["a/b/1.jpg", "a/b/2.jpg"]


def test_names_that_are_no_unicode(make: Make) -> None:
    folder = make("a/b/1.jpg")
    (folder / os.fsdecode(b"a/b/\xe4.jpg")).touch()
    with pytest.raises(DataError, match="is not valid Unicode; rename it"):
        read_photos(folder)
