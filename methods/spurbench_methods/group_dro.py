"""GroupDRO: minimise the worst group's loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from spurbench.cards import MethodCard, Supervision
from spurbench.heads import Standardiser
from spurbench.method import Predictor, Task
from spurbench.space import Choice, Config, Distribution, LogUniform

SNAPSHOTS = (2, 5, 10, 30, 100)
"""Epochs after which a snapshot is a candidate; dense at the start, where a linear head is often best."""
BATCH = 128


class GroupDRO:
    """Group distributionally robust optimisation of a linear head by SGD, all configurations in one batch.

    Sagawa et al. 2020 (arXiv 1911.08731), algorithm 1 with group adjustment, as in `loss.py` of the released code.
    Per batch, drawn group-balanced with replacement: group mean losses l_g; q_g <- q_g exp(eta (l_g + C / sqrt(n_g))),
    normalised; the step descends sum_g q_g l_g. SGD with momentum 0.9. A group absent from a batch keeps its q, and the
    others share the rest (the released code updates it with a loss of zero). Features are standardised by the training
    split. The paper trains ResNets for 300 epochs; a linear head on standardised features needs fewer.
    """

    card = MethodCard(
        name="group_dro",
        title="GroupDRO",
        paper="arXiv 1911.08731",
        supervision=Supervision(train_groups=True),
    )
    space: Mapping[str, Distribution] = {
        "lr": LogUniform(1e-5, 1e-2, first=1e-3),
        "weight_decay": LogUniform(1e-4, 1.0, first=1e-4),
        "eta": Choice(0.01, 0.1),
        "adjustment": Choice(0.0, 1.0, 2.0, 3.0, 4.0, 5.0),
    }

    def fit(self, task: Task, config: Config) -> Sequence[Predictor]:
        """Snapshots along training."""
        return self.fit_many(task, [config])[0]

    def fit_many(self, task: Task, configs: Sequence[Config]) -> list[Sequence[Predictor]]:
        """Snapshots for each configuration; every configuration sees the same batches."""
        raw, y, groups = task.train.embeddings().double().numpy(), task.train.y, task.train.groups
        scaler = Standardiser.fit(raw)
        x = torch.from_numpy(scaler(raw)).float().to(task.device)
        totals = torch.bincount(groups, minlength=task.n_groups)
        probabilities = 1.0 / totals[groups].double()
        y, groups = y.to(task.device), groups.to(task.device)

        def column(name: str) -> torch.Tensor:
            return torch.tensor([float(config[name]) for config in configs], device=task.device)

        lr, decay, eta = column("lr"), column("weight_decay"), column("eta")
        margin = column("adjustment")[:, None] / totals.clamp_min(1).sqrt().to(task.device)
        state = DROState.start(len(configs), x.shape[1], task.n_classes, totals.to(task.device))
        generator = task.seed.derive("batches").torch()
        steps = -(-len(x) // BATCH)
        snapshots: list[tuple[torch.Tensor, torch.Tensor]] = []
        for epoch in range(1, SNAPSHOTS[-1] + 1):
            order = torch.multinomial(probabilities, steps * BATCH, replacement=True, generator=generator)
            for batch in torch.split(order.to(task.device), BATCH):
                dro_step(state, x[batch], y[batch], groups[batch], lr, decay, eta, margin)
            if epoch in SNAPSHOTS:
                snapshots.append((state.weight.double().cpu(), state.bias.double().cpu()))
        return [
            [scaler.fold(weights[b].T.numpy(), biases[b, 0].numpy()) for weights, biases in snapshots]
            for b in range(len(configs))
        ]


@dataclass
class DROState:
    """Weights (B, d, K), biases (B, 1, K), the momenta of both, and group weights q (B, G) of B problems."""

    weight: torch.Tensor
    bias: torch.Tensor
    weight_momentum: torch.Tensor
    bias_momentum: torch.Tensor
    q: torch.Tensor

    @classmethod
    def start(cls, problems: int, d: int, n_classes: int, totals: torch.Tensor) -> DROState:
        """Zero heads; q uniform over the groups that have training examples (totals (G,) > 0)."""
        weight = torch.zeros(problems, d, n_classes, device=totals.device)
        bias = torch.zeros(problems, 1, n_classes, device=totals.device)
        present = (totals > 0).float()
        q = (present / present.sum()).repeat(problems, 1)
        return cls(weight, bias, weight.clone(), bias.clone(), q)


def dro_step(
    state: DROState,
    x: torch.Tensor,
    y: torch.Tensor,
    groups: torch.Tensor,
    lr: torch.Tensor,
    decay: torch.Tensor,
    eta: torch.Tensor,
    margin: torch.Tensor,
) -> None:
    """One step on a batch x (m, d), y and groups (m,), for B problems at once; gradients in closed form.

    Args:
        lr, decay, eta: (B,).
        margin: (B, G), the adjustment C / sqrt(n_g).
    """
    log_p = torch.log_softmax(x @ state.weight + state.bias, dim=-1)
    losses = -log_p.gather(-1, y.expand(len(lr), -1)[..., None])[..., 0]
    member = torch.nn.functional.one_hot(groups, state.q.shape[1]).to(x)
    size = member.sum(dim=0)
    present = size > 0
    group_loss = losses @ member / size.clamp_min(1)
    # The mass of the groups in the batch is shared anew among them. The largest exponent is taken out first: only
    # ratios matter, and they must not overflow.
    growth = torch.where(present, eta[:, None] * (group_loss + margin), -torch.inf)
    grown = state.q * torch.exp(growth - growth.max(dim=1, keepdim=True).values)
    mass = (state.q * present).sum(dim=1, keepdim=True)
    state.q = torch.where(present, grown * mass / grown.sum(dim=1, keepdim=True).clamp_min(1e-30), state.q)

    share = (state.q / size.clamp_min(1))[:, groups]
    error = (log_p.exp() - torch.nn.functional.one_hot(y, log_p.shape[-1]).to(x)) * share[..., None]
    state.weight_momentum = 0.9 * state.weight_momentum + x.T @ error + decay[:, None, None] * state.weight
    state.bias_momentum = 0.9 * state.bias_momentum + error.sum(dim=1, keepdim=True)
    state.weight = state.weight - lr[:, None, None] * state.weight_momentum
    state.bias = state.bias - lr[:, None, None] * state.bias_momentum
