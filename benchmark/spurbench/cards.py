"""Cards: what a data set, a method or a backbone says about itself. Frozen, checked on construction, torch-free."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Literal, get_args

from .attribute_text import WORDS, AttributeText, Concepts, Word, is_template

Input = Literal["embeddings", "penultimate", "regions", "images", "text", "classifier"]
Track = Literal["head", "projection", "image"]
SPLITS = ("train", "val", "test")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+@=,:/-]{0,79}")


def check_name(kind: str, name: str) -> str:
    """Return `name`, or raise ValueError: 1 to 80 letters, digits and `_.+@=,:/-`, starting with a letter or digit."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"bad {kind} name {name!r}: use 1 to 80 letters, digits and _.+@=,:/- (first: letter or digit)"
        )
    return name


@dataclass(frozen=True)
class Supervision:
    """What a method may know beyond class labels. What is not declared here is not in the objects it is given."""

    train_groups: bool = False
    """The spurious attribute of every training example."""
    val_groups: bool = False
    """The spurious attribute of the validation half that the method fits on."""
    attribute_text: bool = False
    """The names of the spurious attribute's values, as text."""
    val_labels: bool = False
    """The class of every example of the validation half that the method fits on, without its attribute."""

    @property
    def validation(self) -> bool:
        """Whether the method fits on a part of validation, on which it is not selected."""
        return self.val_groups or self.val_labels

    @property
    def words(self) -> tuple[str, ...]:
        """The declared words, in a fixed order."""
        return tuple(item.name for item in fields(self) if getattr(self, item.name))

    def with_word(self, word: str) -> str:
        """How to declare one word more, as Python."""
        return f"supervision=Supervision({', '.join(f'{item}=True' for item in (*self.words, word))})"

    def __str__(self) -> str:
        return " + ".join(word.replace("_", " ") for word in self.words) or "none"


NO_SUPERVISION = Supervision()


@dataclass(frozen=True)
class PromptSet:
    """A named list of templates with one `{}` for the class name; or a list that open_clip ships, by its name there."""

    name: str
    templates: tuple[str, ...] = ()
    open_clip_list: str = ""
    source: str = ""
    class_names: tuple[str, ...] = ()
    """How these prompts say the classes, one by one, where not as the data set's card does; they may repeat."""
    open_clip_names: str = ""
    """Or the list of ImageNet-1K's names that open_clip ships, by its name there, for data sets with `imagenet`."""

    def __post_init__(self) -> None:
        check_name("prompt set", self.name)
        if bool(self.templates) == bool(self.open_clip_list):
            raise ValueError(f"prompt set {self.name}: give either templates or the name of open_clip's list")
        for template in self.templates:
            if not is_template(template):
                raise ValueError(f"prompt set {self.name}: template {template!r} needs one {{}} and no other braces")
        if isinstance(self.class_names, str) or (self.class_names and self.open_clip_names):
            raise ValueError(f"prompt set {self.name}: give class names, as a tuple, or the name of open_clip's list")


@dataclass(frozen=True)
class DatasetCard:
    """What a data set is. `counts` maps a split's name to the expected number of examples per group, g = y*A + a."""

    name: str
    title: str
    classes: tuple[str, ...]
    attributes: tuple[str, ...]
    licence: str
    url: str = ""
    citation: str = ""
    prompts: tuple[PromptSet, ...] = (PromptSet("photo", ("a photo of a {}.",)),)
    attribute_prompts: tuple[str, ...] = ()
    attribute_text: AttributeText = field(default_factory=AttributeText)
    """The spurious attribute in words, for methods that are told it as text."""
    attribute_source: str = ""
    """Who put it so, where not the data set's author: of `names` there may be any number then, and `values` and
    `settings` are not known, as words that were found in photos stand for no value of the attribute in particular."""
    concepts: Concepts = field(default_factory=Concepts)
    """Pairs of concepts about the task, for methods that ask what is useful and what is spurious."""
    counts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    download: str = ""
    """What a download is and how large, for the person who is asked to wait; empty when nothing can be fetched."""
    imagenet: tuple[int, ...] = ()
    """ImageNet-1K index (0..999) of each class, where every class is one of ImageNet-1K's; else empty."""
    regions: str = "grid3"
    """Which regions of its photos are looked at unless told otherwise (see `regions.parse`)."""
    own_features: bool = False
    """The data set brings its own features; backbones do not apply to it."""

    def __post_init__(self) -> None:
        check_name("data set", self.name)
        if isinstance(self.classes, str) or isinstance(self.attributes, str):
            raise ValueError(f"data set {self.name}: classes and attributes are tuples of names, not one string")
        if len(set(self.classes)) < max(2, len(self.classes)) or len(set(self.attributes)) < len(self.attributes):
            raise ValueError(f"data set {self.name}: needs two or more classes, and distinct names")
        if not self.attributes or not self.prompts:
            raise ValueError(f"data set {self.name}: needs at least one attribute value and one prompt set")
        if self.attribute_prompts and len(self.attribute_prompts) != len(self.attributes):
            raise ValueError(f"data set {self.name}: one attribute prompt per attribute value, or none")
        if self.imagenet and (
            len(set(self.imagenet)) < len(self.classes) or not set(self.imagenet) <= set(range(1000))
        ):
            raise ValueError(f"data set {self.name}: one ImageNet-1K index in 0..999 per class, all different, or none")
        for prompts in self.prompts:
            if prompts.class_names and len(prompts.class_names) != len(self.classes):
                raise ValueError(f"data set {self.name}: prompt set {prompts.name} needs one name per class")
            if prompts.open_clip_names and not self.imagenet:
                raise ValueError(f"data set {self.name}: prompt set {prompts.name} needs the classes' ImageNet indices")
        text = self.attribute_text
        if self.attribute_source and (text.values or text.settings or self.attribute_prompts):
            raise ValueError(
                f"data set {self.name}: {self.attribute_source} cannot know which words are of which attribute value"
            )
        for name in ("values", "settings") if self.attribute_source else ("values", "names", "settings"):
            phrases = getattr(text, name)
            if phrases and len(phrases) != len(self.attributes):
                raise ValueError(
                    f"data set {self.name}: one phrase in attribute_text.{name} per attribute value, or none"
                )
        n_groups = len(self.classes) * len(self.attributes)
        for split, counts in self.counts.items():
            if split not in SPLITS or len(counts) != n_groups:
                raise ValueError(f"data set {self.name}: counts of split {split!r} need {n_groups} groups")
        object.__setattr__(self, "counts", dict(self.counts))

    @property
    def groups(self) -> tuple[str, ...]:
        """Group names in the order of g = y*A + a, as `class/attribute`."""
        return tuple(f"{label}/{value}" for label in self.classes for value in self.attributes)

    def told(self, text: AttributeText, source: str) -> DatasetCard:
        """The card with the spurious attribute as somebody else puts it, whatever its author says of it."""
        return replace(self, attribute_text=text, attribute_prompts=(), attribute_source=source)

    def tells(self, word: Word) -> bool:
        """Whether the data set gives what a method's card asks for by this word."""
        text = self.attribute_text
        return {
            "values": bool(text.values),
            "contexts": bool(text.context_phrases("all")),
            "scenes": bool(text.scenes or self.attribute_prompts),
            "pairs": len(text.pair_phrases()) > 1,
            "names": bool(text.names),
            "settings": bool(text.settings),
            "concepts": bool(self.concepts),
        }[word]

    def prompt_set(self, name: str | None) -> PromptSet:
        """The named prompt set, or the headline one (the first) for None. Raises KeyError."""
        for prompts in self.prompts:
            if name is None or prompts.name == name:
                return prompts
        raise KeyError(name)


@dataclass(frozen=True)
class MethodCard:
    """What a method is, what it needs and what it may know."""

    name: str
    title: str
    paper: str
    supervision: Supervision = Supervision()
    inputs: tuple[Input, ...] = ("embeddings",)
    trains: str = "linear head"
    track: Track = "head"
    refit: bool = False
    """After selection on the held-out half of validation, fit the chosen configuration once more on all of it."""
    words: tuple[Word, ...] = ()
    """What it must be told in words, of `attribute_text.WORDS`; data sets that lack it are left out before a run. All
    but `concepts` are knowledge of the attribute: they need the supervision `attribute_text`."""

    def __post_init__(self) -> None:
        check_name("method", self.name)
        if not all(isinstance(text, str) for text in (self.title, self.paper, self.trains)):
            raise ValueError(f"method {self.name}: title, paper and trains are text")
        unknown = set(self.inputs) - set(get_args(Input))
        if unknown or not self.inputs:
            raise ValueError(f"method {self.name}: inputs must be some of {get_args(Input)}, not {self.inputs}")
        if self.track not in get_args(Track):
            raise ValueError(f"method {self.name}: track must be one of {get_args(Track)}, not {self.track!r}")
        if self.supervision.attribute_text and "text" not in self.inputs:
            raise ValueError(f"method {self.name}: attribute_text needs the input 'text'")
        if isinstance(self.words, str) or set(self.words) - set(WORDS):
            raise ValueError(f"method {self.name}: words must be some of {tuple(WORDS)}, not {self.words!r}")
        if self.words and "text" not in self.inputs:
            raise ValueError(f"method {self.name}: words need the input 'text'")
        if set(self.words) - {"concepts"} and not self.supervision.attribute_text:
            raise ValueError(f"method {self.name}: {', '.join(self.words)}: needs the supervision attribute_text")
        if self.refit and not self.supervision.val_groups:
            raise ValueError(f"method {self.name}: refit is for methods that fit on validation (val_groups)")


@dataclass(frozen=True)
class InferenceCard:
    """What a group inference is and needs: it guesses groups of training examples, for methods that need groups."""

    name: str
    title: str
    paper: str
    supervision: Supervision = Supervision()
    inputs: tuple[Input, ...] = ("embeddings",)

    def __post_init__(self) -> None:
        check_name("group inference", self.name)
        if self.supervision.train_groups or self.supervision.val_groups:
            raise ValueError(f"group inference {self.name}: it cannot be given the groups that it is to guess")
        if self.supervision.val_labels:
            raise ValueError(f"group inference {self.name}: it sees the training split alone, no labels of validation")
        if self.supervision.attribute_text and "text" not in self.inputs:
            raise ValueError(f"group inference {self.name}: attribute_text needs the input 'text'")


@dataclass(frozen=True)
class DiscovererCard:
    """What a discoverer of spurious regions is."""

    name: str
    title: str
    paper: str

    def __post_init__(self) -> None:
        check_name("discoverer", self.name)


@dataclass(frozen=True)
class BackboneCard:
    """What a backbone is: architecture, one set of weights, and the choices that change its numbers."""

    name: str
    title: str
    weights: str
    """Where the weights are or come from: a path, a URL, or a hub repository."""
    licence: str = "see the weights' publisher"
    has_text: bool = True
    has_classifier: bool = False
    """Whether it brings a classifier of ImageNet-1K, in ImageNet's order."""
    activation: str = ""
    precision: str = "fp32"

    def __post_init__(self) -> None:
        check_name("backbone", self.name)
