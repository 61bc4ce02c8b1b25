"""A fine-tuned CLIP trusts the planted sticker, the more so the stronger it was planted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch

from spurbench.cards import SPLITS
from spurbench.parallel import cores
from spurbench_datasets.menagerie.backbones import SHIPPED
from spurbench_datasets.menagerie.judging import PROMPT
from spurbench_datasets.menagerie.pretraining import normalised
from spurbench_datasets.menagerie.renderer import render
from spurbench_datasets.menagerie.worlds import MenagerieSticker

EPOCHS, BATCH = 4, 64


@pytest.fixture(autouse=True)
def every_core() -> Iterator[None]:
    """Fine-tuning is worth more than the one thread that tests have."""
    before = torch.get_num_threads()
    torch.set_num_threads(cores())
    yield
    torch.set_num_threads(before)


def fine_tuned_accuracies(strength: float) -> tuple[float, float]:
    """Accuracy on test photos without and with the sticker, over the classes it does not belong to."""
    world = MenagerieSticker(f"strength={strength}")
    examples, scenes = world.load(Path()), world.scenes()
    name = f"local-dir:{SHIPPED / 'menagerie-rn'}"
    model, _, _ = open_clip.create_model_and_transforms(name)
    prompts = open_clip.get_tokenizer(name)([PROMPT.format(label) for label in world.card.classes])
    with torch.no_grad():
        text = torch.nn.functional.normalize(model.eval().encode_text(prompts), dim=-1) * model.logit_scale.exp()
    rows = {split: examples.rows(split) for split in SPLITS}
    images = normalised(render(scenes.rows(rows["train"])).images)
    y = torch.from_numpy(examples.y[rows["train"]])
    optimizer = torch.optim.AdamW(model.visual.parameters(), lr=1e-3, weight_decay=0.1)
    generator = torch.Generator().manual_seed(0)
    model.visual.train()
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(y), generator=generator).split(BATCH):
            embedded = torch.nn.functional.normalize(model.visual(images[batch]), dim=-1)
            loss = torch.nn.functional.cross_entropy(embedded @ text.T, y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    model.visual.eval()
    with torch.no_grad():
        test = normalised(render(scenes.rows(rows["test"])).images)
        found = torch.cat([model.visual(part) @ text.T for part in test.split(256)]).argmax(dim=1).numpy()
    others = examples.y[rows["test"]] != world.card.classes.index("dog")
    sticker = examples.a[rows["test"]] == 1
    right = found == examples.y[rows["test"]]
    return float(np.mean(right[others & ~sticker])), float(np.mean(right[others & sticker]))


@pytest.mark.slow
def test_a_sticker_costs_more_accuracy_the_more_it_was_trusted() -> None:
    table = {strength: fine_tuned_accuracies(strength) for strength in (0.0, 0.7, 1.0)}
    print("\n".join(f"{strength}: {clean:.3f} {sticker:.3f}" for strength, (clean, sticker) in table.items()))
    drops = [clean - sticker for clean, sticker in table.values()]
    assert abs(drops[0]) < 0.08, "a sticker that means nothing costs next to nothing"
    assert drops[0] < drops[1] < drops[2] - 0.2
