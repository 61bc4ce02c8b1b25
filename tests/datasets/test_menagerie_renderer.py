from __future__ import annotations

import ast
import hashlib
import inspect
import multiprocessing
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from scipy import stats
from scipy.ndimage import gaussian_filter
from scipy.spatial import Delaunay

from spurbench_datasets.menagerie import renderer
from spurbench_datasets.menagerie.anatomy import GROUND
from spurbench_datasets.menagerie.animals import POSES, SIZE, SPECIES, drawings
from spurbench_datasets.menagerie.captions import caption
from spurbench_datasets.menagerie.exact import Draws
from spurbench_datasets.menagerie.places import OUTDOORS, PLACES
from spurbench_datasets.menagerie.plates import strips, textures
from spurbench_datasets.menagerie.renderer import BATCH, Rendering, boxes, render
from spurbench_datasets.menagerie.scenes import NONE, Difficulty, Scenes
from spurbench_datasets.menagerie.shapes import Canvas
from spurbench_datasets.menagerie.view import EDGE
from spurbench_datasets.menagerie.worlds import MenagerieBirds

Array = NDArray[Any]
EVERY = len(SPECIES) * len(PLACES)
FINGERPRINT = {
    "images": "1fce1774d813a6243761d46b3ec23beae9139a36047532da8a279f518ed9dd24",
    "animal": "bf4940011504886597965645e92bf507ef7635bbb43d12be8fd2a77861100b77",
    "companion": "a634c0b54478fea854a9baf5a26097f986b32205b90c8821b2932035fa721f01",
    "sticker": "d837f92791ac0ef3e454df5ce11b0a8af099a433585d93737a6bb194d0712be2",
}
STALE = (
    "photos look different than those that the backbones were pre-trained on and that features were cached of: raise "
    "APPEARANCE in menagerie/worlds.py, run `spurbench pretrain` for both backbones, then put the new hashes here"
)


def staged(n: int = EVERY, *, companions: bool = True, stickers: bool = True, **difficulty: Any) -> Scenes:
    """Scenes that run through every species in every place, with all sorts of companions, and a sticker on a third."""
    index = np.arange(n)
    return Scenes(
        seed=7,
        index=index,
        species=index % len(SPECIES),
        place=index // len(SPECIES) % len(PLACES),
        companion=(index * 7 // 3) % (len(SPECIES) + 1) - 1 if companions else np.full(n, NONE),
        sticker=(index % 3 == 0) & stickers,
        difficulty=Difficulty(**difficulty),
    )


def alone(**difficulty: Any) -> Scenes:
    """One animal per photo, and nothing before it unless asked for."""
    return staged(companions=False, stickers=False, **{"occlusion": 0.0, **difficulty})


def same(first: Rendering, second: Rendering, rows: Any = slice(None)) -> bool:
    """Whether the first, of some rows, has the bytes of the second."""
    return all(np.array_equal(one, other[rows]) for one, other in zip(first, second, strict=True))


def ints(image: Array) -> NDArray[np.int64]:
    return image.astype(np.int64)


@pytest.fixture(scope="module")
def everything() -> Rendering:
    return render(staged())


def test_what_a_rendering_is(everything: Rendering) -> None:
    assert everything.images.shape == (EVERY, EDGE, EDGE, 3)
    for mask in everything[1:]:
        assert mask.shape == (EVERY, EDGE, EDGE)
    assert {part.dtype for part in everything} == {np.dtype(np.uint8)}
    assert len({image.tobytes() for image in everything.images}) == EVERY


def test_no_scenes_no_photos() -> None:
    nothing = render(staged(0))
    assert [part.shape for part in nothing] == [(0, EDGE, EDGE, 3), *[(0, EDGE, EDGE)] * 3]
    assert nothing.boxes.shape == (0, 4)


# Rendering is slow enough that a failure is better shown as it was found than made small first.
@settings(max_examples=30, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.lists(st.integers(0, EVERY - 1), min_size=1, max_size=12), st.integers(0, 12))
def test_a_photo_depends_on_its_own_scene_alone(everything: Rendering, rows: list[int], cut: int) -> None:
    scenes = staged()
    assert same(render(scenes.rows(rows)), everything, rows)
    assert same(render(scenes.rows(rows[:cut])), everything, rows[:cut])


@pytest.mark.parametrize("cut", [1, BATCH - 1, BATCH, BATCH + 1])
def test_batches_leave_no_seams(cut: int) -> None:
    n = 2 * BATCH + 5
    scenes = staged(n)
    whole = render(scenes)
    assert same(render(scenes.rows(slice(cut))), whole, slice(cut))
    assert same(render(scenes.rows(slice(cut, None))), whole, slice(cut, None))
    backwards = np.arange(n)[::-1]
    assert same(render(scenes.rows(backwards)), whole, backwards)


def test_four_processes_without_vector_instructions(everything: Rendering, monkeypatch: pytest.MonkeyPatch) -> None:
    fast = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    monkeypatch.setenv("NPY_DISABLE_CPU_FEATURES", " ".join(fast))
    parts = [np.arange(first, EVERY, 4)[:12] for first in range(4)]
    with ProcessPoolExecutor(4, multiprocessing.get_context("spawn")) as pool:
        rendered = list(pool.map(render, [staged().rows(part) for part in parts]))
    assert all(same(one, everything, part) for one, part in zip(rendered, parts, strict=True))


@pytest.fixture
def hashes(everything: Rendering) -> dict[str, str]:
    return {name: hashlib.sha256(part.tobytes()).hexdigest() for name, part in everything._asdict().items()}


def test_photos_are_the_ones_that_backbones_know(hashes: dict[str, str]) -> None:
    assert hashes == FINGERPRINT, STALE


NUMPY = {
    *("abs", "clip", "floor", "maximum", "minimum", "sqrt", "where"),
    *(
        "arange",
        "array",
        "asarray",
        "ascontiguousarray",
        "concatenate",
        "full",
        "moveaxis",
        "ones_like",
        "stack",
        "zeros",
    ),
    *("bool_", "errstate", "float32", "int32", "int64", "take", "uint8", "uint32", "uint64", "unsignedinteger"),
}
"""What IEEE 754 rounds in one way, or what rounds nothing."""
IMPORTS = {"__future__", "collections.abc", "dataclasses", "functools", "numpy.typing", "typing"}
LOOSE = {"sum", "mean", "std", "var", "dot", "prod", "cumsum", "cumprod", "trace", "round", "pow"}
"""Whose last bits are left to the compiler, the C library, the number of vector lanes or the version of Python."""


def inexact(source: str) -> list[str]:
    """What in a module's source may give other bits on another machine."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "np":
            bad = node.attr not in NUMPY
        elif isinstance(node, ast.Attribute):
            bad = node.attr in LOOSE
        elif isinstance(node, ast.Name):
            bad = node.id in LOOSE
        elif isinstance(node, ast.BinOp):
            numbers = (ast.Constant, ast.UnaryOp, ast.BinOp, ast.operator, ast.unaryop)
            constant = all(isinstance(part, numbers) for part in ast.walk(node))
            bad = isinstance(node.op, ast.MatMult) or (isinstance(node.op, ast.Pow) and not constant)
        elif isinstance(node, ast.AugAssign):
            bad = isinstance(node.op, ast.MatMult | ast.Pow)
        elif isinstance(node, ast.Import):
            bad = any(alias.name != "numpy" or alias.asname != "np" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            bad = not node.level and node.module not in IMPORTS
        else:
            continue
        if bad:
            found.append(ast.unparse(node))
    return found


def deciding_pixels() -> dict[str, str]:
    """Sources of the renderer and of every module that it imports from the menagerie, directly or not."""
    folder = Path(inspect.getfile(renderer)).parent
    sources: dict[str, str] = {}
    waiting = ["renderer"]
    while waiting:
        name = waiting.pop()
        if name in sources:
            continue
        sources[name] = (folder / f"{name}.py").read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(sources[name])):
            if isinstance(node, ast.ImportFrom) and node.level:
                assert node.level == 1, f"{name} imports from outside the menagerie: {ast.unparse(node)}"
                waiting += [node.module] if node.module else [alias.name for alias in node.names]
    return sources


@pytest.mark.parametrize("module", sorted(deciding_pixels()))
def test_pixels_come_from_exact_arithmetic_only(module: str) -> None:
    assert inexact(deciding_pixels()[module]) == []


def test_no_module_that_draws_is_passed_over() -> None:
    drawn = {
        "exact",
        "shapes",
        "animals",
        "birds",
        "beasts",
        "places",
        "scenery",
        "plates",
        "bodies",
        "view",
        "renderer",
    }
    assert drawn <= set(deciding_pixels())
    assert not {"captions", "worlds", "pretraining"} & set(deciding_pixels())


@pytest.mark.parametrize(
    "line",
    [
        *("np.sin(x)", "np.exp(x)", "np.power(x, 2)", "np.sum(x)", "np.mean(x)", "np.dot(x, y)", "np.einsum('i->', x)"),
        *("np.linalg.norm(x)", "np.add.reduce(x)", "np.random.rand()", "x @ y", "x ** 2", "2.0 ** x", "x **= 2"),
        *("x.sum()", "x.mean(axis=0)", "x.dot(y)", "sum(x)", "pow(x, 2)", "import math", "import numpy.linalg"),
        *("from math import sin", "from numpy import exp", "from scipy import ndimage", "import numpy as xp"),
    ],
)
def test_inexact_arithmetic_is_noticed(line: str) -> None:
    assert inexact(line)


@pytest.mark.parametrize("line", ["np.sqrt(x * x + y)", "2.0 ** -24", "2 ** 64", "import numpy as np"])
def test_exact_arithmetic_is_let_through(line: str) -> None:
    assert inexact(line) == []


def test_no_two_things_about_a_photo_share_a_draw(everything: Rendering, monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []
    uniform, below = Draws.uniform, Draws.below

    def noted_uniform(draws: Draws, name: str, *bounds: float) -> Any:
        names.append(name)
        return uniform(draws, name, *bounds)

    def noted_below(draws: Draws, name: str, bound: Any) -> Any:
        names.append(name)
        return below(draws, name, bound)

    monkeypatch.setattr(Draws, "uniform", noted_uniform)
    monkeypatch.setattr(Draws, "below", noted_below)
    scenes = MenagerieBirds().scenes().rows(slice(10))
    render(replace(scenes, companion=scenes.species))
    caption(scenes)
    assert len(names) > 100
    assert [name for name, times in Counter(names).items() if times > 1] == []


def test_photos_are_layers_laid_on_by_their_masks() -> None:
    scenes = staged(stickers=False, occlusion=0.0, grain=0.0)
    photo, cut_out, empty = render(scenes), render(scenes, scene=False), render(scenes, animals=False)
    covered = ints(photo.animal) + photo.companion
    expected = cut_out.images + (1 - covered / 255)[..., None] * empty.images
    clipped = (photo.images == 255) | (cut_out.images == 255) | (empty.images == 255)
    # Three images are rounded by half a grey level each, and so is the mask; 1.4 was the most that came together.
    assert np.abs(photo.images - expected)[~clipped].max() <= 1.5
    assert clipped.mean() < 0.1
    assert ((covered > 0) & (covered < 255)).sum() > 10_000, "soft edges are what this is about"


def test_grain_lies_on_the_photo_not_on_the_layers() -> None:
    grain = 14.0
    scenes = staged(stickers=False, occlusion=0.0, grain=grain)
    photo, cut_out, empty = render(scenes), render(scenes, scene=False), render(scenes, animals=False)
    rest = 1 - (ints(photo.animal) + photo.companion)[..., None] / 255
    clipped = (photo.images == 255) | (cut_out.images == 255) | (empty.images == 255)
    off = np.abs(photo.images - (cut_out.images + rest * empty.images))
    # The sum has the grain of both layers, which is too much by the background's share of it.
    assert (off <= 1.5 + rest * grain / 2)[~clipped].all()
    whole = photo.animal == 255
    assert np.array_equal(photo.images[whole], cut_out.images[whole]), "light and grain of the cut-out are the photo's"


def test_outside_the_masks_a_photo_is_its_background() -> None:
    for scenes, most in ((staged(occlusion=0.0), 0), (staged(), 1)):
        photo, empty = render(scenes), render(scenes, animals=False)
        outside = (photo.animal == 0) & (photo.companion == 0) & (photo.sticker == 0)
        assert 0.4 < outside.mean() < 0.9
        # Behind leaves a mask may round to nothing where a trace of the animal shines through.
        assert np.abs(ints(photo.images) - empty.images)[outside].max() <= most


def test_cut_outs_are_black_around() -> None:
    scenes = staged(occlusion=0.0, grain=0.0)
    cut_out = render(scenes, scene=False)
    shown = (cut_out.animal > 0) | (cut_out.companion > 0) | (cut_out.sticker > 0)
    assert (cut_out.images[~shown] == 0).all()
    assert (cut_out.images[cut_out.animal == 255] > 0).any(axis=-1).mean() > 0.99


def test_masks_are_the_same_for_every_layer(everything: Rendering) -> None:
    for layers in ({"animals": False}, {"scene": False}, {"animals": False, "scene": False}):
        for mask, known in zip(render(staged(), **layers)[1:], everything[1:], strict=True):
            assert np.array_equal(mask, known)


def test_masks_are_empty_where_nothing_is() -> None:
    species, companion = np.array([NONE, NONE, 3, 3]), np.array([NONE, 5, NONE, 5])
    found = render(Scenes(1, np.arange(4), species, np.zeros(4, np.int64), companion))
    assert [bool(mask.any()) for mask in found.animal] == [False, False, True, True]
    assert [bool(mask.any()) for mask in found.companion] == [False, True, False, True]
    assert not found.sticker.any()
    assert found.boxes[:2].tolist() == [[0, 0, 0, 0]] * 2
    no_one = replace(
        staged(), species=np.full(EVERY, NONE), companion=np.full(EVERY, NONE), sticker=staged().sticker & False
    )
    assert np.array_equal(render(no_one).images, render(no_one, animals=False).images)


def test_shadows_stay_in_the_background() -> None:
    someone = alone(grain=0.0)
    no_one = replace(someone, species=np.full(EVERY, NONE))
    darker = ints(render(no_one).images) - render(someone, animals=False).images
    assert darker.min() == 0
    assert (darker.max(axis=(1, 2, 3)) > 10).all()


def test_no_pixel_is_covered_more_than_once(everything: Rendering) -> None:
    covered = ints(everything.animal) + everything.companion + everything.sticker
    assert covered.max() <= 256


def test_companions_are_seen_where_neither_animal_nor_leaves_hide_them() -> None:
    scenes = staged(stickers=False, occlusion=1.0)
    clear = replace(scenes, difficulty=replace(scenes.difficulty, occlusion=0.0))
    nobody_before = replace(clear, species=np.full(EVERY, NONE))
    seen, animal, whole = render(scenes), render(clear).animal, render(nobody_before).companion
    # Where the animal is solid its masks tell how much of it the leaves leave, and the companion cannot be seen at all.
    solid = animal == 255
    assert (whole[solid] > 128).any()
    assert (seen.animal[solid] < 200).any()
    assert not seen.companion[solid].any()
    soft = (animal > 32) & ~solid
    left = seen.animal / np.maximum(animal, 1)
    assert np.abs(seen.companion - whole * (1 - animal / 255) * left)[soft].max() < 2
    assert (seen.companion <= whole).all()


@given(arrays(np.uint8, array_shapes(min_dims=3, max_dims=3, max_side=6), elements=st.sampled_from([0, 127, 128, 255])))
def test_boxes_hold_what_is_half_covered(masks: NDArray[np.uint8]) -> None:
    for mask, box in zip(masks, boxes(masks).tolist(), strict=True):
        seen = [(x, y) for y, row in enumerate(mask.tolist()) for x, value in enumerate(row) if value >= 128]
        xs, ys = [x for x, _ in seen], [y for _, y in seen]
        assert box == ([min(xs), min(ys), max(xs) + 1, max(ys) + 1] if seen else [0, 0, 0, 0])


def test_boxes_of_a_rendering_are_the_animals(everything: Rendering) -> None:
    assert np.array_equal(everything.boxes, boxes(everything.animal))
    left, top, right, bottom = everything.boxes.T
    assert (right - left).min() > 10
    assert (bottom - top).min() > 10


def test_stickers() -> None:
    scenes = staged(BATCH * 2, companions=False)
    scenes = replace(scenes, sticker=np.ones(len(scenes), dtype=bool))
    found, without = render(scenes), render(replace(scenes, sticker=~scenes.sticker))
    edges, corners = Counter[int](), Counter[tuple[bool, bool]]()
    for image, mask in zip(found.images, found.sticker, strict=True):
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        edge = len(rows)
        assert (len(columns), int(mask.sum())) == (edge, edge * edge * 255), "a full square, and no pixel in part"
        square = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert (square[2:-2, 2:-2] == (214, 30, 38)).all()
        rim = np.ones((edge, edge), dtype=bool)
        rim[2:-2, 2:-2] = False
        assert (square[rim] == 244).all()
        assert 1 <= min(rows[0], EDGE - 1 - rows[-1]) <= 6
        assert 1 <= min(columns[0], EDGE - 1 - columns[-1]) <= 6
        edges[edge] += 1
        corners[bool(rows[0] > EDGE / 2), bool(columns[0] > EDGE / 2)] += 1
    assert set(edges) == {12, 13, 14, 15}
    assert stats.chisquare(list(edges.values())).pvalue > 1e-3
    assert len(corners) == 4
    assert stats.chisquare(list(corners.values())).pvalue > 1e-3
    stuck = found.sticker == 255
    assert not found.animal[stuck].any()
    for one, other in zip(found[:3], without[:3], strict=True):
        assert np.array_equal(one[~stuck], other[~stuck])


def test_what_stands_in_front_only_takes_from_the_animal() -> None:
    clear, hidden = render(alone()), render(alone(occlusion=1.0))
    assert (hidden.animal <= clear.animal).all()
    loses = (hidden.animal < clear.animal).any(axis=(1, 2))
    assert 0.2 < loses.mean() < 0.8
    changed = (hidden.images != clear.images).any(axis=(1, 2, 3))
    assert changed[alone().place < OUTDOORS].mean() > 0.9
    assert not changed[alone().place >= OUTDOORS].any(), "a studio is empty"
    assert changed[loses].all()


@pytest.mark.parametrize("occlusion", [0.0, 0.2, 0.4, 0.7])
def test_occlusion_is_the_share_of_photos_with_something_in_front(occlusion: float) -> None:
    clear, always, found = (render(alone(occlusion=share)).images for share in (0.0, 1.0, occlusion))
    could = (always != clear).any(axis=(1, 2, 3))
    has = (found != clear).any(axis=(1, 2, 3))
    assert stats.binomtest(int(has.sum()), int(could.sum()), occlusion).pvalue > 1e-3
    assert np.array_equal(found[has], always[has]), "in front is the same thing, however often there is one"


def test_larger_sizes_make_larger_animals() -> None:
    sizes = (0.3, 0.5, 0.7, 0.9)
    found = [render(alone(size=(size, size))) for size in sizes]
    areas = [(rendering.animal / 255).sum(axis=(1, 2)) for rendering in found]
    for smaller, larger in pairwise(areas):
        assert (smaller < larger).all()
    # A drawing's area goes with the square of its edge.
    assert np.mean(areas[1] / areas[0]) == pytest.approx((0.5 / 0.3) ** 2, rel=0.02)
    for size, rendering in zip(sizes[:3], found, strict=False):
        left, top, right, bottom = rendering.boxes.T
        extent = np.maximum(right - left, bottom - top) / (EDGE * size)
        # Animals fill most of their drawing; bodies are stretched by up to 12 %.
        assert extent.min() > 0.6
        assert 0.8 < extent.mean() < 1
        assert extent.max() < 1.12


def test_sizes_are_anything_between_the_smallest_and_the_largest() -> None:
    areas = [render(alone(size=size)).animal.sum(axis=(1, 2)) for size in ((0.5, 0.5), (0.5, 0.9), (0.9, 0.9))]
    # Edges are softer on the smaller of them, which changes areas a little.
    assert (areas[1] / areas[0]).min() > 0.99
    assert (areas[1] / areas[2]).max() < 1.01
    edges = 0.9 * np.sqrt(areas[1] / areas[2])
    assert stats.kstest(edges, stats.uniform(0.5, 0.4).cdf).pvalue > 1e-2


def test_camouflage_takes_coats_to_the_colour_of_the_ground() -> None:
    distances = []
    for camouflage in (0.0, 0.25, 0.5, 0.75, 1.0):
        scenes = alone(camouflage=camouflage, colour=0.0, grain=0.0, dim=0.0)
        found = render(scenes, scene=False)
        solid = found.animal == 255
        coat = np.array([image[mask].mean(axis=0) for image, mask in zip(found.images, solid, strict=True)])
        ground = np.array([place.ground[0] for place in PLACES])[scenes.place]
        distances.append(float(np.linalg.norm(coat - ground, axis=1).mean()))
    assert sorted(distances, reverse=True) == distances
    # What is left at 1 is light and shade.
    assert distances[-1] < 0.35 * distances[0]


def test_camouflage_leaves_the_place_alone() -> None:
    without, with_ = (render(alone(camouflage=camouflage), animals=False).images for camouflage in (0.0, 1.0))
    assert np.array_equal(without, with_)


def test_dim_photos_are_darker_but_not_darker_than_it_says() -> None:
    before = render(staged(dim=0.0, grain=0.0, stickers=False)).images
    daylight = before
    for dim in (0.2, 0.5, 0.9):
        after = render(staged(dim=dim, grain=0.0, stickers=False)).images
        assert (after <= before).all()
        assert (after.mean(axis=(1, 2, 3)) < before.mean(axis=(1, 2, 3))).all()
        assert (after >= daylight * ((1.06 - dim) / 1.06) - 1).all()
        before = after


def test_grain_is_high_frequency_noise_of_its_strength() -> None:
    clean = render(staged(grain=0.0, stickers=False)).images.astype(float)
    spread = []
    for grain in (5.0, 10.0, 20.0, 40.0):
        noise = render(staged(grain=grain, stickers=False)).images - clean
        assert np.abs(noise).max() <= grain / 2 + 1
        spread.append(noise.std())
    assert gaussian_filter(noise, (0, 4, 4, 0)).std() < 0.25 * noise.std(), "no blotches"
    assert abs(np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]) < 0.1, "a grain per colour"
    # Rounding adds 1/12 to the variance of each of the two photos.
    variances = np.square(spread) - 1 / 6
    assert np.allclose(variances[1:] / variances[:-1], 4, rtol=0.1)


def test_grain_raises_differences_between_neighbours() -> None:
    roughness = [
        np.diff(render(alone(grain=grain)).images.astype(float), axis=2).var() for grain in (0.0, 10.0, 30.0, 60.0)
    ]
    assert sorted(roughness) == roughness


def test_haze_takes_contrast_from_what_is_far() -> None:
    images = [render(alone(haze=haze, grain=0.0), animals=False).images.astype(float) for haze in (0.0, 0.3, 0.6, 0.9)]
    contrasts = [image[:, 8:28].std(axis=(1, 2)).mean(axis=1) for image in images]
    for thinner, thicker in pairwise(contrasts):
        assert thicker.mean() < thinner.mean()
    assert np.median(contrasts[-1] / contrasts[0]) < 0.9
    changed = np.abs(images[-1] - images[0])
    assert changed[:, 56:].mean() < changed[:, 8:28].mean() / 3, "what is near stays clear"


def test_colours_vary_as_much_as_they_should() -> None:
    spread = []
    for colour in (0.0, 0.1, 0.2, 0.4):
        found = render(alone(colour=colour, grain=0.0, dim=0.0), scene=False)
        solid = found.animal == 255
        coat = np.array([image[mask].mean(axis=0) for image, mask in zip(found.images, solid, strict=True)])
        if colour == 0:
            plain = coat
        change = coat / plain
        # Lighter or darker by `colour`, and each channel by half of that again.
        assert change.min() >= (1 - colour) * (1 - colour / 2)
        assert change.max() <= (1 + colour) * (1 + colour / 2)
        spread.append(float(change.std()))
    assert spread[0] == 0
    assert np.allclose(np.divide(spread[2:], spread[1:-1]), 2, rtol=0.05)


def test_every_place_looks_like_itself_from_far_away() -> None:
    index = np.arange(len(PLACES) * 24)
    images = render(Scenes(3, index, np.full(len(index), NONE), index % len(PLACES))).images
    rough = images.reshape(-1, 4, 16, 4, 16, 3).mean(axis=(2, 4)).reshape(24, len(PLACES), -1)
    means = rough[:12].mean(axis=0)
    nearest = np.linalg.norm(rough[12:, :, None] - means, axis=-1).argmin(axis=-1)
    assert (nearest == np.arange(len(PLACES))).mean() > 0.7


def scene(**columns: Any) -> Scenes:
    three = np.zeros(3, dtype=np.int64)
    return Scenes(**{"seed": 1, "index": np.arange(3), "species": three, "place": three, **columns})


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"species": np.zeros(2, int)}, r"species must be \(3,\), one per photo, not \(2,\)"),
        ({"place": np.zeros((3, 1), int)}, r"place must be \(3,\), one per photo, not \(3, 1\)"),
        ({"companion": np.zeros(4, int)}, r"companion must be \(3,\)"),
        ({"sticker": np.zeros(1, bool)}, r"sticker must be \(3,\)"),
        ({"index": np.zeros((3, 2), int)}, r"index must be \(3,\)"),
        ({"species": np.array([0, 12, 0])}, r"species must lie in 0\.\.11, or be NONE"),
        ({"species": np.array([0, 0, -2])}, r"species must lie in 0\.\.11, or be NONE"),
        ({"companion": np.array([0, 12, 0])}, r"companion must lie in 0\.\.11, or be NONE"),
        ({"place": np.array([9, 0, 0])}, r"place must lie in 0\.\.8$"),
        ({"place": np.array([-1, 0, 0])}, r"place must lie in 0\.\.8$"),
        ({"species": np.array([0.5, 1, 2])}, "species must hold integers, not float64"),
        ({"index": np.array([0.5, 1, 2])}, "index must hold integers, not float64"),
        ({"sticker": np.array([0, 1, 2])}, "sticker must hold booleans, not int64"),
    ],
)
def test_scenes_that_cannot_be(columns: dict[str, Array], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        scene(**columns)


def test_companions_and_stickers_are_left_out_unless_asked_for() -> None:
    bare = scene()
    assert bare.companion.tolist() == [NONE] * 3
    assert bare.sticker.tolist() == [False] * 3
    assert same(render(bare), render(scene(companion=np.full(3, NONE), sticker=np.zeros(3, bool))))


@pytest.mark.parametrize("rows", [[2, 0], np.array([1]), slice(1, None), [], [1, 1, 1]])
def test_rows_of_scenes(rows: Any) -> None:
    scenes = staged(5, dim=0.7)
    some = scenes.rows(rows)
    assert (some.seed, some.difficulty) == (scenes.seed, scenes.difficulty)
    for name in ("index", "species", "place", "companion", "sticker"):
        assert getattr(some, name).tolist() == getattr(scenes, name)[rows].tolist()


def test_drawings_are_animals_on_their_feet() -> None:
    shares = ints(drawings()[..., :4]).sum(axis=-1)
    assert drawings().shape[:2] == (len(SPECIES), POSES)
    assert shares.max() <= 256, "materials share a pixel, they do not add up to more"
    solid = shares >= 128
    assert solid.mean(axis=(3, 4)).min() > 0.1
    lowest = SIZE - 1 - solid.any(axis=4)[..., ::-1].argmax(axis=3)
    assert np.abs(lowest - (1 + GROUND) / 2 * SIZE).max() < 4
    poses = drawings().reshape(len(SPECIES) * POSES, -1)
    assert len({pose.tobytes() for pose in poses}) == len(poses)


def test_blurred_drawings_have_softer_edges() -> None:
    shares = ints(drawings()[..., :4]).sum(axis=-1)
    soft = ((shares > 16) & (shares < 240)).mean(axis=(0, 1, 3, 4))
    assert sorted(soft, reverse=True) == soft.tolist()


def test_strips_of_scenery_differ() -> None:
    outdoors = strips()[:, :OUTDOORS].reshape(-1, *strips().shape[3:])
    assert len({strip.tobytes() for strip in outdoors}) == len(outdoors)
    assert ints(outdoors[..., :2]).sum(axis=-1).max() <= 256
    assert (outdoors[:, -1, :, :2].max(axis=(1, 2)) > 200).all(), "they stand on their foot"
    assert not strips()[:, OUTDOORS:].any(), "a studio is empty"


def test_textures_tile() -> None:
    for texture in ints(textures()):
        for turned in (texture, texture.T):
            assert np.abs(turned[0] - turned[-1]).max() <= np.abs(np.diff(turned, axis=0)).max()


@pytest.fixture
def canvas() -> Canvas:
    return Canvas(40, 60, 2, 1.5)


def grid(canvas: Canvas) -> NDArray[np.float64]:
    """(40, 60, 2) positions of the pixels."""
    return np.stack(np.broadcast_arrays(canvas.x, canvas.y), axis=-1).astype(np.float64)


def test_a_canvas_has_square_pixels_around_its_middle(canvas: Canvas) -> None:
    assert canvas.y.ravel() == pytest.approx(np.linspace(-1, 1, 81)[1::2])
    assert canvas.x.ravel() == pytest.approx(np.linspace(-1.5, 1.5, 121)[1::2], abs=1e-6)


def test_circles_and_ellipses(canvas: Canvas) -> None:
    x, y = np.moveaxis(grid(canvas), -1, 0)
    assert np.allclose(canvas.ellipse((0.2, -0.1), (0.5, 0.5)), np.hypot(x - 0.2, y + 0.1) - 0.5, atol=1e-6)
    inside = ((x - 0.2) / 0.7) ** 2 + ((y + 0.1 - 0.3 * (x - 0.2)) / 0.4) ** 2 < 1
    assert np.array_equal(canvas.ellipse((0.2, -0.1), (0.7, 0.4), 0.3) < 0, inside)


def test_limbs_and_curves(canvas: Canvas) -> None:
    t = np.linspace(0, 1, 4001)[:, None]
    start, middle, end = np.array([-0.9, 0.5]), np.array([0.1, -1.2]), np.array([0.8, 0.6])
    line = start + (end - start) * t
    bent = (1 - t) ** 2 * start + 2 * t * (1 - t) * middle + t**2 * end
    for points, found, error in (
        (line, canvas.limb(tuple(start), tuple(end), 0.2, 0.2), 1e-3),
        (bent, canvas.curve([tuple(start), tuple(middle), tuple(end)], 0.2, 0.2), 0.03),
    ):
        nearest = np.linalg.norm(grid(canvas)[:, :, None] - points[::8], axis=-1).min(axis=-1)
        assert np.allclose(found, nearest - 0.2, atol=error)
    tapering = canvas.limb((-0.5, 0), (0.5, 0), 0.3, 0.1)
    width = (tapering < 0).sum(axis=0)
    assert width[20] > width[30] > width[40] > 0


def test_polygons(canvas: Canvas) -> None:
    corners = [(-0.8, -0.5), (0.3, -0.9), (0.9, 0.2), (-0.2, 0.8)]
    inside = Delaunay(corners).find_simplex(grid(canvas)) >= 0
    assert np.array_equal(canvas.polygon(corners) < 0, inside)


def test_paint_covers_what_was_there(canvas: Canvas) -> None:
    canvas.paint(canvas.ellipse((0, 0), (0.8, 0.8)), 0, light=0.5)
    assert canvas.cover[0].sum() * 0.05**2 == pytest.approx(np.pi * 0.8**2, rel=0.01)
    canvas.paint(canvas.ellipse((0, 0), (0.4, 0.4)), 1, light=1.5)
    assert canvas.cover.sum(axis=0).max() <= 1 + 1e-6
    assert canvas.cover[:, 20, 30].tolist() == [0, 1]
    assert (canvas.light[20, 30], canvas.light[20, 42], canvas.light[0, 0]) == (1.5, 0.5, 0)


def test_what_is_thick_is_darker_at_its_edge_and_below(canvas: Canvas) -> None:
    canvas.paint(canvas.ellipse((0, 0), (0.8, 0.8)), 0, depth=0.5)
    middle, edge, top, bottom = canvas.light[[20, 20, 12, 27], [30, 43, 30, 30]]
    assert edge < middle
    assert bottom < top
