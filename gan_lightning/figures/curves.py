"""Curves of a run on data of known density: the game's value, and the discriminator's distance from the optimum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from gan_lightning.figures.scene import Snapshot

# Of Okabe and Ito's palette, and none of those that stand for data, fakes and the optimum.
PLAYED, ERROR = "#CC79A7", "#666666"


class Curves:
    """V(D, G), C(G) and its least value over all frames, mean |D - D*| on an axis of its own, a line at the moment.

    Values that the frames do not have are left out.

    Args:
        panel: where to draw.
        frames: in the order of their iterations.
        least: the name and the number of the least value of C(G).
        optimal: the colour of what the best discriminator does.
        legend: where and how the legend stands.
    """

    def __init__(
        self,
        panel: Axes,
        frames: Sequence[Snapshot],
        least: tuple[str, float],
        optimal: str,
        legend: dict[str, Any],
    ) -> None:
        name, least_value = least
        iterations = [frame.iteration for frame in frames]
        played = [np.nan if frame.game_value is None else frame.game_value for frame in frames]
        error = [np.nan if frame.discriminator_error is None else frame.discriminator_error for frame in frames]
        panel.axhline(least_value, color="black", linestyle="--", linewidth=0.8, label=name)
        panel.plot(iterations, [frame.optimal_value for frame in frames], color=optimal, label="C(G)")
        shown = np.array([least_value, 0.0])
        if any(frame.game_value is not None for frame in frames):
            panel.plot(iterations, played, color=PLAYED, label="V(D, G)")
            shown = np.append(shown, [value for value in played if np.isfinite(value)])
        # A discriminator that is far off loses much more than that; it may leave the picture.
        low = max(float(shown.min()), 2 * least_value)
        panel.set(xlabel="iteration", ylabel="nats", ylim=(low - 0.1, 0.1))
        panel.set_xlim(iterations[0], max(iterations[-1], iterations[0] + 1))
        handles = panel.get_legend_handles_labels()[0]
        if any(frame.discriminator_error is not None for frame in frames):
            beside = panel.twinx()
            handles += beside.plot(iterations, error, color=ERROR, linestyle=":", label="mean |D \N{MINUS SIGN} D*|")
            beside.set(ylabel="mean |D \N{MINUS SIGN} D*|", ylim=(0, None))
        panel.legend(handles=handles, **legend)
        self.moment = panel.axvline(iterations[0], color="black", linewidth=0.8)

    def moving(self) -> list[Artist]:
        """Return what `update` changes."""
        return [self.moment]

    def update(self, frame: Snapshot) -> None:
        """Move the line to the iteration of `frame`."""
        self.moment.set_xdata([frame.iteration, frame.iteration])
