"""Hyper-parameters pinned in a method's name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spurbench.cards import MethodCard, Supervision
from spurbench.errors import UsageError
from spurbench.evaluation import evaluate
from spurbench.heads import LinearHead
from spurbench.method import Predictor, Task, fits_many
from spurbench.pinned import Pinned
from spurbench.provenance import source_hash
from spurbench.registry import load_registries
from spurbench.rules import load_rules
from spurbench.seeds import Seed
from spurbench.space import Choice, Config, Distribution, LogUniform, Switch, draw_configs

if TYPE_CHECKING:
    from conftest import MakePrepared

METHODS = load_registries().methods


class Spy:
    """Remembers the configurations that it is given."""

    card = MethodCard("spy", "Spy", "-")
    space: Mapping[str, Distribution] = {
        "kind": Choice("plain", "fancy"),
        "size": Choice(1, 2, 0.5),
        "lr": LogUniform(1e-4, 1.0, first=0.01),
        "variant": Switch("intended", "as_released"),
        "on": Switch(False, True),
    }

    def __init__(self) -> None:
        self.configs: list[dict[str, object]] = []

    def fit(self, task: Task, config: Config) -> Sequence[Predictor]:
        self.configs.append(dict(config))
        return [LinearHead(torch.eye(2, 6), torch.zeros(2))]


def test_pinned_values_are_in_every_configuration_and_the_rest_is_drawn(make_prepared: MakePrepared) -> None:
    spy = Spy()
    method = Pinned(spy, "variant=as_released:lr=0.3")
    evaluate(method, make_prepared(), load_rules("v1"), [0, 1])
    assert len(spy.configs) == 12, "six combinations are left, for each of two seeds"
    assert {(c["variant"], c["lr"], c["on"]) for c in spy.configs} == {("as_released", 0.3, False)}
    assert len({(c["kind"], c["size"]) for c in spy.configs}) == 6
    assert (spy.configs[0]["kind"], spy.configs[0]["size"]) == ("plain", 1)


@given(st.permutations(["variant=as_released", "lr=3e-1", "size=0.5", "on=True"]))
def test_a_name_has_one_spelling(parts: list[str]) -> None:
    card = Pinned(Spy(), ":".join(parts)).card
    assert card.name == "spy:lr=0.3:on=True:size=0.5:variant=as_released"
    assert card.title == "Spy, lr=0.3, on=True, size=0.5, variant=as_released"


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("", "those of spy: kind, lr, on, size, variant"),
        ("lr", "write spy:HYPER-PARAMETER=VALUE"),
        ("rate=1", "those of spy"),
        ("lr=1:lr=1", "each once"),
        ("lr=2", r"lr must be a number from 0.0001 to 1, not '2'"),
        ("lr=nan", "must be a number"),
        ("lr=fast", "must be a number"),
        ("kind=other", "kind must be one of plain, fancy, not 'other'"),
        ("size=3", "size must be one of 1, 2, 0.5"),
        ("on=1", "on must be one of False, True, not '1'"),
    ],
)
def test_what_cannot_be_pinned_is_told(argument: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Pinned(Spy(), argument)


def test_a_switch_stays_where_it_is() -> None:
    for config in draw_configs(Spy.space, 40, Seed(("s",))):
        assert (config["variant"], config["on"]) == ("intended", False)
    assert len(draw_configs({"variant": Switch(1, 2, 3)}, 5, Seed(("s",)))) == 1
    assert Switch(1, 2).describe() != Choice(1, 2).describe()


def test_names_lead_to_pinned_methods_also_behind_a_plus() -> None:
    method: Any = METHODS.get("group_dro:eta=1e-1")
    assert method.card.name == "group_dro:eta=0.1"
    assert fits_many(method)
    assert not fits_many(METHODS.get("zero_shot"))
    assert METHODS.origin("group_dro:eta=0.1") == METHODS.origin("group_dro")
    composed: Any = METHODS.get("group_dro:eta=1e-1+george")
    assert composed.card.name == "group_dro:eta=0.1+george"
    assert composed.card.supervision == Supervision()
    assert composed.space["eta"].values == (0.1,)
    with pytest.raises(UsageError, match="unknown method 'grop_dro'; did you mean group_dro"):
        METHODS.get("grop_dro:eta=0.1")
    with pytest.raises(UsageError, match="those of zero_shot: it has none"):
        METHODS.get("zero_shot:alpha=1")


def test_code_of_the_base_decides_on_what_is_stale() -> None:
    one, other = METHODS.get("group_dro:eta=0.1"), METHODS.get("group_dro:eta=0.01")
    assert source_hash(one) == source_hash(other) != source_hash(METHODS.get("erm:C=1"))


def test_every_cell_gets_a_fresh_one() -> None:
    from spurbench.registry import Registry

    registry: Registry[Any] = Registry("method", extras=Registry("group inference"))
    shared = Spy()
    registry.add("spy", "here", lambda: shared)
    fresh: Any = registry.fresh("spy:size=2")
    assert isinstance(fresh, Pinned)
    fresh._base.configs.append({})
    assert not shared.configs
