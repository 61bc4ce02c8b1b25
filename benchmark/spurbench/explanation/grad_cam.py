"""Grad-CAM: a layer's map, its channels weighted by how much the score rises with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from ..errors import UnknownNameError, UsageError, WeightsError
from .transformers import Transformer, kind_of, transformer_of

FINE = 7
"""Cells per side of a map that is fine enough: what ResNets end in at 224 pixels, where the method comes from."""

Lay = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class GradCAM:
    """Selvaraju et al. 2017 (arXiv 1610.02391), equations 1 and 2: ReLU(sum_k alpha_k A_k), where alpha_k is the mean
    over cells of the score's gradient by channel k of the layer's map A.

    Attributes:
        layer: the module's name.
        module: whose output is the map.
        lay: that output -> (b, C, h, w).
    """

    layer: str
    module: nn.Module
    lay: Lay

    @contextmanager
    def watching(self) -> Iterator[list[torch.Tensor]]:
        """The module's output. Were it called more than once, it is that of the last call."""
        seen: list[torch.Tensor] = []

        def cut(_: nn.Module, __: Any, output: torch.Tensor) -> torch.Tensor:
            leaf = output.detach().requires_grad_()
            seen[:] = [leaf]
            # A copy goes on: what follows may be an activation that works in place.
            return leaf.clone()

        hook = self.module.register_forward_hook(cut)
        try:
            yield seen
        finally:
            hook.remove()

    def maps(self, seen: Sequence[torch.Tensor], gradients: Sequence[torch.Tensor]) -> torch.Tensor:
        """(b, h, w)."""
        cells, gradient = self.lay(seen[0]).float(), self.lay(gradients[0]).float()
        return torch.einsum("bchw,bc->bhw", cells, gradient.mean(dim=(2, 3))).relu()


def grad_cam(trunk: nn.Module, layer: str | None, photo: torch.Tensor) -> GradCAM:
    """Grad-CAM at a layer of a trunk.

    Without one it is, of the trunk's stages, the last whose map has at least FINE x FINE cells, in the order in which
    they run; where none has, the last of those with the finest. Stages are the direct parts that have parameters, and
    the parts of those of them that are sequences. In a transformer it is what enters the last block, whose output may
    reach the embedding through one token alone.

    Args:
        photo: (1, 3, H, W).

    Raises:
        UsageError: there is no such layer, or its output is no map.
        WeightsError: no stage has a map.
    """
    transformer = transformer_of(trunk)
    modules = dict(trunk.named_modules())
    if layer is not None:
        there = layer and layer in modules
        # An identity stands where something else was taken out: what it hands on is another layer's.
        whole = there and not isinstance(modules[layer], nn.Identity)
        found = _maps(trunk, {layer: modules[layer]}, photo, transformer) if whole else []
        if not found:
            blocks = {name: modules[name] for name in transformer.blocks} if transformer is not None else {}
            known = [name for name, _, _ in _maps(trunk, _stages(trunk) | blocks, photo, transformer)]
            if not there:
                raise UnknownNameError("layer", layer, known)
            raise UsageError(f"layer '{layer}' gives no map; layers that do: {', '.join(known) or 'none'}")
        (name, lay, _), *_ = found
    elif transformer is not None and len(transformer.blocks) > 1:
        name, lay = transformer.blocks[-2], transformer.laid_out
    else:
        found = _maps(trunk, _stages(trunk), photo, transformer)
        if not found:
            raise WeightsError(
                f"a tower of the kind {kind_of(trunk)} has no stage whose output is a map: activation maps "
                "cannot be drawn of it; name a layer that has one"
            )
        fine = [one for one in found if min(one[2]) >= FINE]
        most = max(h * w for _, _, (h, w) in found)
        name, lay, _ = (fine or [one for one in found if one[2][0] * one[2][1] == most])[-1]
    return GradCAM(name, modules[name], lay)


def _stages(trunk: nn.Module) -> dict[str, nn.Module]:
    stages: dict[str, nn.Module] = {}
    for name, part in trunk.named_children():
        if next(part.parameters(), None) is not None:
            stages[name] = part
            if isinstance(part, nn.Sequential | nn.ModuleList):
                stages |= {f"{name}.{inner}": piece for inner, piece in part.named_children()}
    return stages


def _maps(
    trunk: nn.Module, modules: dict[str, nn.Module], photo: torch.Tensor, transformer: Transformer | None
) -> list[tuple[str, Lay, tuple[int, int]]]:
    """Of the modules whose output is a map: name, how it is laid out, cells per column and row; as they end running."""
    found: list[tuple[str, Lay, tuple[int, int]]] = []

    def note(name: str, _: nn.Module, __: Any, output: object) -> None:
        lay = _layout(output, photo, transformer)
        if lay is not None and isinstance(output, torch.Tensor):
            h, w = lay(output).shape[2:]
            found.append((name, lay, (h, w)))

    with ExitStack() as stack, torch.no_grad():
        for name, module in modules.items():
            stack.callback(module.register_forward_hook(partial(note, name)).remove)
        # What is the same for another photo, such as an embedding of positions, is no map of it.
        trunk(torch.cat([photo, 2 * photo + 1]))
    return found


def _layout(output: object, photo: torch.Tensor, transformer: Transformer | None) -> Lay | None:
    """How an output becomes (b, C, h, w): maps have the image's proportions; None for what is no map."""
    if not isinstance(output, torch.Tensor) or len(output) != 2 or torch.equal(output[0], output[1]):
        return None
    if output.ndim == 3 and transformer is not None and output.shape[1] == transformer.tokens:
        return transformer.laid_out
    if output.ndim != 4:
        return None
    if _proportional(output.shape[2:], photo.shape[2:]):
        return _as_it_is
    return _channels_to_front if _proportional(output.shape[1:3], photo.shape[2:]) else None


def _proportional(map_: Sequence[int], image: Sequence[int]) -> bool:
    (h, w), (height, width) = map_, image
    return 1 < h * w <= height * width and abs(h * width - w * height) < max(height, width)


def _as_it_is(output: torch.Tensor) -> torch.Tensor:
    return output


def _channels_to_front(output: torch.Tensor) -> torch.Tensor:
    return output.permute(0, 3, 1, 2)
