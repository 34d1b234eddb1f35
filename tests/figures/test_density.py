from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from gan_lightning.data.distributions import Distribution, Gaussian, ring
from gan_lightning.figures.density import density_figure, moments, score_range
from gan_lightning.figures.scene import Scene, Snapshot
from gan_lightning.figures.theory import LEAST_VALUE, Array, bounds


def floats(*values: float) -> Array:
    return np.asarray(values, dtype=np.float32)


def drawn(distribution: Distribution, count: int = 1000, seed: int = 0) -> Array:
    return distribution.sample(count, torch.Generator().manual_seed(seed)).numpy()


def scene_of(axes: int, critic: bool = False) -> Scene:
    distribution: Distribution = Gaussian(3.0, 0.5) if axes == 1 else ring()
    box = bounds(drawn(distribution), drawn(distribution, seed=1) * 0)
    return Scene(drawn(distribution), box, distribution.log_density, critic)


def frame_of(scene: Scene, iteration: int, samples: Array, level: float = 0.0) -> Snapshot:
    scores = np.full(scene.points.cells ** samples.shape[1], level, dtype=np.float32)
    played = (None, None) if scene.critic else (-1.2, 0.3)
    return Snapshot(iteration, samples, scores, played[0], scene.optimal_value(samples), played[1])


@pytest.mark.parametrize("critic", [False, True])
@pytest.mark.parametrize("axes", [1, 2])
def test_a_frame_looks_the_same_whatever_was_drawn_before(axes: int, critic: bool):
    scene = scene_of(axes, critic)
    first = frame_of(scene, 0, scene.real * 0.5, level=-2.0)
    second = frame_of(scene, 100, scene.real, level=1.0)
    figure = density_figure(scene, [first, second], dpi=40)
    once, between, again = figure.draw(first), figure.draw(second), figure.draw(first)
    assert once.dtype == np.uint8 and once.shape[2] == 3
    assert (once == again).all()
    assert (once != between).any()
    # Axes, labels and the data stay where they are.
    assert (once == between).all(axis=2).mean() > 0.4


@pytest.mark.parametrize("axes", [1, 2])
def test_a_game_that_has_diverged_is_drawn_too(axes: int):
    for critic in (False, True):
        scene = scene_of(axes, critic)
        frame = frame_of(scene, 5, np.full_like(scene.real, np.nan), level=np.nan)
        assert frame.optimal_value == 0.0
        assert density_figure(scene, [frame], dpi=40).draw(frame).size


def test_a_critics_scores_are_drawn_as_they_are():
    scene = scene_of(1, critic=True)
    low, high = frame_of(scene, 0, scene.real, level=-30.0), frame_of(scene, 1, scene.real, level=50.0)
    figure = density_figure(scene, [low, high], dpi=40)
    assert figure.discriminator_values(high) == pytest.approx(50.0)
    bottom, top = figure.figure.axes[1].get_ylim()
    assert bottom < -30 and top > 50
    assert "D*" not in " ".join(label for panel in figure.figure.axes for label in panel.get_legend_handles_labels()[1])


def test_the_discriminator_is_drawn_as_a_probability():
    scene = scene_of(1)
    frame = frame_of(scene, 0, scene.real, level=2.0)
    assert density_figure(scene, [frame], dpi=40).discriminator_values(frame) == pytest.approx(1 / (1 + np.exp(-2.0)))


def test_the_data_themselves_come_near_the_least_value():
    for axes, allowed in ((1, 0.01), (2, 0.06)):
        scene = scene_of(axes)
        assert LEAST_VALUE <= scene.data_value < LEAST_VALUE + allowed
        assert scene.optimal_value(scene.real + 100) == 0.0


@pytest.mark.parametrize(("axes", "critic"), [(1, False), (1, True), (2, False), (2, True)])
def test_without_scores_all_but_the_discriminator_is_drawn(axes: int, critic: bool):
    scene = scene_of(axes, critic)
    frames = [frame_of(scene, 0, scene.real * 0.5), frame_of(scene, 100, scene.real)]
    frames = [replace(frame, scores=None, game_value=None, discriminator_error=None) for frame in frames]
    figure = density_figure(scene, frames, dpi=40)
    assert (figure.draw(frames[0]) != figure.draw(frames[1])).any()
    panels = figure.figure.axes
    names = {panel.get_title() for panel in panels}.union(*(panel.get_legend_handles_labels()[1] for panel in panels))
    assert not names & {"D(x)", "critic's score", "V(D, G)"}
    assert any(name.startswith("D*(x)") for name in names) != critic
    # In the plane, D* has a scale of its colours too; below stand the curves.
    assert len(panels) == 2 + (not critic) * axes


def test_three_dimensions_cannot_be_drawn():
    points = np.zeros((10, 3), dtype=np.float32)
    with pytest.raises(ValueError, match="callbacks.density=null"):
        Scene(points, ((0.0,) * 3, (1.0,) * 3), lambda x: x[:, 0], critic=False)


def test_the_range_of_scores_passes_over_outliers_and_what_is_no_number():
    scores = np.linspace(0, 1, 1000, dtype=np.float32)
    scores[0], scores[1], scores[2] = np.nan, np.inf, -1e6
    low, high = score_range([Snapshot(0, scores[:, None], scores, None, 0.0)])
    assert low == pytest.approx(0.0, abs=0.02) and high == pytest.approx(1.0, abs=0.02)


def test_moments_weigh():
    assert moments(floats(-1, 1), floats(0.5, 0.5)) == "0.00 ± 1.00"
    assert moments(floats(-2, -2, 7), floats(0.5, 0.5, 0)) == "\N{MINUS SIGN}2.00 ± 0.00"


@pytest.mark.parametrize("axes", [1, 2])
def test_the_curves_are_the_numbers_of_the_frames(axes: int):
    scene = scene_of(axes)
    values = [(0, -2.0, -0.1, 0.4), (50, -1.0, -0.7, 0.2), (100, -1.3, -1.3, 0.05)]
    scores = np.zeros(scene.points.cells**axes, dtype=np.float32)
    frames = [Snapshot(n, scene.real, scores, played, best, error) for n, played, best, error in values]
    figure = density_figure(scene, frames, dpi=40)
    lines = {str(line.get_label()): line for panel in figure.figure.axes[-2:] for line in panel.get_lines()}
    minus = "\N{MINUS SIGN}"
    for label, column in (("V(D, G)", 1), ("C(G)", 2), (f"mean |D {minus} D*|", 3)):
        expected = floats(*(number for line in values for number in (line[0], line[column])))
        np.testing.assert_allclose(np.asarray(lines[label].get_xydata(), dtype=np.float32).reshape(-1), expected)
    assert np.asarray(lines[f"{minus}log 4"].get_ydata()).tolist() == [LEAST_VALUE] * 2
    assert (figure.draw(frames[0]) != figure.draw(frames[2])).any()  # the moment moves


def test_the_curves_of_a_critic_have_the_value_of_the_best_discriminator_alone():
    scene = scene_of(1, critic=True)
    frames = [frame_of(scene, n, scene.real) for n in (0, 10)]
    panel = density_figure(scene, frames, dpi=40).figure.axes[-1]
    assert {str(line.get_label()) for line in panel.get_lines()} >= {"C(G)", "\N{MINUS SIGN}log 4"}
    assert "V(D, G)" not in {str(line.get_label()) for line in panel.get_lines()}


def test_the_error_is_measured_at_data_and_fakes_alike():
    """A fake generator that is perfect: D* is 1/2, and a D of .9 on data and .2 on fakes is off by .4 and by .3."""
    scene = scene_of(1)
    samples = drawn(Gaussian(3.0, 0.5), count=20_000, seed=5)
    probabilities = np.full(len(scene.real), 0.9, dtype=np.float32), np.full(len(scene.real), 0.2, dtype=np.float32)
    found = scene.discriminator_error(samples[: len(scene.real)], *probabilities)
    assert found == pytest.approx(0.35, abs=0.02)
