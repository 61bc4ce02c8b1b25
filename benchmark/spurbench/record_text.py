"""A record as JSON: one line per candidate, per selected result and per model that was looked into.

A diff shows what changed then, where one line for each number would not.
"""

from __future__ import annotations

import json
from typing import Any


def record_text(document: dict[str, Any]) -> str:
    """The text of a record's file, of its fields as JSON values; attention stands there only if there is some."""
    head = {name: value for name, value in document.items() if name not in ("seeds", "attention")}
    seeds = ",\n".join(_seed(seed) for seed in document["seeds"])
    rest = "" if document["attention"] is None else f',\n "attention": {_attention(document["attention"])}'
    first = json.dumps(head, indent=1, ensure_ascii=False).removesuffix("\n}")
    return f'{first},\n "seeds": [\n{seeds}\n ]{rest}\n}}\n'


def _seed(seed: dict[str, Any]) -> str:
    rows = [
        f"   {_compact(key)}: {_compact(seed[key])}" for key in seed if key not in ("configs", "candidates", "selected")
    ]
    configs = ",\n".join(f"    {_compact(config)}" for config in seed["configs"])
    candidates = ",\n".join(f"    {_compact(candidate)}" for candidate in seed["candidates"])
    selected = ",\n".join(f"    {_compact(rule)}: {_compact(value)}" for rule, value in seed["selected"].items())
    rows.append(f'   "configs": [\n{configs}\n   ]' if configs else '   "configs": []')
    rows.append(f'   "candidates": [\n{candidates}\n   ]' if candidates else '   "candidates": []')
    rows.append(f'   "selected": {{\n{selected}\n   }}' if selected else '   "selected": {}')
    return "  {\n" + ",\n".join(rows) + "\n  }"


def _attention(attention: dict[str, Any]) -> str:
    rows = [f"  {_compact(key)}: {_compact(value)}" for key, value in attention.items() if key != "seeds"]
    models = []
    for seed, rules in attention["seeds"].items():
        lines = ",\n".join(f"    {_compact(rule)}: {_compact(seen)}" for rule, seen in rules.items())
        models.append(f"   {_compact(seed)}: {{\n{lines}\n   }}")
    rows.append('  "seeds": {\n' + ",\n".join(models) + "\n  }")
    return "{\n" + ",\n".join(rows) + "\n }"


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
