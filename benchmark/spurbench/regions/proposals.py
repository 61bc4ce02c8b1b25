"""Class-agnostic proposals: what the region proposal network of a Faster R-CNN takes for objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..errors import WeightsError

FILE = "fasterrcnn_resnet50_fpn_v2_coco-dd69338a.pth"
URL = f"https://download.pytorch.org/models/{FILE}"


def find_weights() -> Path:
    """The network's weights, in torch hub's folder. Raises WeightsError: they are never downloaded."""
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    path = folder / FILE
    if not path.is_file():
        raise WeightsError(f"region proposals need {FILE}, which is not in {folder}; put {URL} there (167 MB)")
    return path


class Proposer:
    """The best boxes of each photo, after non-maximum suppression, the best first.

    torchvision's `fasterrcnn_resnet50_fpn_v2` (Li et al. 2021, arXiv 2111.11429), of which the backbone and the region
    proposal network are used (Ren et al. 2015, arXiv 1506.01497, section 3.1): that knows objects, and not what they
    are. Photos go through it one by one: in a batch they would be padded to one size, and depend on their company.

    Args:
        weights: a state dict, as `find_weights` finds it.
        count: how many boxes at most.
        device: cpu or cuda.

    Raises:
        WeightsError: they are broken, or another network's.
    """

    kinds = ("proposals",)

    def __init__(self, weights: Path, count: int, device: str) -> None:
        from torchvision.models.detection import fasterrcnn_resnet50_fpn_v2

        self._count, self._device = count, device
        network: Any = fasterrcnn_resnet50_fpn_v2(
            weights=None,
            weights_backbone=None,
            rpn_post_nms_top_n_test=count,
        )
        try:
            network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise WeightsError(f"{weights} does not hold the weights of {FILE}: {reason}") from error
        self._network = network.eval().requires_grad_(False).to(device)

    def prepare(self, image: Image.Image) -> torch.Tensor:
        """(3, H, W) uint8."""
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)

    def encode(self, rows: range | list[int], prepared: list[torch.Tensor]) -> dict[str, torch.Tensor]:  # noqa: ARG002
        """(b, count, 4) float32 boxes in shares of the picture; rows of NaN behind where there are fewer."""
        return {"proposals": torch.stack([self._of(photo) for photo in prepared])}

    @torch.inference_mode()
    def _of(self, photo: torch.Tensor) -> torch.Tensor:
        network = self._network
        images, _ = network.transform([photo.to(self._device).float() / 255])
        found, _ = network.rpn(images, network.backbone(images.tensors))
        height, width = images.image_sizes[0]
        boxes = found[0].float().cpu() / torch.tensor([width, height, width, height])
        boxes = boxes[: self._count].clamp(0, 1)
        # Some are as thin as rounding leaves them.
        boxes = boxes[(boxes[:, 2:] > boxes[:, :2]).all(dim=1)]
        padded = torch.full((self._count, 4), torch.nan)
        padded[: len(boxes)] = boxes
        return padded
