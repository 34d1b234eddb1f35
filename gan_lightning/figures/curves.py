"""Curves of a run on data of known density: the game's value, and the discriminator's distance from the optimum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from gan_lightning.figures.scene import Snapshot
from gan_lightning.figures.theory import LEAST_VALUE

# Of Okabe and Ito's palette, and none of those that stand for data, fakes and the optimum.
PLAYED, ERROR = "#CC79A7", "#666666"


class Curves:
    """V(D, G), C(G) and -log 4 over all frames, and mean |D - D*| on an axis of its own; a line marks the frame.

    Values that the frames do not have are left out.

    Args:
        panel: where to draw.
        frames: in the order of their iterations.
        optimal: the colour of C(G).
        legend: arguments of the legend.
    """

    def __init__(self, panel: Axes, frames: Sequence[Snapshot], optimal: str, legend: dict[str, Any]) -> None:
        iterations = [frame.iteration for frame in frames]
        played = [np.nan if frame.game_value is None else frame.game_value for frame in frames]
        error = [np.nan if frame.discriminator_error is None else frame.discriminator_error for frame in frames]
        panel.axhline(LEAST_VALUE, color="black", linestyle="--", linewidth=0.8, label="\N{MINUS SIGN}log 4")
        panel.plot(iterations, [frame.optimal_value for frame in frames], color=optimal, label="C(G)")
        shown = np.array([LEAST_VALUE, 0.0])
        if any(frame.game_value is not None for frame in frames):
            panel.plot(iterations, played, color=PLAYED, label="V(D, G)")
            shown = np.append(shown, [value for value in played if np.isfinite(value)])
        # A discriminator that is far off loses much more than log 4; that may leave the picture.
        low = max(float(shown.min()), 2 * LEAST_VALUE)
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
