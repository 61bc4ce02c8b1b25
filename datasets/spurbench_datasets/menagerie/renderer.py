"""From scenes to photos: every step works on many photos at once, in arithmetic that is exact on every machine."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .bodies import Body
from .exact import Draws, Floats, Ints, blend, smooth
from .places import PLACES
from .plates import CLOUDS, FIELD, GRAIN, strips
from .scenery import STRIP_HEIGHT, STRIP_WIDTH, STRIPS
from .scenes import Scenes
from .view import EDGE, Colours, F, Pixels, View, col, lay_on

BATCH = 64
"""Photos rendered at once: a third quicker than 16 at a time."""
Bytes = NDArray[np.uint8]


class Rendering(NamedTuple):
    """Rendered scenes.

    Attributes:
        images: (n, EDGE, EDGE, 3) uint8 RGB.
        animal, companion, sticker: (n, EDGE, EDGE) uint8, share of each pixel that shows it, 255 for all of it.
    """

    images: Bytes
    animal: Bytes
    companion: Bytes
    sticker: Bytes

    @property
    def boxes(self) -> Ints:
        """(n, 4) left, top, right, bottom of the animal in pixels, right and bottom exclusive; zeros where none is."""
        return boxes(self.animal)


def boxes(masks: Bytes) -> Ints:
    """(n, 4) int64 left, top, right, bottom of what is at least half covered; right and bottom are exclusive."""
    seen = np.asarray(masks >= 128)
    found = np.zeros((len(masks), 4), dtype=np.int64)
    for low, high, axis in ((0, 2, 1), (1, 3, 2)):
        hits = np.asarray(seen.any(axis=axis))
        some = hits.any(axis=1)
        found[:, low] = np.where(some, hits.argmax(axis=1), 0)
        found[:, high] = np.where(some, hits.shape[1] - hits[:, ::-1].argmax(axis=1), 0)
    return found


def render(scenes: Scenes, *, animals: bool = True, scene: bool = True) -> Rendering:
    """Photos of scenes; the same scene gives the same bytes on every machine, in any batch and any order.

    Args:
        animals: leave out to get the backgrounds alone (shadows stay).
        scene: leave out to get the animals and stickers alone, on black; light and grain are the same.
    """
    parts = [_render(scenes.rows(slice(i, i + BATCH)), animals, scene) for i in range(0, len(scenes), BATCH)]
    if not parts:
        empty = np.zeros((0, EDGE, EDGE), dtype=np.uint8)
        return Rendering(np.zeros((0, EDGE, EDGE, 3), dtype=np.uint8), empty, empty, empty)
    return Rendering(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _render(scenes: Scenes, animals: bool, scene: bool) -> Rendering:
    draws = Draws(scenes.seed, scenes.index)
    picture = np.zeros((3, len(scenes), EDGE, EDGE), dtype=F)
    view = View(scenes, draws)
    if scene:
        _lay_out(picture, view)
    masks = []
    cast = ((scenes.companion, "companion"), (scenes.species, "animal"))
    for species, name in cast:
        body = Body(view, species, name)
        body.shadow(picture)
        masks.append(body.paint(picture, shown=animals))
    front = _in_front(picture, view, shown=scene)
    masks[0] *= F(1) - masks[1]
    masks = [mask * (F(1) - front) for mask in masks]
    _develop(picture, view)
    sticker = _stick(picture, scenes, draws, shown=animals)
    clear = F(1) - sticker
    images = np.clip(picture + F(0.5), F(0), F(255)).astype(np.uint8)
    companion, animal, sticker = (
        np.floor(mask * F(255) + F(0.5)).astype(np.uint8) for mask in (masks[0] * clear, masks[1] * clear, sticker)
    )
    return Rendering(np.ascontiguousarray(np.moveaxis(images, 0, -1)), animal, companion, sticker)


def _lay_out(picture: Floats, view: View) -> None:
    """Sky, ground and the scenery where they meet."""
    tables, place = view.tables, view.place
    along: Pixels = np.arange(EDGE, dtype=np.int32)[None, None, :]
    near = view.texture(CLOUDS, view.whole("ridge", FIELD), view.whole("ridge at", FIELD) + along)
    horizon = col(view.horizon) + (near - F(0.5)) * col(tables.uneven[place]) * F(2 * EDGE)
    below = smooth(view.y - horizon + F(0.5))
    height = view.y / col(view.horizon)
    rows, columns = np.arange(EDGE, dtype=np.int32)[None, :, None], np.arange(EDGE, dtype=np.int32)[None, None, :]
    cloud = view.texture(CLOUDS, rows * 2 + view.whole("cloud y", FIELD), columns + view.whole("cloud x", FIELD))
    cloud = smooth((cloud - F(0.45)) * F(3)) * col(tables.clouds[place] * view.draws.uniform("clouds"))
    ground = _ground(view)
    sky_colours, ground_colours = view.colours("sky", tables.sky), view.colours("ground", tables.ground)
    far = np.clip(F(1) - (view.y - horizon) * F(4 / EDGE), F(0), F(1)) * F(0.7)
    for channel in range(3):
        top, bottom = (col(sky_colours[:, i, channel]) for i in (0, 1))
        sky = blend(top, bottom, np.minimum(height, F(1)))
        sky = sky + (F(250) - sky) * cloud
        dark, light, away = (col(ground_colours[:, i, channel]) for i in (0, 1, 2))
        soil = blend(dark, light, ground)
        soil += (away - soil) * far
        picture[channel] = sky + (soil - sky) * below
    low, high = tables.back_zoom[place].T
    zoom = low + (high - low) * view.draws.uniform("back zoom")
    foot = view.horizon + F(2) + zoom
    cover = _put_strip(picture, view, 0, zoom, foot, view.colours("back", tables.back))
    # Haze lies before the scenery and thins out towards the camera.
    veil = col(view.haze) * np.clip(F(1.3) - view.y * F(1 / EDGE), F(0), F(1)) * np.maximum(cover, F(0.5))
    picture += (F(214) - picture) * veil


def _ground(view: View) -> Floats:
    """(n, EDGE, EDGE) in 0..1: the place's texture, laid out to the horizon."""
    depth = col(view.tables.depth[view.place])
    distance = np.clip((view.y - col(view.horizon)) * F(1 / EDGE), F(0.02), F(1))
    shrink = F(1) / (F(1) - depth + depth * (distance * F(1.6) + F(0.12)))
    rows = (distance * F(90) * (F(0.6) + F(0.4) * shrink)).astype(np.int32) + view.whole("ground y", FIELD)
    across = ((view.x - F(EDGE / 2)) * (F(0.5) + F(0.4) * shrink)).astype(np.int32) + view.whole("ground x", FIELD)
    return view.texture(view.tables.texture[view.place], rows, across)


def _put_strip(picture: Floats, view: View, side: int, zoom: Floats, foot: Floats, colours: Colours) -> Floats:
    """Put a strip of scenery on the picture, its foot at height `foot`; return its cover (n, EDGE, EDGE)."""
    draws, name = view.draws, ("back", "front")[side]
    number = (side * len(PLACES) + view.place) * STRIPS + draws.below(f"{name} strip", STRIPS)
    per_pixel = col(F(1) / zoom)
    rows = ((view.y - col(foot)) * per_pixel + F(STRIP_HEIGHT)).astype(np.int32)
    mirrored = np.where(draws.chance(f"{name} mirror", 0.5), F(-1), F(1))
    start = draws.uniform(f"{name} at", 0, STRIP_WIDTH)
    columns = ((view.x - F(EDGE / 2)) * per_pixel * col(mirrored) + col(start + F(4 * STRIP_WIDTH))).astype(np.int32)
    inside = (view.y - col(foot)) * per_pixel > F(-STRIP_HEIGHT)
    inside &= view.y < col(foot)
    rows = np.clip(rows, 0, STRIP_HEIGHT - 1) + number.astype(np.int32)[:, None, None] * np.int32(STRIP_HEIGHT)
    table = strips().view(np.uint32).reshape(-1)
    found = np.take(table, rows * np.int32(STRIP_WIDTH) + columns % np.int32(STRIP_WIDTH))
    found = np.where(inside, found, np.uint32(0))
    return lay_on(picture, found, 2, colours, shown=True)


def _in_front(picture: Floats, view: View, *, shown: bool) -> Floats:
    """Scenery before the animals, in some photos; returns its cover."""
    draws = view.draws
    there = draws.chance("front", view.difficulty.occlusion)
    zoom = draws.uniform("front zoom", 0.35, 0.8)
    foot = np.where(there, F(EDGE) + draws.uniform("front foot", 0, 8), F(0))
    canvas = picture if shown else picture.copy()
    return _put_strip(canvas, view, 1, zoom, foot, view.colours("front", view.tables.front))


def _develop(picture: Floats, view: View) -> None:
    """Light, its colour, and the sensor's grain."""
    draws = view.draws
    level = F(1.06) - draws.uniform("dim") * draws.uniform("dim again") * F(view.difficulty.dim)
    warmth = draws.uniform("warmth", -0.08, 0.08)
    rows, columns = np.arange(EDGE, dtype=np.int32)[None, :, None], np.arange(EDGE, dtype=np.int32)[None, None, :]
    across = (view.x - F(EDGE / 2)) * F(1 / EDGE) * col(draws.uniform("light from", -0.3, 0.3))
    gain = col(level) * (F(1) + across)
    strength = col(draws.uniform("grain", 0.3, 1) * F(view.difficulty.grain))
    for channel, tint in enumerate((F(1) + warmth, np.ones_like(warmth), F(1) - warmth)):
        grain = view.texture(
            GRAIN, rows + view.whole(f"grain y {channel}", FIELD), columns + view.whole(f"grain x {channel}", FIELD)
        )
        picture[channel] *= gain * col(tint)
        picture[channel] += (grain - F(0.5)) * strength


def _stick(picture: Floats, scenes: Scenes, draws: Draws, *, shown: bool) -> Floats:
    """Put a red square with a white rim into a corner of some photos; returns its cover, (n, EDGE, EDGE) of 0 and 1."""
    edge = draws.below("sticker size", 4).astype(F) + F(12)
    corner, slack = draws.below("sticker corner", 4), draws.uniform("sticker slack", 1, 6)
    far = F(EDGE) - edge - slack
    left = np.floor(np.where(corner % 2 == 0, slack, far))
    top = np.floor(np.where(corner < 2, slack, far))
    x, y = np.arange(EDGE, dtype=F)[None, None, :], np.arange(EDGE, dtype=F)[None, :, None]
    inset = np.minimum(
        np.minimum(x - col(left), col(left + edge) - F(1) - x), np.minimum(y - col(top), col(top + edge) - F(1) - y)
    )
    cover = ((inset >= 0) & scenes.sticker[:, None, None]).astype(F)
    if shown:
        for channel, (rim, ink) in enumerate(((244, 214), (244, 30), (244, 38))):
            paint = np.where(inset < 2, F(rim), F(ink))
            picture[channel] = np.where(cover > 0, paint, picture[channel])
    return cover
