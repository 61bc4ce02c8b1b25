"""Whether a class is kept: why not, for people, with the numbers. Needs no torch."""

from __future__ import annotations

from .table import ClassResult, Rule

# Of differences of accuracies that should be equal to the least drop.
_ROUNDING = 1e-9
_LISTED = 4


def reason(result: ClassResult, rule: Rule, tested: int) -> str:
    """Why the class is not kept; "" where it is to be.

    Args:
        result: of which everything else is known.
        tested: classes that p-values are adjusted for.
    """
    if result.drop_found is None:
        return _too_few(result, rule)
    return "; ".join(said for said in (_too_small(result, rule), _luck(result, rule, tested)) if said)


def _too_few(result: ClassResult, rule: Rule) -> str:
    if not result.backgrounds:
        return "none of its photos is left"
    where = "" if rule.published else " in each half"
    largest = sorted(result.backgrounds, key=lambda each: -each.discovery.total - each.evaluation.total)
    listed = [
        f"{each.name} {each.discovery.total}" + ("" if rule.published else f" + {each.evaluation.total}")
        for each in largest[:_LISTED]
    ]
    more = len(largest) - len(listed)
    has = ", ".join(listed) + (f" and {more} with fewer" if more else "")
    return f"fewer than two backgrounds have {rule.min_cell} photos{where}: {has}"


def _too_small(result: ClassResult, rule: Rule) -> str:
    drop = result.drop_found or 0.0
    least = f"{100 * rule.min_drop:g} points"
    # The paper keeps what varies by more than 5 points, so 5 are too few there.
    if rule.published and drop <= rule.min_drop + _ROUNDING:
        return f"{_pair(result)} is not above {least}"
    if not rule.published and drop < rule.min_drop - _ROUNDING:
        return f"{_pair(result)} is below {least}"
    return ""


def _luck(result: ClassResult, rule: Rule, tested: int) -> str:
    if result.p_adjusted is None or result.p_adjusted <= rule.alpha:
        return ""
    among = f", adjusted for {tested} classes," if tested > 1 else ""
    return f"{_pair(result)} may be chance: p = {result.p_adjusted:.3g}{among} is above {rule.alpha:g}"


def _pair(result: ClassResult) -> str:
    """The drop that chose the pair, e.g. `the drop of 6.2 points from snow (71.0 %) to road (64.8 %)`."""
    share = {each.name: f"{each.name} ({100 * (each.discovery.accuracy or 0):.1f} %)" for each in result.backgrounds}
    return f"the drop of {100 * (result.drop_found or 0):.1f} points from {share[result.easy]} to {share[result.hard]}"
