"""README.md, the data card: what the data set is, how it was made, what it is good for and where it misleads."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from tabulate import tabulate

from ...marking import markdown
from ..file_names import LABELS, MANIFEST, METADATA, RECORD
from ..table import GROUPS, ClassResult
from . import huggingface, webdataset_form, words
from .built import NO_LICENCE, Built, Form, is_reserved, licences
from .folder_card import CARD
from .record import BuildRecord

if TYPE_CHECKING:
    import pandas as pd

README, REPORT, CROISSANT = "README.md", "report.html", "croissant.json"
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def readme(built: Built, record: BuildRecord, rows: pd.DataFrame, out: Path, forms: Collection[Form]) -> str:
    """The data card, with the front matter that Hugging Face reads.

    Args:
        rows: the photos of the data set, as `folder.placed` gives them.
        out: where the data set will be, as the user wrote it, for the commands.
        forms: what is written beside the folder of photos.
    """
    parts = [
        ["---", yaml.safe_dump(_front(record, forms), sort_keys=False, allow_unicode=True).rstrip("\n"), "---"],
        [f"# {markdown(built.title)}"],
        _summary(record),
        ["## Classes", "", _classes(record)],
        ["## How it was made", "", *_made(record)],
        ["## The instrument", "", _instrument(built)],
        ["## Backgrounds", "", _backgrounds(record)],
        ["## Photos", "", _photos(record)],
        ["## Licences", "", *_licences(rows)],
        ["## How to evaluate on it", "", *_evaluate(record, out, forms)],
        ["## Limits", "", *(f"- {limit}" for limit in words.limits(record.found.rule))],
        ["## Files", "", _files(forms)],
    ]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _front(record: BuildRecord, forms: Collection[Form]) -> dict[str, Any]:
    n = record.counts.in_data_set
    front: dict[str, Any] = {
        "pretty_name": " ".join(record.title.split()),
        "license": "other",
        "license_name": "per-photo",
        "license_link": METADATA,
        "task_categories": ["image-classification", "zero-shot-image-classification"],
        "size_categories": [next((name for most, name in _SIZES if n < most), "n>1M")],
        "tags": ["spurious-correlations", "robustness"],
    }
    if "huggingface" in forms:
        files = [
            {"split": name, "path": f"{huggingface.FOLDER}/data/{name}-*.parquet"}
            for split, name in huggingface.SPLIT.items()
            if sum(record.counts.splits[split].values())
        ]
        front["configs"] = [{"config_name": "photos", "data_files": files, "default": True}]
    else:
        front["configs"] = [{"config_name": "metadata", "data_files": METADATA}]
    return front


def _summary(record: BuildRecord) -> list[str]:
    found = record.found
    if not found.kept:
        return [
            f"**No class was kept** of the {len(found.classes):,} that were looked at, so there are no photos here. "
            f"{REPORT} says of each class why."
        ]
    head = (
        f"{record.counts.in_data_set:,} photos of {len(found.kept):,} classes, each before one background where the "
        "instrument, a zero-shot model, names it more often (easy) and one where it names it less often (hard)."
    )
    if found.drop is None or found.easy is None or found.hard is None:
        return [
            head,
            "",
            f"Drop, averaged over classes: **{words.points(found.drop_found)} points** {words.IN_SAMPLE}. There is no "
            "evaluation half: the published rule was asked for.",
        ]
    table = [
        ["easy", words.bounded(found.easy)],
        ["hard", words.bounded(found.hard)],
        ["**drop, on the evaluation half**", f"**{words.bounded(found.drop)}**"],
        [f"drop, {words.IN_SAMPLE}", words.points(found.drop_found)],
    ]
    heading = ["averaged over classes", f"percent ({100 * found.rule.confidence:g} % interval)"]
    return [head, "", _table(heading, table, left=1)]


def _classes(record: BuildRecord) -> str:
    kept, rule = record.found.kept, record.found.rule
    if not kept:
        return "None."

    def row(result: ClassResult) -> list[str]:
        easy, hard = (words.of_pair(result, name, rule) for name in (result.easy, result.hard))
        return [
            markdown(result.label),
            f"{markdown(result.easy)} ({words.share(easy)})",
            f"{markdown(result.hard)} ({words.share(hard)})",
            words.bounded(result.drop),
            words.points(result.drop_found),
            words.p_value(result.p_adjusted),
        ]

    headings = ["class", "easy", "hard", "drop", "in-sample drop", "p"]
    rows = [row(result) for result in kept]
    dropped = len(record.found.classes) - len(kept)
    left = f"Looked at and not kept: {dropped:,}" + (f"; {REPORT} says why." if dropped else ".")
    if rule.published:
        # No evaluation half, no test.
        columns = [place for place, heading in enumerate(headings) if heading not in ("drop", "p")]
        table = _table([headings[k] for k in columns], [[cells[k] for k in columns] for cells in rows], left=3)
        return f"{table}\n\nRight answers are on all photos; the drop is in points, {words.IN_SAMPLE}. {left}"
    return (
        f"{_table(headings, rows, left=3)}\n\nRight answers are on the evaluation half; the drop is in points there, "
        f"with its interval; the in-sample drop is {words.IN_SAMPLE}; p is adjusted for all classes. {left}"
    )


def _made(record: BuildRecord) -> list[str]:
    command = record.command.replace("```", "")
    return [
        *(f"- {sentence}" for sentence in words.the_rule(record.found.rule)),
        f"- Everything random comes from seed {record.seed}.",
        "",
        "```sh",
        " ".join(command.split()),
        "```",
    ]


def _instrument(built: Built) -> str:
    instrument = built.instrument
    facts = {
        "model": instrument.backbone,
        "weights": instrument.weights,
        "activation": instrument.activation,
        "precision": instrument.precision,
        "preprocessing": instrument.preprocessing,
        "templates": "; ".join(instrument.templates) or "none, it has a classifier of its own",
        "label space": f"{instrument.label_space}, {len(instrument.labels):,} names",
        "fingerprint": instrument.fingerprint,
        **dict(instrument.software),
    }
    said = "All of this decides which photos are hard: with another prompt or activation the pairs may be others."
    return "\n".join([*(f"- {name}: {markdown(value)}" for name, value in facts.items()), "", said])


def _backgrounds(record: BuildRecord) -> str:
    by = record.counts.backgrounds_by
    text = (
        f"Of {record.counts.kept:,} photos, {by['label']:,} have the background that their owner named, "
        f"{by['confirmed']:,} one that a model guessed and a person confirmed"
    )
    if not by["draft"]:
        return f"{text}. None is an unconfirmed guess."
    return (
        f"{text}, and {by['draft']:,} one that a model guessed and nobody confirmed.\n\n> **Warning: {by['draft']:,} "
        "backgrounds are unconfirmed drafts.** What the drafting model takes for a background may have as much to do "
        "with the animal as with the place. Confirm them before publishing anything that rests on them."
    )


def _photos(record: BuildRecord) -> str:
    counts = record.counts
    splits = [[split, f"{groups['easy']:,}", f"{groups['hard']:,}"] for split, groups in counts.splits.items()]
    left = "; ".join(f"{count:,} {words.STATUS[status]}" for status, count in counts.left_out.items() if count)
    return (
        f"{_table(['split', 'easy', 'hard'], splits, left=1)}\n\n"
        f"{counts.looked_at:,} photos were looked at, {counts.kept:,} kept after cleaning"
        f"{f' (left out: {left})' if left else ''}. Photos that are not of a pair are not copied; {MANIFEST} lists "
        f"every photo. {counts.truncated:,} photos here are incomplete files."
    )


def _licences(rows: pd.DataFrame) -> list[str]:
    counts = licences(rows)
    if not counts:
        return ["No photos, no licences."]
    table = [[markdown(name), f"{count:,}"] for name, count in counts.items()]
    lines = [_table(["licence, as given", "photos"], table, left=1)]
    reserved = sum(count for name, count in counts.items() if is_reserved(name))
    if reserved:
        warning = f"> **Warning: {reserved:,} photos have all rights reserved.** Do not pass them on without leave."
        lines += ["", warning]
    if NO_LICENCE in counts:
        lines += [
            "",
            f"> **Warning: {counts[NO_LICENCE]:,} photos have no licence.** None given is not free to use: ask whoever "
            "took them before passing them on.",
        ]
    return [
        *lines,
        "",
        f"Who took each photo, and how to name them: columns photographer and attribution of {METADATA}.",
    ]


def _evaluate(record: BuildRecord, out: Path, forms: Collection[Form]) -> list[str]:
    if not record.found.kept:
        return ["There is nothing to evaluate on."]
    folder, official = (shlex.quote(f"{name}:{out}") for name in ("folder", "counteranimal"))
    backbone = shlex.quote(record.instrument.backbone)
    lines = [
        "Train on train, choose on val, test on test; groups are class and easy or hard:",
        "",
        "```sh",
        f"spurbench run --datasets {folder} --backbones {backbone} --methods all",
        "```",
        "",
        "As the official data set is used, nothing trained: the test photos, against all "
        f"{len(record.instrument.labels):,} names of {LABELS}:",
        "",
        "```sh",
        f"spurbench run --datasets {official} --backbones {backbone} --methods zero_shot",
        "```",
    ]
    if "huggingface" in forms:
        lines += ["", f"With Hugging Face: `datasets.load_dataset` on this folder, or on {huggingface.FOLDER}/."]
    if "webdataset" in forms:
        easy, hard = (f"{webdataset_form.FOLDER}/{group}" for group in GROUPS)
        lines += ["", f"With CLIP_benchmark: {easy} and {hard}, test photos only."]
    return lines


def _files(forms: Collection[Form]) -> str:
    files = {
        "`NUMBER CLASS/common-BACKGROUND/`": "easy photos",
        "`NUMBER CLASS/counter-BACKGROUND/`": "hard photos",
        f"`{METADATA}`": "the photos, with split, background, licence, attribution, what the instrument took them for",
        f"`{MANIFEST}`": "every photo looked at, left-out ones with the reason",
        f"`{LABELS}`": "what photos are told apart into",
        f"`{REPORT}`": "the report, with pictures",
        f"`{RECORD}`": "the same for programs",
        f"`{CROISSANT}`": "the data set described for machines (Croissant)",
        f"`{CARD}`": "what `folder:DIR` reads of it",
    }
    if "huggingface" in forms:
        files[f"`{huggingface.FOLDER}/`"] = "parquet files with photos"
    if "webdataset" in forms:
        files[f"`{webdataset_form.FOLDER}/`"] = "tar files with photos, for CLIP_benchmark"
    return "\n".join(f"- {name}: {what}" for name, what in files.items())


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> str:
    """A table whose first `left` columns are text, the others numbers."""
    align = ["left" if place < left else "right" for place in range(len(headings))]
    return tabulate(rows, headings, "pipe", colalign=align, disable_numparse=True)
