"""A report of suspects as the attribute in words: which words, for which data set, under which rules, for whom."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spurbench.attribute_text import AttributeText
from spurbench.backbones import Setting, resolve
from spurbench.board.tracks import track_of
from spurbench.cards import DatasetCard, MethodCard, Supervision
from spurbench.errors import DataError, UsageError
from spurbench.execute import run_plan
from spurbench.executors.inline import InlineExecutor
from spurbench.executors.process import ProcessExecutor, inline_worker
from spurbench.files import HashCache, safe_name
from spurbench.findings.report import Provenance
from spurbench.jobs import Executor, Job
from spurbench.keys import load_data, supervision
from spurbench.plan import Plan
from spurbench.record import read_record
from spurbench.registry import load_registries
from spurbench.rules import Found, Rules, ToldAttribute, load_rules
from spurbench.session import Session
from spurbench.suspects.report import SuspectsReport
from spurbench.suspects.told import attribute_text, noun, told_attribute
from spurbench_datasets.menagerie.worlds import MenagerieBirds

Suspects = Callable[..., SuspectsReport]
TEXT = AttributeText(contexts=("", "on water"), scenes=("a photo of water.",), pairs=("", "on water"), names=("water",))
FOUND = Found(
    report="0123abcd" * 8, split="val", model="zero-shot", backbone="tiny", seen_by="tiny-2", words="ab" * 32,
    permutations=9999, chosen=["water"],
)  # fmt: skip
TOLD = ToldAttribute(dataset="birds", data="cd" * 32, source="suspects@0123abcd", found=FOUND, text=TEXT)
CARD = DatasetCard("birds", "Birds", ("gull", "crow"), ("land", "water"), "none", attribute_prompts=("l.", "w."))


def told(tmp_path: Path, report: SuspectsReport, name: str = "suspects.json") -> ToldAttribute:
    path = tmp_path / name
    path.write_text(report.to_json(), encoding="utf-8")
    return told_attribute(path)


def test_suspects_become_contexts_scenes_pairs_and_names_and_no_values(make_suspects: Suspects) -> None:
    report = make_suspects(
        (
            ("water", "on water", 0.0001),
            ("forest", "in a forest", 0.01),
            ("owl box", "with an owl box", 0.02),
            ("sea", "on water", 0.03),
            ("snow", "in snow", 0.06),
        )
    )
    assert attribute_text(report) == AttributeText(
        contexts=("", "on water", "in a forest", "with an owl box"),
        scenes=("a photo of water.", "a photo of a forest.", "a photo of an owl box.", "a photo of sea."),
        pairs=("on water", "in a forest", "with an owl box"),
        names=("water", "forest", "owl box", "sea"),
    )


def test_one_suspect_is_enough(make_suspects: Suspects) -> None:
    assert attribute_text(make_suspects((("water", "on water", 0.05),))) == TEXT


def test_no_more_suspects_are_told_than_are_chosen(make_suspects: Suspects) -> None:
    report = make_suspects([(f"w{i}", f"with w{i}", 0.001) for i in range(12)])
    assert attribute_text(report).names == tuple(f"w{i}" for i in range(4))


@pytest.mark.parametrize(
    ("word", "phrase", "said"),
    [
        ("forest", "in a forest", "a forest"),
        ("owl", "with an owl", "an owl"),
        ("water", "on water", "water"),
        ("grass", "with banana grass", "grass"),
        ("wall", "behind a tall wall", "wall"),
        ("a+b", "with an a+b", "an a+b"),
        ("sea", "a sea away", "sea"),
    ],
)
def test_a_word_keeps_the_article_of_its_phrase(word: str, phrase: str, said: str) -> None:
    assert noun(word, phrase) == said


def test_the_source_is_known_by_the_files_content(make_suspects: Suspects, tmp_path: Path) -> None:
    one = told(tmp_path, make_suspects())
    assert one.dataset == "birds"
    assert one.source == f"suspects@{sha256((tmp_path / 'suspects.json').read_bytes()).hexdigest()[:8]}"
    assert one.data == "cd" * 32
    assert told(tmp_path, make_suspects(), "copy.json") == one
    assert told(tmp_path, make_suspects(title="Other")).source != one.source


def test_words_of_the_test_photos_are_refused_and_those_of_others_are_not(
    make_suspects: Suspects, tmp_path: Path
) -> None:
    for split in ("train", "val"):
        assert told(tmp_path, make_suspects(split=split)).text.names
    with pytest.raises(UsageError, match=r"made on the test photos, on which methods are judged; .* --split val"):
        told(tmp_path, make_suspects(split="test"))


def test_a_report_that_suspects_nothing_is_refused_with_its_reason(make_suspects: Suspects, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"names no attribute: No word survives: of the 1,836 .* smallest p = 0.051"):
        told(tmp_path, make_suspects((("water", "on water", 0.051), ("sea", "by the sea", 1.0))))
    with pytest.raises(UsageError, match=r"The model gets all 300 photos right"):
        told(tmp_path, make_suspects((), right={"hits": 300, "total": 300}))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: text[: len(text) // 2], "is cut short"),
        (lambda text: "", "is empty"),
        (lambda text: "water\nland\n", "is not JSON"),
        (lambda text: "[]", "is not a valid report of `spurbench suspects`"),
        (lambda text: '{"schema_version": 1, "findings": []}', "is not a valid report of `spurbench suspects`"),
        (lambda text: text.replace('"schema_version": 1', '"schema_version": 7'), "another version of this program"),
        (lambda text: text.replace('"rank": 2', '"rank": 3'), "contradicts itself"),
        (lambda text: text.replace('"on water"', '"on {} water"'), "braces or control characters"),
        (lambda text: text.replace('"on water"', '" on water"'), "has blanks that words do not have"),
        (lambda text: text.replace('"word": "water"', '"word": ""'), "there is no word"),
        (lambda text: text.replace('"word": "water"', '"word": "wa\\u001bter"'), "braces or control characters"),
        (lambda text: text.replace('"word": "water"', f'"word": "{200 * "water"}"'), "at most 100 are read"),
        (lambda text: text.replace('"split": "val"', '"split": "Test"'), "'train', 'val' or 'test'"),
        (lambda text: text.replace('"level": 0.05', '"level": 0.9'), "lets words survive that chance explains"),
    ],
)
def test_a_broken_or_foreign_file_is_refused_in_one_line(
    make_suspects: Suspects, tmp_path: Path, change: Callable[[str], str], says: str
) -> None:
    path = tmp_path / "mine.json"
    path.write_text(change(make_suspects().to_json()), encoding="utf-8")
    with pytest.raises(DataError, match=r"mine\.json") as error:
        told_attribute(path)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_an_absent_file_is_a_wrong_call(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no file .*suspects\.json; `spurbench suspects` makes one"):
        told_attribute(tmp_path / "suspects.json")
    with pytest.raises(DataError, match="is a folder"):
        told_attribute(tmp_path)


def test_a_card_told_by_others_has_their_words_and_no_prompts_of_its_own() -> None:
    card = CARD.told(TEXT, "suspects@0123abcd")
    assert replace(card, attribute_text=AttributeText(), attribute_source="", attribute_prompts=("l.", "w.")) == CARD
    answers = {word: card.tells(word) for word in ("values", "contexts", "scenes", "pairs", "names", "settings")}
    assert answers == {
        "values": False, "contexts": True, "scenes": True, "pairs": True, "names": True, "settings": False,
    }  # fmt: skip


def test_names_need_one_per_value_only_from_the_author() -> None:
    with pytest.raises(ValueError, match=r"one phrase in attribute_text\.names per attribute value"):
        replace(CARD, attribute_text=TEXT)
    for text in (
        AttributeText(values=("on land", "on water")),
        AttributeText(settings=("bird on land", "bird at sea")),
    ):
        assert replace(CARD, attribute_text=text).attribute_text == text
        with pytest.raises(ValueError, match="suspects@0 cannot know which words are of which attribute value"):
            CARD.told(text, "suspects@0")
    with pytest.raises(ValueError, match="cannot know which words"):
        replace(CARD, attribute_source="suspects@0")


def test_rules_with_told_words_have_a_name_of_their_own_and_keep_the_words() -> None:
    rules = load_rules("v1")
    other = TOLD.model_copy(update={"source": "suspects@ffffffff"})
    names = [
        rules.variant(configs, prompts, attribute).name
        for configs in (None, 5)
        for prompts in (None, "plain")
        for attribute in (None, TOLD, other)
    ]
    assert len({safe_name(name) for name in names}) == 12
    variant = rules.variant(5, "plain", TOLD)
    assert variant.name == "v1+configs=5+prompts=plain+attributes=suspects@0123abcd"
    assert variant.attribute == TOLD
    assert Rules.model_validate(variant.model_dump()) == variant
    assert rules.attribute is None


def test_who_brings_words_means_it() -> None:
    assert Session().rules.name == "quick"
    assert Session(attribute=TOLD).rules.name == "v1+attributes=suspects@0123abcd"


def test_a_job_carries_the_words_themselves(tmp_path: Path) -> None:
    rules = load_rules("v1").variant(attribute=TOLD)
    job = Job("", "birds", "tiny", "m", (0,), rules, tmp_path, tmp_path, "cpu", "fp32", 2**30, False)
    assert pickle.loads(pickle.dumps(job)).rules.attribute == TOLD


def test_words_about_another_data_set_or_for_one_without_photos_are_refused(tmp_path: Path) -> None:
    registries, hashes = load_registries(), HashCache(None)
    with pytest.raises(UsageError, match=r"are about birds, not about menagerie-birds; .*--datasets"):
        load_data(registries, "menagerie-birds", tmp_path, hashes, download=False, told=TOLD)
    own = TOLD.model_copy(update={"dataset": "gaussians"})
    with pytest.raises(UsageError, match="gaussians brings its own features, and no text tower"):
        load_data(registries, "gaussians", tmp_path, hashes, download=False, told=own)
    with pytest.raises(UsageError, match="are about birds, not about menagerie-birds"):
        Session(datasets="menagerie-birds", backbones="menagerie-rn", attribute=TOLD, data_root=tmp_path).plan()


def test_words_found_in_other_photos_or_labels_are_refused(photos: Path, tmp_path: Path) -> None:
    registries, hashes = load_registries(), HashCache(None)
    data = load_data(registries, str(photos), tmp_path, hashes, download=False)
    same = TOLD.model_copy(update={"dataset": data.card.name, "data": data.fingerprint})
    assert load_data(registries, str(photos), tmp_path, hashes, download=False, told=same).told == same
    one, two = sorted(photos.glob("val/landbird/unnamed/*.png"))[:2]
    before = one.read_bytes()
    one.write_bytes(two.read_bytes())
    try:
        with pytest.raises(
            DataError, match=r"suspects@0123abcd were found in other photos or labels of .*make the rep"
        ):
            load_data(load_registries(), str(photos), tmp_path, HashCache(None), download=False, told=same)
    finally:
        one.write_bytes(before)


def test_a_report_that_does_not_say_which_photos_it_is_about_is_refused(
    make_suspects: Suspects, tmp_path: Path
) -> None:
    silent = make_suspects(provenance=Provenance(seed=0, fingerprints={}, environment={}))
    with pytest.raises(DataError, match=r"suspects\.json has no fingerprint of its photos and labels; make it again"):
        told(tmp_path, silent)


def test_only_words_found_on_validation_and_methods_that_take_them_make_validation_known() -> None:
    told_it = MethodCard(
        "one", "One", "", inputs=("text",), supervision=Supervision(attribute_text=True), words=("scenes",)
    )
    not_told = MethodCard("two", "Two", "", supervision=Supervision(train_groups=True))
    assert supervision(told_it, TOLD).words == ("attribute_text", "val_labels")
    assert supervision(told_it, None) == told_it.supervision
    assert supervision(not_told, TOLD) == not_told.supervision
    on_train = TOLD.model_copy(update={"found": FOUND.model_copy(update={"split": "train"})})
    assert supervision(told_it, on_train) == told_it.supervision


METHODS = ("contrastive_yang", "orth_cal", "orth_proj", "perception_clip", "contrastive_yang_vs", "group_prompt")
SERVED = METHODS[:4]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of a world in folders of their classes; nobody said what else is in them."""
    folder = tmp_path_factory.mktemp("made") / "photos"
    dataset = MenagerieBirds()
    examples = dataset.load(Path())
    assert examples.photos is not None
    for split, n in (("train", 12), ("val", 8), ("test", 8)):
        rows = examples.rows(split)
        for y, label in enumerate(dataset.card.classes):
            place = folder / split / label / "unnamed"
            place.mkdir(parents=True)
            chosen = rows[examples.y[rows] == y][:n].tolist()
            for row, image in zip(chosen, examples.photos.open(chosen), strict=True):
                image.save(place / f"{row}.png")
    return folder


def planned(photos: Path, tmp_path: Path, told: ToldAttribute | None) -> tuple[Session, Plan]:
    session = Session(
        methods=",".join(METHODS), datasets=str(photos), backbones="menagerie-rn", seeds=1, configs=1, attribute=told,
        results=tmp_path / "results", cache=tmp_path / "cache", data_root=tmp_path,
    )  # fmt: skip
    return session, session.plan()


def computed(plan: Plan, session: Session, executor: Executor) -> None:
    run_plan(
        plan, session.registries, executor, data_root=session.data_root, cache=session.cache, device="cpu",
        precision="fp32", memory_limit=2**30, listen=lambda row, event: None,
    )  # fmt: skip


def test_a_data_set_whose_attribute_nobody_named_serves_methods_that_are_told_it(
    photos: Path, tmp_path: Path, make_suspects: Suspects
) -> None:
    _, plain = planned(photos, tmp_path, None)
    assert {row.cells[0].status for row in plain.rows} == {"impossible"}
    named = {"dataset": plain.rows[0].dataset, "data": plain.data[str(photos)].fingerprint}
    name = named["dataset"]
    words = told(tmp_path, make_suspects(**named))
    session, plan = planned(photos, tmp_path, words)
    states = {row.method: row.cells[0].status for row in plan.rows}
    assert states == {name: "missing" if name in SERVED else "impossible" for name in METHODS}
    for row in plan.rows:
        if row.method not in SERVED:
            assert f"{name} in the words of {words.source} has none" in row.cells[0].reason
    executor = InlineExecutor(session.registries)
    computed(plan, session, executor)
    for row in plan.rows:
        record = read_record(row.path)
        assert (record is not None) == (row.method in SERVED)
        if record is not None:
            assert record.rules == f"v1+configs=1+attributes={words.source}"
            assert record.seeds[0].failure is None
            assert record.key_parts["attribute_text"]["names"] == ["water", "forest"]
            assert record.key_parts["attribute_prompts"] == []
            assert record.key_parts["attribute_source"] == {
                "report": sha256((tmp_path / "suspects.json").read_bytes()).hexdigest(), "split": "val",
                "model": "zero-shot", "backbone": "tiny", "seen_by": "tiny-2", "words": "ab" * 32,
                "permutations": 9999, "chosen": ["water", "forest"],
            }  # fmt: skip
            assert record.supervision == record.key_parts["supervision"] == ["attribute_text", "val_labels"]
            assert track_of(record.supervision) == "attribute text"
    assert planned(photos, tmp_path, words)[1].count("done") == len(SERVED)
    # Other words are other rules, under which nothing is there yet; whoever told the first ones can tell them.
    other = told(tmp_path, make_suspects((("sea", "on the sea", 0.001),), split="train", **named))
    session, plan = planned(photos, tmp_path, other)
    assert plan.count("missing") == len(SERVED)
    row = next(row for row in plan.rows if row.method == "orth_cal")
    computed(replace(plan, rows=(row,)), session, executor)
    record = read_record(row.path)
    assert record is not None
    assert record.seeds[0].failure is None
    assert record.key_parts["attribute_text"]["names"] == ["sea"]
    assert record.supervision == ["attribute_text"], "classes of training photos are known anyway"


def test_a_worker_tells_a_method_what_the_words_say(photos: Path, tmp_path: Path, make_suspects: Suspects) -> None:
    """OrthProj by hand: the classes' texts without what lies in the span of the words' scenes."""
    plain = planned(photos, tmp_path, None)[1]
    named = {"dataset": plain.rows[0].dataset, "data": plain.data[str(photos)].fingerprint}
    session, plan = planned(photos, tmp_path, told(tmp_path, make_suspects(**named)))
    row = next(row for row in plan.rows if row.method == "orth_proj")
    executor = ProcessExecutor(inline_worker((), tmp_path / "log"), None)
    computed(replace(plan, rows=(row,)), session, executor)
    executor.close()
    tower = resolve(session.registries.backbones, "menagerie-rn", Setting(session.cache)).load("cpu")
    encode = tower.encode_text
    assert encode is not None

    def unit(texts: list[str]) -> Any:
        vectors = np.asarray(encode(texts), dtype=np.float64)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    scenes = unit(["a photo of water.", "a photo of a forest."])
    classes = unit([f"a photo of a {label}." for label in ("landbird", "waterbird")])
    basis = np.linalg.qr(scenes.T)[0]
    heads = classes - classes @ basis @ basis.T
    heads /= np.linalg.norm(heads, axis=1, keepdims=True)
    data = plan.data[str(photos)]
    rows = data.examples.rows("test")
    assert data.examples.photos is not None
    with torch.no_grad():
        images = torch.stack([tower.preprocess(image) for image in data.examples.photos.open(rows.tolist())])
        embedded = np.asarray(tower.project(tower.trunk(images)), dtype=np.float64)
    expected = (embedded @ heads.T).argmax(axis=1)
    record = read_record(row.path)
    assert record is not None
    correct = [int((expected[data.examples.y[rows] == y] == y).sum()) for y in range(2)]
    assert record.seeds[0].selected["worst_group"].test == correct
