"""What all pages share: one file each that needs nothing else, no script, no font, no network."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from ..findings.words import shown


def environment(**filters: Callable[..., Any]) -> Environment:
    """Templates of this folder, everything put into them escaped; `name`, `shown` and `bound` are filters of all."""
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters.update(name=name, shown=shown, bound=bound, **filters)
    return templates


def name(text: str) -> Markup:
    """A name from anywhere, so set that the direction it is written in ends with it."""
    return Markup("<bdi>{}</bdi>").format(shown(text))


def bound(text: str) -> str:
    """A number and its percent sign are not parted at the end of a line."""
    return text.replace(" %", "\N{NO-BREAK SPACE}%")


def uri(image: Image.Image, quality: int) -> str:
    """A picture as part of the page, as a JPEG of that quality."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"
