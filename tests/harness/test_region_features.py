"""Features of regions, from the data set to what a method sees, with a tower whose answer anyone can compute."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from open_clip.transform import image_transform
from PIL import Image

from spurbench.backbones import Tower
from spurbench.cards import BackboneCard, DatasetCard, MethodCard
from spurbench.data import Examples, Places
from spurbench.encode import Speed
from spurbench.errors import DataError, UsageError, WeightsError
from spurbench.executors.inline import InlineExecutor
from spurbench.features import FeatureStore
from spurbench.files import HashCache, digest
from spurbench.jobs import Event, Finished, Job, Note, Stage
from spurbench.keys import LoadedData, impossible_reason, key_parts
from spurbench.plan import Cell, Plan, Row
from spurbench.regions import cells, parse
from spurbench.regions.features import RegionFeatures, region_key
from spurbench.regions.proposals import FILE
from spurbench.regions.source import open_source
from spurbench.registry import Registries, Registry
from spurbench.rules import load_rules
from spurbench.work import expected_work

N = 40
SIDE = 32
NAN = np.float32("nan")
RULES = load_rules("quick")


class Photos:
    """Photos of noise in three sizes; `opened` says which were."""

    at_once = 1

    def __init__(self, n: int = N) -> None:
        self.n, self.opened, self.most = n, [], 10**9

    def __len__(self) -> int:
        return self.n

    def size(self, row: int) -> tuple[int, int]:
        return ((48, 32), (30, 30), (40, 64))[row % 3]

    def open(self, rows: Sequence[int]) -> list[Image.Image]:
        if len(self.opened) + len(rows) > self.most:
            raise KeyboardInterrupt
        self.opened += rows
        return [self._one(row) for row in rows]

    def _one(self, row: int) -> Image.Image:
        width, height = self.size(row)
        pixels = np.random.default_rng(row).integers(0, 256, (2, 2, 3), dtype=np.uint8)
        return Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)

    def fingerprint(self, ids: Sequence[str], hashes: HashCache) -> str:
        return "noise"


def own_boxes() -> NDArray[np.float32]:
    """(N, 2, 4): one box or two in every photo, none in the fourth; the second often out of view."""
    draw = np.random.default_rng(0)
    ends = np.sort(draw.uniform(0, 1, (N, 2, 2, 2)), axis=2)
    boxes = np.concatenate([ends[:, :, 0], ends[:, :, 1]], axis=-1).astype(np.float32)
    boxes[::2, 1] = NAN
    boxes[3] = NAN
    return boxes


@dataclass
class Data:
    card: DatasetCard = DatasetCard("spurtest-data", "", ("no", "yes"), ("left", "right"), "MIT", regions="boxes")
    photos: Photos = field(default_factory=Photos)
    boxes: NDArray[np.float32] = field(default_factory=own_boxes)
    asked: int = 0

    def prepare(self, root: Path, *, download: bool) -> None:
        pass

    def load(self, root: Path) -> Examples:
        rows = np.arange(N)
        split = np.repeat([0, 1, 2], [20, 10, 10])
        return Examples([f"p{i}" for i in rows], rows % 2, rows // 2 % 2, split, 2, 2, photos=self.photos)

    def places(self, root: Path, rows: NDArray[np.int64]) -> Places:
        self.asked += 1
        return Places(self.boxes[rows], np.full((len(rows), 4), NAN))


@dataclass(frozen=True)
class Backbone:
    fingerprint: str = "weights"
    card: BackboneCard = BackboneCard("spurtest-backbone", "", "none", has_text=False)
    spatial: bool = True

    def load(self, device: str) -> Tower:
        return tower() if self.spatial else replace(tower(), regions=None)


def tower() -> Tower:
    """A region's embedding is its box, its image's brightness, and 1."""

    def trunk(images: torch.Tensor) -> torch.Tensor:
        return images.mean(dim=(1, 2, 3))[:, None].expand(-1, 6)

    def regions(images: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        light = trunk(images)[:, None, :1].expand(-1, boxes.shape[1], -1)
        found = torch.cat([boxes, light, torch.ones_like(light)], dim=-1)
        return torch.cat([trunk(images)[:, None], found.nan_to_num(0) * found[..., :1].isfinite()], dim=1)

    return Tower(image_transform(SIDE, False), trunk, lambda x: x, None, 1.0, regions=regions)


class Loader:
    """Loads the tower and counts how often."""

    def __init__(self) -> None:
        self.loaded = 0

    def __call__(self) -> Tower:
        self.loaded += 1
        return tower()


def loaded(data: Data, root: Path = Path()) -> LoadedData:
    return LoadedData(data, data.load(root), "data", root)


def features(folder: Path, data: Data, spec: str = "boxes", load: Any = None, **changes: Any) -> RegionFeatures:
    source = loaded(data).region_source(spec)
    made = RegionFeatures(
        FeatureStore(folder), "data", Backbone(), load or Loader(), data.photos, source, "label", "cpu"
    )
    return replace(made, **changes)


def placed(data: Data, row: int) -> NDArray[np.float32]:
    """(r, 4) the boxes of a photo as the middle square of it shows them; NaN where less than a fourth does."""
    width, height = data.photos.size(row)
    side = min(width, height)
    found = []
    for left, top, right, bottom in data.boxes[row].tolist():
        across = [(x * width - (width - side) / 2) / side for x in (left, right)]
        down = [(y * height - (height - side) / 2) / side for y in (top, bottom)]
        whole = (across[1] - across[0]) * (down[1] - down[0])
        x, y = (np.clip(pair, 0, 1) for pair in (across, down))
        good = (x[1] - x[0]) * (y[1] - y[0]) >= 0.25 * whole
        found.append([x[0], y[0], x[1], y[1]] if good else [NAN] * 4)
    return np.array(found, np.float32)


def test_cells_are_of_the_view_and_cost_nothing(tmp_path: Path) -> None:
    data, load = Data(), Loader()
    made = features(tmp_path, data, "grid3", load)
    assert (made.boxes.shape, made.boxes.dtype) == ((N, 9, 4), torch.float32)
    assert (made.boxes == torch.from_numpy(cells(3))).all()
    assert (data.photos.opened, load.loaded, list(made.store.entries())) == ([], 0, [])


def test_boxes_are_placed_by_each_photos_size_and_kept(tmp_path: Path) -> None:
    data, load = Data(), Loader()
    found = features(tmp_path, data, load=load).boxes
    expected = np.stack([placed(data, row) for row in range(N)])
    assert found.dtype == torch.float32
    sure = np.isfinite(expected) == np.isfinite(found.numpy())
    # Boxes of which just about a fourth is left may fall on either side.
    assert (~sure.all(axis=2)).sum() <= 1
    np.testing.assert_allclose(found.numpy()[sure], expected[sure], atol=1 / SIDE)
    assert np.isnan(expected).all(axis=2).sum() > N // 2 + 2
    assert (sorted(data.photos.opened), load.loaded) == (list(range(N)), 1)
    again = features(tmp_path, Data(photos=data.photos), load=load).boxes
    assert torch.equal(again.nan_to_num(-1), found.nan_to_num(-1))
    assert (len(data.photos.opened), load.loaded) == (N, 1)


def truth(data: Data, boxes: torch.Tensor) -> torch.Tensor:
    """(n, r, 6) photo by photo."""
    one = tower()
    assert one.regions is not None
    images = [one.preprocess(image) for image in Photos().open(range(N))]
    return torch.cat([one.regions(image[None], some[None])[:, 1:] for image, some in zip(images, boxes, strict=True)])


@pytest.mark.parametrize("spec", ["boxes", "grid2"])
def test_embeddings_are_those_of_each_photo_alone_in_half_precision(tmp_path: Path, spec: str) -> None:
    data, load = Data(), Loader()
    heard: list[tuple[str, int, int]] = []
    built: list[tuple[str, Speed]] = []
    made = features(
        tmp_path, data, spec, load, progress=lambda *args: heard.append(args), built=lambda *args: built.append(args)
    )
    found = made.embeddings
    assert (found.shape, found.dtype) == ((N, 2 if spec == "boxes" else 4, 6), torch.float16)
    torch.testing.assert_close(found.float(), truth(data, made.boxes), rtol=2e-3, atol=2e-3)
    assert (found[made.boxes.isnan().any(dim=-1)] == 0).all()
    assert heard[-1] == ("encoding regions", N, N)
    kinds = ["boxes", "regions"] if spec == "boxes" else ["regions"]
    assert [kind for kind, _ in built] == kinds
    assert all(speed.images == N for _, speed in built)
    data.photos.opened.clear()
    load.loaded = 0
    again = features(tmp_path, data, spec, load)
    assert torch.equal(again.embeddings, found)
    assert (data.photos.opened, load.loaded) == ([], 0)
    labels = [entry.label for entry in made.store.entries()]
    assert sorted(labels) == [f"label · {parse(spec)} · {kind}" for kind in kinds]


def test_a_killed_build_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spurbench.features.PART", 16)
    monkeypatch.setattr("spurbench.encode.BATCH", {"cpu": 8, "cuda": 8})
    whole = features(tmp_path / "whole", Data())
    data = Data()
    data.photos.most = 20
    with pytest.raises(KeyboardInterrupt):
        _ = features(tmp_path / "killed", data).boxes
    data.photos.opened.clear()
    # Its other boxes are placed now, and half of the photos embedded.
    data.photos.most = (N - 16) + 20
    with pytest.raises(KeyboardInterrupt):
        _ = features(tmp_path / "killed", data).embeddings
    assert min(data.photos.opened[: N - 16]) == 16
    data.photos.opened.clear()
    found = features(tmp_path / "killed", data)
    assert torch.equal(found.embeddings, whole.embeddings)
    assert torch.equal(found.boxes.nan_to_num(-1), whole.boxes.nan_to_num(-1))
    assert min(data.photos.opened) == 16


def test_photos_that_cannot_be_read_are_all_named(tmp_path: Path) -> None:
    class Broken(Photos):
        def open(self, rows: Sequence[int]) -> list[Image.Image]:
            if set(rows) & {3, 33}:
                raise DataError(f"photos {list(rows)} are broken")
            return super().open(rows)

    with pytest.raises(DataError, match=r"2 of 40 photos cannot be read.*\n.*\[3\] are broken\n.*\[33\] are broken"):
        _ = features(tmp_path, Data(photos=Broken())).boxes
    assert list(FeatureStore(tmp_path).entries()) == []


def test_proposals_are_made_once_for_all_backbones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = tmp_path / "hub" / "checkpoints" / FILE
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"weights")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    made: list[tuple[Any, ...]] = []

    class Quarters:
        kinds = ("proposals",)

        def __init__(self, *given: Any) -> None:
            made.append(given)

        def prepare(self, image: Image.Image) -> torch.Tensor:
            return torch.tensor(image.size)

        def encode(self, rows: Sequence[int], prepared: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
            return {"proposals": torch.tensor([0.25, 0.25, 0.75, 0.75]).expand(len(rows), 4, 4)}

    monkeypatch.setattr("spurbench.regions.features.Proposer", Quarters)
    data = Data()
    first = features(tmp_path, data, "proposals4")
    again = features(tmp_path, data, "proposals4", backbone=Backbone("other weights"))
    for found in (first.boxes, again.boxes):
        assert found.shape == (N, 4, 4)
        # The middle half of a photo of 48 x 32 is three quarters of the width of its middle square.
        np.testing.assert_allclose(found[0, 2], [1 / 8, 1 / 4, 7 / 8, 3 / 4], atol=0.02)
    assert made == [(weights, 4, "cpu")]
    kinds = [entry.parts["kind"] for entry in first.store.entries()]
    assert sorted(kinds) == ["boxes", "boxes", "proposals"]
    weights.write_bytes(b"other weights")
    assert features(tmp_path, data, "proposals4").source.identity != first.source.identity


def test_a_tower_without_a_map_says_so_and_boxes_do_not_need_one(tmp_path: Path) -> None:
    made = features(tmp_path, Data(), load=lambda: replace(tower(), regions=None))
    assert made.boxes.shape == (N, 2, 4)
    with pytest.raises(WeightsError, match="backbone spurtest-backbone has no spatial map"):
        _ = made.embeddings


def test_embeddings_that_half_precision_cannot_hold_are_refused(tmp_path: Path) -> None:
    def huge(images: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        return torch.full((len(images), 1 + boxes.shape[1], 3), 1e6)

    with pytest.raises(DataError, match=r"region embeddings reach 1e\+06, which 16-bit"):
        _ = features(tmp_path, Data(), load=lambda: replace(tower(), regions=huge)).embeddings


def test_keys_hold_everything_that_decides() -> None:
    keys = {region_key(*parts)[0] for parts in (
        ("d", "b", "boxes", ["grid2", "", "f"]), ("e", "b", "boxes", ["grid2", "", "f"]),
        ("d", "c", "boxes", ["grid2", "", "f"]), ("d", "b", "regions", ["grid2", "", "f"]),
        ("d", "b", "boxes", ["grid3", "", "f"]), ("d", "b", "boxes", ["grid2", "x", "f"]),
        ("d", "b", "boxes", ["grid2", "", "g"]),
    )}  # fmt: skip
    assert len(keys) == 7


def file_of(folder: Path, text: str) -> str:
    (folder / "boxes.csv").write_text("id,left,top,right,bottom\n" + text)
    return f"boxes:{folder / 'boxes.csv'}"


def test_a_files_boxes_are_pixels_of_each_photo(tmp_path: Path) -> None:
    spec = file_of(tmp_path, "p1,0,0,15,30\np0,20,0,28.8,16\np1,-1,0,10,30.9\np2,8,16,32,64\n")
    drawn = loaded(Data()).region_source(spec).drawn
    assert drawn is not None
    np.testing.assert_allclose(drawn.of(1, 30, 30), [[0, 0, 0.5, 1], [0, 0, 1 / 3, 1]], atol=1e-6)
    found = features(tmp_path, Data(), spec).boxes
    assert found.shape == (N, 2, 4)
    # p0 is 48 x 32, p1 30 x 30, p2 40 x 64.
    expected = [[12 / 32, 0, 20.8 / 32, 0.5], [0, 0, 0.5, 1], [0, 0, 1 / 3, 1], [0.2, 4 / 40, 0.8, 1]]
    np.testing.assert_allclose(found[[0, 1, 1, 2], [0, 0, 1, 0]], expected, atol=0.02)
    assert found[0, 1].isnan().all()
    assert found[3:].isnan().all()


@pytest.mark.parametrize("box", ["0,0,32,10", "0,-2,10,10", "31,0,31.5,10", "5,30.5,6,30.9"])
def test_a_box_outside_of_its_photo_is_named_with_the_photos_size(tmp_path: Path, box: str) -> None:
    spec = file_of(tmp_path, f"p0,0,0,1,1\np1,{box}\n")
    with pytest.raises(DataError) as caught:
        _ = features(tmp_path, Data(), spec).boxes
    listed = box.replace(",", ", ")
    assert f"line 3: the box {listed} lies outside of 'p1', a photo of 30 x 30 pixels" in str(caught.value)
    assert str(tmp_path / "boxes.csv") in str(caught.value)


def changed(row: int, box: Sequence[float]) -> NDArray[np.float32]:
    boxes = own_boxes()
    boxes[row, 0] = box
    return boxes


@pytest.mark.parametrize(
    ("boxes", "said"),
    [
        (changed(5, (0, 0, 1.1, 1)), "'p5' has 0, 0, 1.1, 1"),
        (changed(5, (-0.1, 0, 1, 1)), "'p5' has -0.1, 0, 1, 1"),
        (changed(5, (0.5, 0, 0.5, 1)), "'p5' has 0.5, 0, 0.5, 1"),
        (changed(5, (0, 0, NAN, 1)), "'p5' has 0, 0, nan, 1"),
        (np.full((N, 2, 4), NAN), "spurtest-data has not one box"),
        (own_boxes()[:, 0], "must be (40, r, 4), not (40, 4)"),
        (own_boxes()[:, :0], "has not one box"),
    ],
)
def test_a_data_sets_own_boxes_are_checked(boxes: NDArray[np.float32], said: str) -> None:
    with pytest.raises(DataError) as caught:
        loaded(Data(boxes=boxes)).region_source()
    assert said in str(caught.value)


class Silent:
    """A data set that knows no places."""

    def __init__(self, data: Data) -> None:
        self.card = data.card


@dataclass
class Method:
    card: MethodCard = MethodCard("spurtest-method", "", "", inputs=("regions",), trains="nothing")
    space: dict[str, Any] = field(default_factory=dict)
    seen: ClassVar[list[Any]] = []

    def fit(self, task: Any, config: Any) -> Sequence[Any]:
        self.seen.append((task.train.boxes(), task.train.regions() if "images" not in self.card.inputs else None))
        return [self]

    def logits(self, view: Any) -> torch.Tensor:
        return torch.zeros(len(view), 2)


def test_records_depend_on_which_regions_there_are(tmp_path: Path) -> None:
    def parts(data: Data, method: Method | None = None) -> dict[str, Any]:
        return key_parts(method or Method(), loaded(data), Backbone(), RULES)  # type: ignore[arg-type]

    def of(regions: str) -> Data:
        return Data(card=replace(Data.card, regions=regions))

    plain = Method(replace(Method.card, inputs=("embeddings",)))
    assert "regions" not in parts(Data(), plain)
    file = file_of(tmp_path, "p1,0,0,15,30\n")
    found = [parts(of("grid2")), parts(of("grid3")), parts(Data()), parts(Data(boxes=changed(1, (0, 0, 1, 1)))),
             parts(of(file))]  # fmt: skip
    file_of(tmp_path, "p1,0,0,15,29\n")
    found.append(parts(of(file)))
    assert len({digest(some) for some in found}) == 6
    assert found[0]["regions"] == ["grid2", "", "format 1"]
    assert parts(of("quadrants")) == found[0]
    (tmp_path / "elsewhere").mkdir()
    assert parts(of(file_of(tmp_path / "elsewhere", "p1,0,0,15,29\n"))) == found[-1]


def test_what_cannot_be_had_makes_cells_impossible_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def reason(data: LoadedData) -> str:
        return impossible_reason(Method.card, data, Backbone(), RULES)  # type: ignore[arg-type]

    assert reason(loaded(Data())) == ""
    silent = replace(loaded(Data()), dataset=Silent(Data()))
    assert reason(silent) == (
        "needs regions (boxes): spurtest-data knows no boxes of its photos; regions 'boxes:FILE' reads them from a file"
    )
    proposals = loaded(Data(card=replace(Data.card, regions="proposals5")))
    assert reason(proposals).startswith("needs regions (proposals5): region proposals need fasterrcnn")
    broken = loaded(Data(card=replace(Data.card, regions=file_of(tmp_path, "q,0,0,1,1\n"))))
    assert "1 images that the data set does not have: 'q'; ids look like 'p0'" in reason(broken)
    with pytest.raises(UsageError, match="unknown regions 'gird'; did you mean grid"):
        reason(loaded(Data(card=replace(Data.card, regions="gird"))))
    with pytest.raises(UsageError, match="there is no file"):
        reason(loaded(Data(card=replace(Data.card, regions=f"boxes:{tmp_path}/absent.csv"))))


def test_sources_are_read_once_and_errors_told_again() -> None:
    data = Data()
    here = loaded(data)
    assert here.region_source() is here.region_source("boxes")
    assert data.asked == 1
    assert here.region_source("quadrants").identity == here.region_source("grid2").identity
    broken = Data(boxes=np.full((N, 2, 4), NAN))
    there = loaded(broken)
    for _ in range(2):
        with pytest.raises(DataError, match="not one box"):
            there.region_source()
    assert broken.asked == 1


def test_whatever_places_raise_names_the_data_set() -> None:
    class Failing(Data):
        def places(self, root: Path, rows: NDArray[np.int64]) -> Places:
            raise ZeroDivisionError

    with pytest.raises(DataError, match="'spurtest-data' cannot be read: ZeroDivisionError"):
        loaded(Failing()).region_source()
    with pytest.raises(ZeroDivisionError):
        open_source(parse("boxes"), Failing(), Data().load(Path()), Path(), HashCache(None))


@dataclass
class Setup:
    fingerprint: str
    method: Method
    run: Callable[[], list[Event]]


@pytest.fixture
def setup(tmp_path: Path) -> Callable[..., Setup]:
    def make(inputs: tuple[Any, ...] = ("regions",), spatial: bool = True) -> Setup:
        data, method, backbone = Data(), Method(replace(Method.card, inputs=inputs)), Backbone(spatial=spatial)
        registries = Registries(*(Registry(kind) for kind in ("method", "dataset", "backbone", "inference", "finder")))
        for registry, thing in ((registries.methods, method), (registries.datasets, data)):
            registry.add(thing.card.name, "test", lambda thing=thing: thing)
        registries.backbones.add(backbone.card.name, "test", lambda: backbone)
        fingerprint = data.load(tmp_path).fingerprint(data.card, HashCache(None))
        here = LoadedData(data, data.load(tmp_path), fingerprint, tmp_path)  # type: ignore[arg-type]
        key = digest(key_parts(method, here, backbone, RULES))
        job = Job(
            key, data.card.name, backbone.card.name, method.card.name, (0,), RULES, tmp_path, tmp_path, "cpu", "fp32",
            2**30, isolated=False,
        )  # fmt: skip

        def run() -> list[Event]:
            events: list[Event] = []
            InlineExecutor(registries).run(job, events.append)
            return events

        Method.seen.clear()
        return Setup(fingerprint, method, run)

    return make


def failure(events: list[Event]) -> str:
    (finished,) = [event for event in events if isinstance(event, Finished)]
    return finished.result.failure.message if finished.result.failure else ""


def test_a_method_sees_regions_and_boxes_in_its_views_order(setup: Callable[..., Setup], tmp_path: Path) -> None:
    made = setup()
    events = made.run()
    assert failure(events) == ""
    boxes, regions = Method.seen[0]
    assert (boxes.shape, regions.shape) == ((20, 2, 4), (20, 2, 6))
    assert {boxes.dtype, regions.dtype} == {torch.float32}
    there = boxes.isfinite().all(dim=-1)
    torch.testing.assert_close(regions[..., :4][there], boxes[there], rtol=2e-3, atol=2e-3)
    assert (regions[~there] == 0).all()
    # All of training, in an order of the harness's own.
    known = replace(features(tmp_path / "features", Data()), data=made.fingerprint).boxes[:20]
    rows = [some.nan_to_num(-1).flatten(1).tolist() for some in (boxes, known)]
    assert sorted(rows[0]) == sorted(rows[1])
    assert rows[0] != rows[1]
    texts = {event.text for event in events if isinstance(event, Stage)}
    assert {"placing regions", "encoding regions"} <= texts
    assert any("boxes: 40 photos" in event.text for event in events if isinstance(event, Note))


def test_methods_that_train_towers_get_boxes_and_nothing_is_embedded(setup: Callable[..., Setup]) -> None:
    made = setup(("regions", "images"), spatial=False)
    assert failure(made.run()) == ""
    assert Method.seen[0][0].shape == (20, 2, 4)


def test_without_a_map_the_cell_fails_with_the_reason(setup: Callable[..., Setup]) -> None:
    assert "spurtest-backbone has no spatial map" in failure(setup(spatial=False).run())


@pytest.mark.parametrize("ask", ["regions", "boxes"])
def test_regions_must_be_declared(setup: Callable[..., Setup], ask: str) -> None:
    made = setup(("embeddings",))
    made.method.fit = lambda task, config: getattr(task.train, ask)()  # type: ignore[method-assign]
    assert "uses regions without declaring them: write inputs=('embeddings', 'regions')" in failure(made.run())


def test_what_must_still_be_encoded_is_foreseen(tmp_path: Path) -> None:
    data = loaded(Data())
    folder = tmp_path / "features"

    def work(inputs: tuple[Any, ...]) -> float:
        method = Method(replace(Method.card, inputs=inputs))
        parts = key_parts(method, data, Backbone(), RULES)
        path = tmp_path / "results" / "quick" / "data" / "backbone" / "method.json"
        names = ("data", "backbone", method.card.name, "spec", "backbone")
        row = Row(*names, (Cell(0, "missing"),), path, digest(parts), parts)
        plan = Plan(RULES, (row,), {"spec": data})
        return expected_work(plan, {method.card.name: inputs}, tmp_path, "cpu")[0].encode

    assert work(("regions",)) == pytest.approx(N / 30)
    # Methods that train towers are not waited for: their boxes take no tower.
    assert work(("regions", "images")) == 0
    _ = features(folder, Data()).embeddings
    assert work(("regions",)) == 0
    assert work(("regions", "embeddings")) > 0
