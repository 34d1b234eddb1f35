from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from gan_lightning.game import DiscriminatorOutput, Latent, Objective, Round, check_objectives, discriminate


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, samples: Tensor) -> DiscriminatorOutput:
        self.calls += 1
        return DiscriminatorOutput(samples.sum(1), features=samples)


def a_round(discriminator: nn.Module) -> Round:
    return Round(nn.Identity(), discriminator, Latent(torch.zeros(2, 1)), real=torch.ones(2, 3), fake=torch.zeros(2, 3))


def test_outputs_are_computed_when_first_read_and_then_kept():
    discriminator = Counting()
    round = a_round(discriminator)
    assert discriminator.calls == 0
    assert round.real_logits.tolist() == [3.0, 3.0]
    assert round.real_output.features is round.real
    assert discriminator.calls == 1
    assert round.fake_logits.tolist() == [0.0, 0.0]
    assert round.fake_logits is round.fake_output.logits
    assert discriminator.calls == 2


def test_bare_logits_are_wrapped():
    output = discriminate(nn.Flatten(0), torch.ones(2, 1))
    assert isinstance(output, DiscriminatorOutput)
    assert output.logits.shape == (2,)
    assert output.features is None


@dataclass
class Coded(Latent):
    code: Tensor


def test_a_latent_is_cut_with_all_its_fields_and_keeps_its_type():
    latent = Coded(torch.arange(6).view(6, 1), code=torch.arange(6))
    cut = latent[2:4]
    assert isinstance(cut, Coded)
    assert len(latent) == 6
    assert cut.z.tolist() == [[2], [3]]
    assert cut.code.tolist() == [2, 3]


def test_an_objective_takes_no_part_until_it_says_so():
    objective, round = Objective(), a_round(Counting())
    assert objective.discriminator(round) is None
    assert objective.generator(round) is None
    objective.after_discriminator_step(round)
    assert not objective.needs_image_gradients
    assert not objective.forbids_batch_norm


def test_a_term_that_is_null_is_refused_with_the_way_out():
    with pytest.raises(ValueError, match=r"loss\.objectives\.r1=null .* by ~loss\.objectives\.r1"):
        check_objectives(nn.Linear(1, 1), {"r1": None})  # type: ignore[dict-item]
