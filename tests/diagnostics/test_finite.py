from __future__ import annotations

import math

import pytest
from helpers.tiny_gan import Drifting, tiny_gan

from gan_lightning.diagnostics.finite import largest_weights, not_finite
from gan_lightning.losses.adversarial import NonSaturating


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_a_number_that_is_not_finite_is_found_where_it_is(value: float):
    gan = tiny_gan({"adversarial": NonSaturating(), "drifting": Drifting()}, batch_norm=True)
    state = gan.state_dict()  # the tensors of the game themselves
    state["generator.layers.0.weight"].fill_(1e30)  # whose square would overflow
    assert not_finite(gan) is None
    state["discriminator.score.bias"].fill_(value)
    assert not_finite(gan) == "a number in the discriminator"
    state["discriminator.score.bias"].zero_()
    state["averaged_generator.layers.1.running_var"][2] = value
    assert not_finite(gan) == "a number in the averaged generator"
    state["averaged_generator.layers.1.running_var"][2] = 1
    state["objectives.drifting.centre"][1] = value
    assert not_finite(gan) == "a number in the objective drifting"


def test_the_largest_weights_are_those_by_size_and_no_buffer_is_one():
    gan = tiny_gan(batch_norm=True)
    state = gan.state_dict()
    state["generator.layers.0.weight"][1, 2] = -30
    state["averaged_generator.layers.1.running_var"][2] = 50
    largest = largest_weights(gan)
    assert largest["generator"] == 30 and largest["averaged_generator"] < 2
