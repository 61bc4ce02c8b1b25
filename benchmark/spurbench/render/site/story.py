"""How a record came about: what was tried and chosen seed by seed, what it cost, with what, and how to do it again."""

from __future__ import annotations

import json
from typing import Any

from ... import metrics
from ...findings.words import shown
from ...record import Candidate, Record, SeedResult
from .text import command, written

RULES = ("worst_group", "worst_class", "average")


def story(record: Record, track: str) -> dict[str, Any]:
    """Everything the page tells of a record that is the same under every selection rule."""
    return {
        "rules": shown(record.rules),
        "dataset": shown(record.dataset),
        "backbone": shown(record.backbone),
        "method": shown(record.method),
        "title": shown(record.title),
        "paper": shown(record.paper),
        "trains": shown(record.trains),
        "track": track,
        "supervision": [shown(word.replace("_", " ")) for word in record.supervision],
        "prompts": shown(record.prompts),
        "refit": record.refit,
        "tier": record.tier,
        "confidence": record.confidence,
        "budget": [record.budget.seeds, record.budget.configurations],
        "key": shown(record.key),
        "key_parts": {shown(name): _value(value) for name, value in record.key_parts.items()},
        "updated": shown(record.times.updated),
        "command": written(command(record)),
        "seeds": [_seed(result, record) for result in record.seeds],
        "environments": _environments(record),
    }


def _seed(result: SeedResult, record: Record) -> dict[str, Any]:
    number = str(result.seed)
    told: dict[str, Any] = {
        "seed": result.seed,
        "seconds": record.times.seconds.get(number),
        "memory": record.times.peak_memory.get(number),
    }
    if result.failure is not None:
        message, traceback = written(result.failure.message), written(result.failure.traceback)
        return {**told, "failure": {"message": message, "traceback": traceback}}
    found: dict[int, list[Candidate]] = {}
    for candidate in result.candidates:
        found.setdefault(candidate.config, []).append(candidate)
    chosen = {rule: result.candidates[selected.candidate] for rule, selected in result.selected.items()}
    return {
        **told,
        "configs": [
            [_config(result.configs[index]), len(some), _best(some, result, record), _error(some)]
            for index, some in sorted(found.items())
        ],
        "chosen": {
            rule: [sorted(found).index(candidate.config), candidate.snapshot] for rule, candidate in chosen.items()
        },
    }


def _config(config: dict[str, float | int | str | bool]) -> str:
    return shown(", ".join(f"{name} = {value}" for name, value in config.items()))


def _best(candidates: list[Candidate], result: SeedResult, record: Record) -> list[float] | None:
    """The best of a configuration's snapshots on validation by each of RULES; None where nothing was validated on."""
    total, width = result.selection_total, len(record.attributes)
    known = [candidate.selection for candidate in candidates if candidate.selection is not None]
    if not known or not sum(total):
        return None
    best = (
        max(metrics.worst_group_accuracy(correct, total) for correct in known),
        max(metrics.worst_class_accuracy(correct, total, width) for correct in known),
        max(metrics.accuracy(correct, total) for correct in known),
    )
    return [round(value, 4) for value in best]


def _error(candidates: list[Candidate]) -> str:
    return next((shown(candidate.error) for candidate in candidates if candidate.error), "")


def _environments(record: Record) -> list[list[Any]]:
    """Each environment with the seeds that were computed in it."""
    seeds: dict[tuple[tuple[str, str], ...], list[int]] = {}
    for result in record.seeds:
        seeds.setdefault(tuple(result.environment.items()), []).append(result.seed)
    return [[numbers, {shown(name): shown(text) for name, text in found}] for found, numbers in seeds.items() if found]


def _value(value: Any) -> str:
    """A part of the key, in a line."""
    return shown(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
