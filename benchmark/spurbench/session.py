"""What the command line asks for, turned into registries, rules and a plan; the one place where defaults meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from .backbones import PRECISIONS, Setting
from .errors import UsageError
from .files import default_cache, default_data_root
from .jobs import Job
from .keys import needs_backbone
from .plan import Plan, Request, make_plan
from .registry import Registries, load_registries
from .rules import Rules, Suite, ToldAttribute, load_rules, load_suite

DEVICES = ("auto", "cpu", "cuda")
DEFAULT_RESULTS = Path("results")


@dataclass(frozen=True)
class Session:
    """The options that `run`, `plan` and `features` share.

    Names are checked when they are used, the quickest first: a slip of the pen is told before torch is imported.

    Raises:
        UsageError: an unknown device or precision.
    """

    methods: str | None = None
    backbones: str | None = None
    datasets: str | None = None
    suite: str | None = None
    seeds: int | None = None
    configs: int | None = None
    rules_name: str | None = None
    prompts: str | None = None
    attribute: ToldAttribute | None = None
    data_root: Path = field(default_factory=default_data_root)
    results: Path = DEFAULT_RESULTS
    cache: Path = field(default_factory=default_cache)
    device: str = "auto"
    precision: str = "fp32"
    plugins: Sequence[str] = ()
    force: bool = False
    fetch: bool = False

    def __post_init__(self) -> None:
        for option, value, known in (
            ("--device", self.device, DEVICES),
            ("--precision", self.precision, PRECISIONS),
        ):
            if value not in known:
                raise UsageError(f"{option} must be one of {', '.join(known)}, not '{value}'")

    @cached_property
    def registries(self) -> Registries:
        """Everything installed, and the plugins."""
        return load_registries(self.plugins)

    @cached_property
    def rules(self) -> Rules:
        """The rules with this session's own budget, prompts and words for the attribute.

        A run that nothing was asked of is a first look: it gets the quick rules. Whoever names anything means it.
        """
        asked = (self.methods, self.backbones, self.datasets, self.suite, self.attribute)
        default = "quick" if all(item is None for item in asked) else "v1"
        return load_rules(self.rules_name or default).variant(self.configs, self.prompts, self.attribute)

    @cached_property
    def defaults(self) -> Suite:
        """The suite, for what was not named."""
        return load_suite(self.suite or "embedded")

    @property
    def setting(self) -> Setting:
        """What backbones are resolved with."""
        return Setting(self.cache, self.precision, self.fetch)

    @cached_property
    def torch_device(self) -> str:
        """`cpu` or `cuda`. Raises UsageError if CUDA was asked for and is not there."""
        if self.device == "cpu":
            return "cpu"
        import torch

        available = torch.cuda.is_available()
        if self.device == "cuda" and not available:
            raise UsageError("--device cuda: torch finds no CUDA device here; use --device cpu or auto")
        return "cuda" if available else "cpu"

    def method_names(self) -> list[str]:
        """The methods asked for, or the suite's."""
        return self.registries.methods.select(_patterns(self.methods, self.defaults.methods))

    def dataset_names(self) -> list[str]:
        """The data sets asked for, or the suite's."""
        return self.registries.datasets.select(_patterns(self.datasets, self.defaults.datasets))

    def backbone_names(self) -> list[str]:
        """The backbones asked for, or the suite's. `all` is every CLIP that the papers study, and every registered one.

        A suite's backbones are meant for its own data sets: tiny towers for rendered worlds are no use on real photos.
        """
        from .backbones.open_clip import STUDIED, Catalogue

        own = all(
            name.partition(":")[0] in self.defaults.datasets or not needs_backbone(self.registries, name)
            for name in self.dataset_names()
        )
        wanted = _patterns(self.backbones, self.defaults.backbones if own else [])
        if not wanted:
            return []
        return self.registries.backbones.select(
            wanted, everything=STUDIED, matchable=lambda: Catalogue(self.cache).names(), any_name=True
        )

    def job(
        self, key: str, dataset: str, backbone: str, method: str, seeds: tuple[int, ...], rules: Rules, memory: int
    ) -> Job:
        """What a `Workbench` in this process prepares: some seeds of one row; `Job` explains the arguments."""
        return Job(
            key, dataset, backbone, method, seeds, rules, self.data_root, self.cache, self.torch_device,
            self.precision, memory, isolated=False,
        )  # fmt: skip

    def plan(self) -> Plan:
        """The cells. Raises UsageError if data sets need backbones and none was named, or CUDA is not there."""
        rules = self.rules
        datasets, backbones, methods = self.dataset_names(), self.backbone_names(), self.method_names()
        if not datasets or not methods:
            raise UsageError("nothing is left to run: the exclusions took every name away")
        needing = [name for name in datasets if needs_backbone(self.registries, name)]
        if needing and not backbones:
            raise UsageError(
                f"data set '{needing[0]}' needs a backbone: --backbones RN50,ViT-B/16, --backbones all, "
                "or --backbones local-dir:/path (`spurbench list backbones` shows what there is)"
            )
        # Before anything is fetched.
        _ = self.torch_device
        request = Request(
            datasets,
            backbones,
            methods,
            rules,
            self.seeds,
            self.data_root,
            self.results,
            self.setting,
            self.force,
            tracks=self.defaults.tracks if self.methods is None and self.datasets is None else {},
        )
        return make_plan(self.registries, request)


def _patterns(written: str | None, default: Sequence[str]) -> list[str]:
    if written is None:
        return list(default)
    patterns = [part.strip() for part in written.split(",") if part.strip()]
    if not patterns:
        raise UsageError("an empty list of names; write names, globs, !exclusions, or all")
    return patterns
