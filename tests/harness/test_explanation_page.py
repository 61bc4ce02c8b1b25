"""An explanation as a report, a page, a picture and in the terminal: the same numbers, every name harmless."""

from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageColor, ImageDraw
from rich.cells import cell_len
from rich.console import Console
from torch.nn.functional import interpolate

from spurbench.contact_sheet import GAP
from spurbench.data import OwnFeatures
from spurbench.errors import DataError, UsageError
from spurbench.explained import Explanation
from spurbench.explained import report as module
from spurbench.explained.report import ExplanationReport, Span, make_report
from spurbench.findings.words import percent
from spurbench.record import json_schema
from spurbench.render import explanation_words as words
from spurbench.render.explanation_curve import apart
from spurbench.render.explanation_page import to_html
from spurbench.render.explanation_pictures import SIDE, open_shown
from spurbench.render.explanation_sheet import BAD, INK, ROW, UPPER, explanation_sheet, refuse_giants
from spurbench.render.explanation_terminal import MOST_GROUPS, print_explanation
from spurbench.render.explanation_terms import terms
from spurbench.render.overlay import heated, outlined, viewed

Make = Callable[..., Explanation]
HOSTILE = (
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "two\nlines\u2028{{ 7 * 7 }}",
    "\u202eesrever\u2066 & שלום\x1b[31m\x00",
)
VOID = ("meta", "img", "br")


class Seen(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data


def page(explanation: Explanation) -> str:
    return to_html(make_report(explanation), open_shown(explanation))


def squeezed(text: str) -> str:
    return " ".join(text.split())


def printed(explanation: Explanation, width: int = 80) -> str:
    console = Console(width=width, force_terminal=True, color_system=None, file=io.StringIO())
    print_explanation(make_report(explanation), console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_report_has_the_numbers_of_the_explanation(make_explanation: Make) -> None:
    explanation = make_explanation()
    report = make_report(explanation)
    assert ExplanationReport.model_validate_json(report.to_json()) == report
    for method, panel in zip(report.methods, explanation.panels, strict=True):
        assert panel.attention is not None
        assert method.balanced is not None
        assert (method.name, method.wga, method.curve) == (panel.method, panel.wga, list(panel.attention.curve))
        assert method.groups[-1].numbers is None
        assert [row.accuracy for row in method.groups] == list(panel.accuracy)
        for measure in ("aiou", "pointing", "energy"):
            means = getattr(panel.attention, measure)
            assert getattr(method.balanced, measure).mean == means.balanced.mean
            assert [getattr(row.numbers, measure).low for row in method.groups[:-1]] == [
                i.low for i in means.groups[:-1]
            ]
    for place, (photo, row) in enumerate(zip(report.photos, explanation.rows.tolist(), strict=True)):
        examples, card = explanation.examples, explanation.card
        assert (photo.row, photo.id, photo.group) == (row, examples.ids[row], examples.groups[row])
        assert report.groups[photo.group] == f"{photo.label}/{photo.attribute}"
        for verdict, panel in zip(photo.verdicts, explanation.panels, strict=True):
            assert verdict.predicted == card.classes[panel.predicted[place]]
            assert verdict.rival == card.classes[panel.maps.rival[place]] != photo.label
            assert explanation.objects is not None
            shares = interpolate(torch.from_numpy(panel.maps.true[place])[None, None], (8, 8), mode="bilinear")[0, 0]
            inside = shares[torch.from_numpy(explanation.objects[place])].sum() / shares.sum()
            assert verdict.energy == pytest.approx(float(inside), abs=1e-6)
    unknown = make_report(make_explanation(known=False))
    assert {verdict.energy for photo in unknown.photos for verdict in photo.verdicts} == {None}


def test_the_committed_schema_is_that_of_the_model() -> None:
    path = Path(module.__file__).with_name("report.schema.json")
    assert path.read_text() == json_schema(ExplanationReport)
    schema = json.loads(path.read_text())
    objects = [schema, *schema["$defs"].values()]
    assert len(objects) > 5
    assert all(part["additionalProperties"] is False for part in objects)


def test_reports_and_sheets_need_no_torch() -> None:
    code = (
        "import sys, spurbench.explained.report, spurbench.render.explanation_page as p, "
        "spurbench.render.explanation_sheet, spurbench.render.explanation_terminal; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


def test_pictures_are_the_photo_as_seen_and_under_each_map(make_explanation: Make) -> None:
    explanation = make_explanation()
    assert explanation.objects is not None
    assert explanation.examples.photos is not None
    shown = open_shown(explanation)
    frame = tuple(explanation.frames[0].tolist())
    for place, one in enumerate(shown):
        (photo,) = explanation.examples.photos.open([int(explanation.rows[place])])
        small, mask = photo.resize((SIDE, 128), Image.Resampling.LANCZOS), explanation.objects[place]
        assert one.photo.tobytes() == outlined(viewed(small, frame), mask, frame).tobytes()
        for (true, rival), panel in zip(one.maps, explanation.panels, strict=True):
            assert true.tobytes() == outlined(heated(small, panel.maps.true[place], frame), mask, frame).tobytes()
            assert rival.tobytes() == outlined(heated(small, panel.maps.confused[place], frame), mask, frame).tobytes()
    (photo,) = explanation.examples.photos.open([int(explanation.rows[0])])
    (unknown, *_) = open_shown(replace(explanation, objects=None))
    assert unknown.photo.tobytes() == viewed(photo.resize((SIDE, 128), Image.Resampling.LANCZOS), frame).tobytes()


def test_a_data_set_of_features_has_no_photos_to_show(make_explanation: Make) -> None:
    explanation = make_explanation()
    own = OwnFeatures("toy", np.zeros((36, 2), np.float32), np.zeros((3, 2), np.float32))
    without = replace(explanation, examples=replace(explanation.examples, photos=None, features=own))
    with pytest.raises(DataError, match="'mosaics' has no photos to lay maps over"):
        open_shown(without)


def test_the_page_needs_nothing_else_and_marks_every_wrong_prediction(make_explanation: Make) -> None:
    explanation = make_explanation()
    report, text = make_report(explanation), page(explanation)
    seen = Seen(text)
    assert text == page(explanation)
    assert not re.search(r"https?:|@import|url\(|<script|<link", text)
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text
    policy = next(a["content"] for _, a in seen.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    images = [attributes for tag, attributes in seen.elements if tag == "img"]
    each = 1 + 2 * len(report.methods)
    assert len(images) == len(report.photos) * each == 60
    for place, image in enumerate(images):
        kind, _, data = str(image["src"]).partition(",")
        assert kind == "data:image/jpeg;base64"
        opened = Image.open(io.BytesIO(base64.b64decode(data)))
        assert (str(opened.width), str(opened.height)) == (image["width"], image["height"]) == (str(SIDE), "128")
        assert report.photos[place // each].id in str(image["alt"])
    verdicts = [(photo, verdict) for photo in report.photos for verdict in photo.verdicts]
    wrong = [verdict for photo, verdict in verdicts if verdict.predicted != photo.label]
    blocks = [a["class"] for _, a in seen.elements if (a.get("class") or "").startswith("block")]
    assert ["taken" in str(block) for block in blocks] == [v.predicted != photo.label for photo, v in verdicts]
    marks = [a.get("aria-label") for _, a in seen.elements if a.get("aria-label") in ("right", "wrong")]
    assert marks.count("wrong") == len(wrong) > 0
    assert marks.count("right") == len(verdicts) - len(wrong) > 0
    shown = squeezed(seen.text)
    assert shown.count("takes it for") == len(wrong)
    for photo, verdict in verdicts:
        assert verdict.energy is not None
        told = f"{'✓' if verdict.predicted == photo.label else 'takes it for'} {verdict.predicted}"
        assert f"{told} for {photo.label}, {percent(verdict.energy)} inside for {verdict.rival}" in shown


def test_the_page_has_every_number_that_heads_its_columns(make_explanation: Make) -> None:
    report, text = make_report(make_explanation()), page(make_explanation())
    shown = squeezed(Seen(text).text)
    for method in report.methods:
        assert method.balanced is not None
        for span in (method.balanced.energy, method.balanced.pointing, method.balanced.aiou):
            assert squeezed(f"{words.spanned(span)} %") in shown
        for row in method.groups[:-1]:
            assert row.numbers is not None
            inside, points = percent(row.numbers.energy.mean), percent(row.numbers.pointing.mean)
            assert f"{percent(row.accuracy)} right {inside} in the object · points at it {points}" in shown
            assert f"width:{100 * row.numbers.energy.mean:.1f}%" in text
    assert squeezed(words.conclusion(report)) in shown
    assert "6 photos were not measured: no mask" in shown
    assert "a note" in shown
    assert "ab" * 32 in shown
    assert words.VIEW in shown
    whole = replace(make_explanation(), frames=np.tile(np.array([0, 0, 1, 1], dtype=np.float32), (12, 1)))
    assert words.VIEW not in squeezed(Seen(page(whole)).text)
    for baseline in report.baselines:
        assert baseline.name in shown
        # In the bar of each method and of each such map.
        assert text.count(f'<b style="left:{100 * baseline.balanced.energy.mean:.1f}%">') == 4
    headings = re.findall("<th>(.*?)</th>", text)
    assert headings == ["method", "worst-group accuracy", "energy in the object", "pointing", "AIoU"]


def test_terms_stand_below_the_table_before_any_map(make_explanation: Make) -> None:
    report, text = make_report(make_explanation()), page(make_explanation())
    shown = squeezed(Seen(text).text)
    told = " ".join(f"{term}{meaning}" for term, meaning in terms(report))
    assert shown.index(squeezed(words.measured_on(report))) < shown.index(told) < shown.index(words.COLOURS)
    assert [term for term, _ in terms(report)][:3] == ["Energy", "Pointing", "AIoU"]
    assert shown.index(told) < text.index("<h2>")
    folded = text[text.index("<details><summary>How much the choice of threshold matters") :]
    assert "<svg" in folded[: folded.index("</details>")]
    assert text.count("<svg") == 1


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(("kind", "name"), [("grad-cam", "Grad-CAM"), ("relevance", "Transformer relevance")])
@pytest.mark.parametrize(("score", "called"), [("odds", "Odds"), ("logit", "Logit")])
def test_terms_are_those_of_the_report(
    make_explanation: Make, known: bool, kind: str, name: str, score: str, called: str
) -> None:
    report = make_report(make_explanation(known=known)).model_copy(update={"kind": kind, "score": score})
    found = dict(terms(report))
    measures = ["Energy", "Pointing", "AIoU", "IoU"] if known else []
    assert list(found) == [*measures, name, "Layer", called]
    assert found["Layer"].startswith("layer4, ")
    assert ("not comparable with each other" in found[name]) == known


@pytest.mark.parametrize(
    ("models", "maps", "numbers"),
    [
        (((0, 1), (0, 1)), "seed 0", "1 model of each method"),
        (((0, 5), (0, 5)), "seed 0", "5 models of each method"),
        (((0, 5), (2, 1)), "seed 0 (zero_shot) and seed 2 (erm)", "5 models of zero_shot, 1 model of erm"),
    ],
)
def test_it_is_told_whose_maps_and_whose_numbers_these_are(
    make_explanation: Make, models: Sequence[tuple[int, int]], maps: str, numbers: str
) -> None:
    report = make_report(make_explanation())
    methods = [
        method.model_copy(update={"seed": seed, "seeds": seeds})
        for method, (seed, seeds) in zip(report.methods, models, strict=True)
    ]
    report = report.model_copy(update={"methods": methods, "left_out": {"no mask": 1, "no box": 2}})
    assert words.whose(report).startswith(f"Maps: {maps}; numbers: {numbers}. ")
    assert f"25 test photos with masks, {numbers}; intervals" in words.measured_on(report)
    assert words.left_out(report) == ["1 photo was not measured: no mask", "2 photos were not measured: no box"]


def test_the_curves_run_through_the_thresholds(make_explanation: Make) -> None:
    explanation = make_explanation(methods=("one", "two", "three"))
    seen = Seen(page(explanation))
    lines = [a["points"] for tag, a in seen.elements if tag == "polyline"]
    assert len(lines) == 3
    points = np.array([[[float(v) for v in p.split(",")] for p in str(line).split()] for line in lines])
    curves = np.array([panel.attention.curve for panel in explanation.panels if panel.attention is not None])
    # One straight line turns all shares into heights, another all thresholds into places.
    for values, drawn, sign in ((curves, points[..., 1], -1), (np.tile([0.25, 0.5, 0.75], (3, 1)), points[..., 0], 1)):
        slope, start = np.polyfit(values.ravel(), drawn.ravel(), 1)
        assert np.sign(slope) == sign
        np.testing.assert_allclose(slope * values + start, drawn, atol=0.11)


@given(st.lists(st.floats(0, 200), min_size=1, max_size=9))
def test_names_are_moved_apart_and_keep_their_order(places: list[float]) -> None:
    moved = apart(places, 15, 0, 200)
    order = np.argsort(places, kind="stable")
    ordered = np.array(moved)[order]
    assert (np.diff(ordered) >= 15 - 1e-9).all()
    assert ordered[0] >= -1e-9
    assert ordered[-1] <= 200 + 1e-9
    assert apart(moved, 15, 0, 200) == pytest.approx(moved), "what is apart stays"


@pytest.mark.parametrize("known", [True, False])
def test_hostile_names_stay_text(make_explanation: Make, known: bool) -> None:
    ids = [f"{row}<b>\"'\u202e\udcff" for row in range(48)]
    strange = make_explanation(HOSTILE[:2], HOSTILE, HOSTILE[:2], ids=ids, title=HOSTILE[3], known=known, notes=HOSTILE)
    strange = replace(strange, layer=HOSTILE[0], why_no_objects="" if known else HOSTILE[1])
    text = page(strange)
    harmless, seen = Seen(page(make_explanation(classes="abcd", known=known))), Seen(text)
    assert {tag for tag, _ in seen.elements} == {tag for tag, _ in harmless.elements}
    allowed = {name for _, attributes in harmless.elements for name in attributes}
    assert {name for _, attributes in seen.elements for name in attributes} == allowed
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00-\x09\x0b-\x1f\u2028]", text)
    shown = squeezed(seen.text)
    assert "<script>alert(1)</script>" in shown
    assert "{{ 7 * 7 }}" in shown
    report = make_report(strange)
    assert ExplanationReport.model_validate_json(report.to_json().encode()) == report
    explanation_sheet(report, open_shown(strange))


def test_where_objects_are_not_known_there_are_maps_and_the_reason(make_explanation: Make) -> None:
    explanation = make_explanation(known=False)
    shown = squeezed(Seen(page(explanation)).text)
    assert "How much of it is the object is not known: nobody drew masks" in shown
    assert "energy" not in shown
    told = printed(explanation)
    assert "nobody drew masks" in told
    assert "AIoU" not in told
    assert squeezed(f"erm worst {percent(explanation.panels[1].wga).removesuffix(' %')}") in squeezed(told)
    assert words.whose(make_report(explanation)).startswith("Maps: seed 1. ")
    assert explanation_sheet(make_report(explanation), open_shown(explanation)).height > len(explanation.rows) * ROW


def spanned(mean: float) -> Span:
    return Span(mean=mean, low=mean - 0.01, high=mean + 0.01)


def concluded(report: ExplanationReport, energies: Sequence[float], pointing: float, blind: bool = True) -> str:
    """What is said where methods have these energies and all the same pointing; blind maps have 20 and 40 %, 50 %."""

    def row(old: Any, energy: float, points: float) -> Any:
        changes = {"energy": spanned(energy), "pointing": spanned(points)}
        return old.model_copy(update={"balanced": old.balanced.model_copy(update=changes)})

    methods = [row(old, energy, pointing) for old, energy in zip(report.methods, energies, strict=False)]
    baselines = [row(old, energy, 0.5) for old, energy in zip(report.baselines, (0.2, 0.4), strict=True)]
    return words.conclusion(report.model_copy(update={"methods": methods, "baselines": baselines if blind else []}))


MOST = "erm looks at the object most: {} % of its map lies there; zero_shot least: {} %."
NONE = "No method looks at the object clearly more than another: {} % of their maps lie there."
BLIND = " Of maps that know nothing of the photo: the same everywhere 20 %, a blob in the middle 40 %. "
BLUNT = " None points at the object clearly more often than they do (50 %)."


@pytest.mark.parametrize(
    ("energies", "pointing", "sentence"),
    [
        ((0.3, 0.6), 0.7, MOST.format(60, 30) + BLIND + "Only erm clearly beats these maps."),
        ((0.3, 0.6), 0.505, MOST.format(60, 30) + BLIND + "Only erm clearly beats these maps." + BLUNT),
        ((0.45, 0.6), 0.7, MOST.format(60, 45) + BLIND + "All methods clearly beat these maps."),
        ((0.2, 0.402), 0.7, MOST.format(40, 20) + BLIND + "No method clearly beats these maps."),
        ((0.31, 0.3), 0.4, NONE.format("30 % to 31") + BLIND + "No method clearly beats these maps." + BLUNT),
        ((0.151, 0.149), 0.7, NONE.format("15") + BLIND + "No method clearly beats these maps."),
        ((0.5,), 0.7, "zero_shot: 50 % of its map lies in the object." + BLIND + "It clearly beats these maps."),
    ],
)
def test_the_conclusion_says_who_looks_at_the_object_more_and_who_beats_blind_maps(
    make_explanation: Make, energies: Sequence[float], pointing: float, sentence: str
) -> None:
    report = make_report(make_explanation())
    assert concluded(report, energies, pointing) == sentence
    assert concluded(report, energies, pointing, blind=False) == sentence.partition(BLIND)[0]


def test_many_methods_that_beat_blind_maps_are_counted(make_explanation: Make) -> None:
    report = make_report(make_explanation(methods=[f"m{number}" for number in range(9)]))
    told = concluded(report, (0.2, *(0.6,) * 8), 0.7)
    assert told.endswith("Only 8 of 9 methods clearly beat these maps.")


def test_the_sheet_has_every_picture_and_frames_what_is_wrong(make_explanation: Make) -> None:
    explanation = make_explanation()
    report, shown = make_report(explanation), open_shown(explanation)
    sheet = explanation_sheet(report, shown)
    assert sheet.tobytes() == explanation_sheet(report, shown).tobytes()
    pixels = np.asarray(sheet)
    red = (pixels == np.array([int(BAD[k : k + 2], 16) for k in (1, 3, 5)])).all(axis=2)
    wrong = sum(v.predicted != photo.label for photo in report.photos for v in photo.verdicts)
    # The rows of pixels that hold the upper or lower edge of a frame, and the frames side by side in them.
    edges = [row for row in red if row.sum() > SIDE]
    runs = [int((np.diff(np.flatnonzero(np.diff(np.pad(row.astype(int), 1))))[::2] > SIDE).sum()) for row in edges]
    assert sum(runs) == 2 * 3 * wrong > 0
    for one, photo in zip(shown, report.photos, strict=True):
        for picture in (one.photo, *(picture for pair in one.maps for picture in pair)):
            assert found(sheet, picture) is not None
        for (own, _), verdict in zip(one.maps, photo.verdicts, strict=True):
            x, y = found(sheet, own) or (0, 0)
            top = y - (SIDE - own.height) // 2 - UPPER
            signs = {colour for _, colour in sheet.crop((x, top, x + UPPER - GAP, top + UPPER - GAP)).getcolors() or ()}
            right = verdict.predicted == photo.label
            assert (ImageColor.getrgb(INK) in signs, ImageColor.getrgb(BAD) in signs) == (right, not right)


def found(sheet: Image.Image, picture: Image.Image) -> tuple[int, int] | None:
    """Where a picture stands on a sheet, pixel by pixel."""
    data, first = sheet.tobytes(), picture.tobytes()[: 3 * picture.width]
    at = data.find(first)
    while at >= 0:
        y, x = divmod(at // 3, sheet.width)
        if sheet.crop((x, y, x + picture.width, y + picture.height)).tobytes() == picture.tobytes():
            return x, y
        at = data.find(first, at + 1)
    return None


def test_the_sheet_says_what_the_page_says(make_explanation: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    report, said = make_report(make_explanation()), written(make_explanation(), monkeypatch)
    assert "method worst group energy pointing AIoU" in said
    for line in (words.conclusion(report), words.measured_on(report), words.whose(report), words.RIVAL):
        assert squeezed(line) in said
    for term, meaning in terms(report):
        assert f"{term}: {meaning}" in said
    photo = report.photos[0]
    assert photo.verdicts[0].energy is not None
    assert f"for {photo.label}, {percent(photo.verdicts[0].energy)} inside for {photo.verdicts[0].rival}" in said


def written(explanation: Explanation, monkeypatch: pytest.MonkeyPatch) -> str:
    """All the words on a sheet."""
    said: list[str] = []
    write = ImageDraw.ImageDraw.text

    def listen(draw: ImageDraw.ImageDraw, place: tuple[float, float], text: str, *how: Any, **more: Any) -> None:
        said.append(text)
        write(draw, place, text, *how, **more)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", listen)
    explanation_sheet(make_report(explanation), open_shown(explanation))
    return squeezed(" ".join(said))


@pytest.mark.parametrize("known", [True, False])
def test_empty_maps_are_told(make_explanation: Make, monkeypatch: pytest.MonkeyPatch, known: bool) -> None:
    explanation = make_explanation(known=known)
    assert "nothing speaks for it" not in squeezed(Seen(page(explanation)).text).replace(words.RIVAL, "")
    for place in (0, 3):
        explanation.panels[1].maps.true[place] = 0
    explanation.panels[0].maps.confused[5] = 0
    report = make_report(explanation)
    ending = "; they count as 0 %." if known else "."
    for told in (squeezed(Seen(page(explanation)).text), written(explanation, monkeypatch)):
        assert told.count("nothing speaks for it") - told.count(words.RIVAL) == 3
        for place in (0, 3):
            photo = report.photos[place]
            assert f"for {photo.label}: nothing speaks for it for {photo.verdicts[1].rival}" in told
        assert f"for {report.photos[5].verdicts[0].rival}: nothing speaks for it" in told
        assert f"Empty maps of the own class: erm 2 of 12{ending}" in told


def test_giants_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_giants(3, 16)
    with pytest.raises(UsageError, match=r"a sheet of 4,000 photos under 12 methods .* fewer photos \(--per-group\)"):
        refuse_giants(12, 4000)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    refuse_giants(12, 4000)


def test_the_terminal_has_the_numbers_of_the_report(make_explanation: Make) -> None:
    explanation = make_explanation()
    report, text = make_report(explanation), printed(explanation)
    assert max(map(len, text.splitlines())) <= 80
    lines = [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()]

    def whole(share: float) -> str:
        return percent(share).removesuffix(" %")

    for method in report.methods:
        assert method.balanced is not None
        balanced = [method.balanced.energy, method.balanced.pointing, method.balanced.aiou]
        spans = [words.spanned(span).replace(" to ", "-") for span in balanced]
        at = lines.index([method.name, f"worst {whole(method.wga)}", *spans])
        for name, row, line in zip(report.groups, method.groups, lines[at + 1 :], strict=False):
            if row.numbers is not None:
                numbers = (row.numbers.energy, row.numbers.pointing, row.numbers.aiou)
                assert line == [name, whole(row.accuracy or 0.0), "25", *(whole(span.mean) for span in numbers)]
    assert any(line[0] == "the same everywhere" for line in lines)
    assert squeezed(words.conclusion(report)) in squeezed(text)
    assert squeezed(words.measured_on(report)) in squeezed(text)
    assert "25 test photos with masks, 3 models of each method" in squeezed(text)
    for term, meaning in terms(report):
        assert f"{term}: {meaning}" in squeezed(text)
    many = printed(make_explanation(classes=[f"class {k}" for k in range(20)]))
    assert f"and {39 - MOST_GROUPS} more groups in report.json" in many


@settings(max_examples=15)
@given(names=st.lists(st.text(min_size=1, max_size=100), min_size=3, max_size=3, unique=True))
def test_any_name_fits_into_80_columns(make_explanation: Make, names: list[str]) -> None:
    text = printed(make_explanation(classes=names, per_group=1))
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)
    assert max(map(cell_len, text.splitlines())) <= 80
