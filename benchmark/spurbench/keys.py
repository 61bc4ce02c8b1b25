"""What a record depends on: data as found on this machine, the key made of it all, and what cannot be evaluated."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .attribute_text import WORDS
from .backbones import Backbone
from .cards import DatasetCard, MethodCard, Supervision
from .data import Dataset, Examples
from .errors import DataError, PluginError, SpurbenchError, UsageError, WeightsError
from .files import HashCache
from .provenance import harness_hash, source_hash
from .regions.source import Source, open_source
from .regions.spec import RegionSpec, parse
from .registry import Registries
from .rules import Rules, ToldAttribute
from .space import check_space, describe_space


@dataclass(frozen=True)
class LoadedData:
    """A data set that is on this machine.

    Attributes:
        root: where data sets lie.
        hashes: of files, remembered.
        told: words for the spurious attribute in the place of the card's.
    """

    dataset: Dataset
    examples: Examples
    fingerprint: str
    root: Path = Path()
    hashes: HashCache = field(default_factory=lambda: HashCache(None))
    told: ToldAttribute | None = None
    _sources: dict[RegionSpec, Source | SpurbenchError] = field(default_factory=dict, repr=False, compare=False)

    @property
    def card(self) -> DatasetCard:
        """The data set's card, the attribute in the words that are in use."""
        card = self.dataset.card
        return card if self.told is None else card.told(self.told.text, self.told.source)

    @property
    def encoded(self) -> str:
        """What features of the photos go by: the fingerprint, whatever the photos are told apart from afterwards."""
        if self.examples.candidates is None:
            return self.fingerprint
        return replace(self.examples, candidates=None).fingerprint(self.card, self.hashes)

    def region_source(self, spec: str | None = None) -> Source:
        """Where regions come from (see `regions.parse`), those on the card without a spec; read once.

        Raises:
            UsageError: no such regions.
            DataError, WeightsError: regions that are broken or not to be had.
        """
        asked = parse(self.card.regions if spec is None else spec)
        if asked not in self._sources:
            try:
                with _reading(self.card.name, self.root):
                    found = open_source(asked, self.dataset, self.examples, self.root, self.hashes)
                    self._sources[asked] = found
            except SpurbenchError as error:
                self._sources[asked] = error
        source = self._sources[asked]
        if isinstance(source, SpurbenchError):
            raise source
        return source


def load_data(
    registries: Registries,
    spec: str,
    root: Path,
    hashes: HashCache,
    *,
    download: bool,
    told: ToldAttribute | None = None,
) -> LoadedData:
    """Prepare, read and fingerprint a data set.

    Args:
        told: words for its spurious attribute in the place of its own.

    Raises:
        DataError: it cannot be had, or the words were found in other photos or labels.
        UsageError: the words are about another data set, or it has no text tower to embed them.
    """
    dataset, examples = read_data(registries, spec, root, download=download)
    if told is not None and told.dataset != dataset.card.name:
        raise UsageError(
            f"--attributes: the words of {told.source} are about {told.dataset}, not about {dataset.card.name}; "
            "run them on that data set alone (--datasets), or have them found in this one (`spurbench suspects`)"
        )
    if told is not None and examples.features is not None:
        raise UsageError(
            f"--attributes: {dataset.card.name} brings its own features, and no text tower that could embed words"
        )
    with _reading(spec, root):
        fingerprint = examples.fingerprint(dataset.card, hashes)
    if told is not None and told.data != fingerprint:
        raise DataError(
            f"--attributes: the words of {told.source} were found in other photos or labels of {dataset.card.name} "
            f"than those here; make the report again: spurbench suspects {spec}"
        )
    return LoadedData(dataset, examples, fingerprint, root, hashes, told)


def read_data(registries: Registries, spec: str, root: Path, *, download: bool) -> tuple[Dataset, Examples]:
    """Prepare and read a data set, for those who need no hash over every photo of it. Raises DataError."""
    dataset: Dataset = registries.datasets.get(spec)
    with _reading(spec, root):
        dataset.prepare(root, download=download)
        return dataset, dataset.load(root)


@contextmanager
def _reading(spec: str, root: Path) -> Iterator[None]:
    """Whatever goes wrong inside is the data's: a DataError that names the data set, unless it says enough itself."""
    try:
        yield
    except SpurbenchError:
        raise
    except OSError as error:
        raise DataError(f"data set '{spec}': {error.filename or root} cannot be read: {error.strerror}") from error
    except Exception as error:
        raise DataError(f"data set '{spec}' cannot be read: {type(error).__name__}: {error}") from error


def needs_backbone(registries: Registries, spec: str) -> bool:
    """Whether backbones apply to a data set; not to one that brings its own features, nor to one that is broken."""
    try:
        card: DatasetCard = registries.datasets.get(spec).card
    except UsageError:
        raise
    except SpurbenchError:
        return False
    return not card.own_features


def checked_method(registries: Registries, name: str) -> Any:
    """The method, if it meets the contract as far as can be seen. Raises PluginError."""
    method = registries.methods.get(name)
    try:
        if not isinstance(method.card, MethodCard) or not callable(method.fit):
            raise ValueError("it needs a MethodCard as `card`, and `fit`")
        check_space(method.space)
    except Exception as error:
        origin = registries.methods.origin(name)
        raise PluginError(f"method '{name}' from {origin} does not meet the contract: {error}") from error
    return method


def impossible_reason(method_card: Any, data: LoadedData, backbone: Backbone | None, rules: Rules) -> str:
    """Why a method cannot be evaluated on this data under this backbone, or an empty string."""
    inputs, examples, card = method_card.inputs, data.examples, data.card
    own = examples.features
    if own is not None:
        without = [kind for kind in ("penultimate", "regions", "images", "classifier") if kind in inputs]
        if without:
            return f"needs {' and '.join(without)}; {card.name} has embeddings only"
        if "text" in inputs and own.class_text is None:
            return f"needs text features of the classes; {card.name} has none (array 'class_text')"
        if method_card.supervision.attribute_text and own.attribute_text is None:
            return f"needs text features of the attribute; {card.name} has none (array 'attribute_text')"
        # Scenes may be the vectors that the data set brings; any other word would have to be embedded.
        if set(method_card.words) - {"scenes"}:
            return f"needs a text tower to embed further texts; {card.name} brings its own features, and none"
    elif backbone is not None:
        if "text" in inputs and not backbone.card.has_text:
            return f"needs a text tower; {backbone.card.name} has an image tower only"
        if "classifier" in inputs and not backbone.card.has_classifier:
            return f"needs a classifier that came with the backbone; {backbone.card.name} has none"
        if "classifier" in inputs and not card.imagenet:
            return f"needs classes of ImageNet-1K; those of {card.name} are others"
        if "regions" in inputs:
            try:
                data.region_source()
            except (DataError, WeightsError) as error:
                return f"needs regions ({card.regions}): {error}"
        who = f"{card.name} in the words of {card.attribute_source}" if card.attribute_source else card.name
        lacking = [WORDS[word] for word in method_card.words if not card.tells(word)]
        if lacking:
            return f"needs {' and '.join(lacking)}; {who} has none"
        if method_card.supervision.attribute_text and not method_card.words and not card.attribute_prompts:
            return f"needs names of the spurious attribute's values; {who} has none"
        if rules.prompts is not None and "text" in inputs:
            try:
                card.prompt_set(rules.prompts)
            except KeyError:
                known = ", ".join(prompts.name for prompts in card.prompts)
                return f"{card.name} has no prompt set '{rules.prompts}' (it has {known})"
    totals = {split: sum(examples.group_totals(split)) for split in ("train", "val", "test")}
    if not totals["test"]:
        return f"{card.name} has no test split"
    if not totals["train"] and method_card.trains != "nothing":
        return f"trains {method_card.trains}, and {card.name} has no training split"
    if not totals["val"] and (method_card.trains != "nothing" or method_card.supervision.validation):
        return f"needs validation to choose a configuration; {card.name} has no validation split"
    return ""


def supervision(card: MethodCard, told: ToldAttribute | None) -> Supervision:
    """What a method knows beyond the classes of training photos, itself or through the words that it is told."""
    if told is None or told.found.split != "val" or not _takes_attribute_words(card):
        return card.supervision
    return replace(card.supervision, val_labels=True)


def _takes_attribute_words(card: MethodCard) -> bool:
    return bool(set(card.words) - {"concepts"})


def key_parts(method: Any, data: LoadedData, backbone: Backbone | None, rules: Rules) -> dict[str, Any]:
    """Everything that a record's numbers depend on, apart from the seed."""
    card = method.card
    parts: dict[str, Any] = {
        "protocol": rules.protocol,
        "configurations": rules.tracks[card.track].configurations,
        "selection": list(rules.selection),
        "validation_fit_share": rules.validation_fit_share,
        "data": data.fingerprint,
        "backbone": backbone.fingerprint if backbone is not None else "own",
        "method": source_hash(method),
        "harness": harness_hash(method),
        "space": describe_space(method.space),
        "supervision": list(supervision(card, data.told).words),
        "inputs": sorted(card.inputs),
        "refit": card.refit,
    }
    if "classifier" in card.inputs:
        parts["imagenet"] = list(data.card.imagenet)
    if "regions" in card.inputs:
        parts["regions"] = data.region_source().identity
    if "text" in card.inputs and data.examples.features is None:
        prompts = data.card.prompt_set(rules.prompts)
        # A list of open_clip's is known by its name there and the version that ships it.
        shipped = [prompts.open_clip_list, version("open_clip_torch")] if prompts.open_clip_list else []
        parts["prompts"] = [prompts.name, list(prompts.templates), shipped]
        if prompts.class_names or prompts.open_clip_names:
            names = [prompts.open_clip_names, version("open_clip_torch")] if prompts.open_clip_names else []
            parts["class_names"] = [*names, *prompts.class_names]
        parts["attribute_prompts"] = list(data.card.attribute_prompts)
        if _takes_attribute_words(card):
            parts["attribute_text"] = asdict(data.card.attribute_text)
            if data.told is not None:
                parts["attribute_source"] = data.told.found.model_dump(mode="json")
        if "concepts" in card.words:
            parts["concepts"] = asdict(data.card.concepts)
    return parts
