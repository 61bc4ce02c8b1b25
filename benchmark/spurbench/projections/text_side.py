"""The text side while a projection is trained: frozen vectors, or texts embedded anew at every step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import nn
from torch.nn.functional import normalize

from ..errors import MethodError
from ..model_space import ModelSpace
from .forms import Form, Module, Weights, form_of, initial

TextTraining: TypeAlias = Literal["frozen", "projection", "released"]
"""What of the text tower is trained: nothing; its projection; or what the released codes of Yang et al. 2023 and CFR
leave trainable when they freeze `transformer` alone: token and position embeddings, the last normalisation and the
projection."""
RELEASED = ("token_embedding", "positional_embedding", "ln_final")
"""Names in a text trunk of what is trained as `released` besides the projection."""

Prompts: TypeAlias = Sequence[Sequence[str]]
"""n lists of T filled templates."""


@dataclass(frozen=True)
class TextSide:
    """Texts of C configurations, by the name of their set.

    Attributes:
        form: how texts are embedded from `inputs`; None where vectors are frozen.
        weights: (C, ...) leaves in training, none where frozen.
        inputs: what `form` takes, (n * T, ...); or the frozen unit vectors, (1, n, T, d).
        shapes: (n, T) of each set.
    """

    form: Form | None
    weights: Weights
    inputs: Mapping[str, torch.Tensor]
    shapes: Mapping[str, tuple[int, int]]

    @classmethod
    def of(cls, model: ModelSpace, prompts: Mapping[str, Prompts], training: TextTraining, count: int) -> TextSide:
        """The text side of C configurations; each set of prompts under its name, `classes` among them.

        Raises MethodError where the backbone's text tower has nothing of what is to be trained.
        """
        shapes = {name: (len(lists), len(lists[0])) for name, lists in prompts.items()}
        texts = {name: [text for some in lists for text in some] for name, lists in prompts.items()}
        projection = model.text_projection()
        if training == "released":
            tower = nn.Sequential(model.text_trunk(), projection)
            for name, parameter in tower[0].named_parameters():
                parameter.requires_grad_(name.startswith(RELEASED))
            trained = {name: value.detach() for name, value in tower.named_parameters() if value.requires_grad}
            _check_any(trained, training)
            tokens = {name: model.tokenize(some).to(model.device) for name, some in texts.items()}
            return cls(Module(tower), initial(trained, count), tokens, shapes)
        features = {name: model.text_features(some) for name, some in texts.items()}
        if training == "projection":
            _check_any(projection.state_dict(), training)
            form, weights = form_of(projection)
            return cls(form, initial(weights, count), features, shapes)
        with torch.no_grad():
            vectors = {
                name: normalize(projection(x), dim=-1).reshape(1, *shapes[name], -1) for name, x in features.items()
            }
        return cls(None, {}, vectors, shapes)

    def templates(self, name: str) -> torch.Tensor:
        """(C, n, T, d) unit vectors of a set of texts, each template by itself; (1, n, T, d) where they are frozen."""
        if self.form is None:
            return self.inputs[name]
        embedded = normalize(self.form(self.weights, self.inputs[name]), dim=-1)
        return embedded.reshape(len(embedded), *self.shapes[name], -1)

    def means(self, name: str) -> torch.Tensor:
        """(C, n, d) or (1, n, d) means over templates of unit vectors, not normalised again."""
        return self.templates(name).mean(dim=2)

    def zero_shot(self) -> torch.Tensor:
        """(C, K, d) or (1, K, d) unit class vectors w_k of the zero-shot head."""
        return normalize(self.means("classes"), dim=-1)


def _check_any(trained: Mapping[str, torch.Tensor], training: TextTraining) -> None:
    if not trained:
        raise MethodError(
            f"text={training}: the backbone has nothing to train there, for its text tower is not cut before a "
            "projection; text=frozen can be had"
        )
