"""The explorer's page, in gradio: controls of one run or of two side by side, and what they show."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import gradio as gr
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gan_lightning.data.pixels import to_uint8
from gan_lightning.explore.samples import (
    Choice,
    Pin,
    can_truncate,
    code_count,
    interpolation,
    label_kind,
    label_words,
    nearest_images,
    samples,
    training_images,
)
from gan_lightning.runs.checkpoints import LoadedRun
from gan_lightning.utils.errors import UserError

NO_TRUNCATION = 4.0
"""Noise beyond it is so rare that truncation there is none."""

LONGEST_CODE = 2.0
"""Sliders of codes go from -2 to 2, twice as far as training draws them."""

ANY = "any"
CSS = """
img {image-rendering: pixelated}
.grid-wrap {min-height: 0 !important; max-height: none !important; overflow: hidden !important}
.grid-container {grid-template-columns: repeat(auto-fill, minmax(76px, 1fr)) !important; padding-top: 0 !important}
.grid-container button, .gallery-item {height: auto !important; aspect-ratio: 1}
"""
THEME = gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])  # none to be fetched


def explorer(runs: Sequence[tuple[str, Sequence[LoadedRun]]]) -> gr.Blocks:
    """Return the page of runs, each by its name and its checkpoints, beside one another."""
    title = " and ".join(name for name, _ in runs)
    with gr.Blocks(title=f"Explore {title}", analytics_enabled=False, fill_width=True) as page:
        gr.Markdown(f"## {title}")
        with gr.Row():
            seed = gr.Number(0, label="Seed", precision=0, minimum=0, elem_id="seed")
            resample = gr.Button("Resample", variant="primary", elem_id="resample")
            count = gr.Slider(4, 64, 24, step=4, label="Samples")
            truncation = gr.Slider(
                0.1,
                NO_TRUNCATION,
                NO_TRUNCATION,
                step=0.1,
                label=f"Truncation, {NO_TRUNCATION:g}: none",
                visible=all(can_truncate(checkpoints[0].gan) for _, checkpoints in runs),
                elem_id="truncation",
            )
            weights = gr.Radio(["averaged", "raw"], value="averaged", label="Weights of the generator")
        resample.click(lambda: random.randrange(2**31), None, seed, api_visibility="private")
        with gr.Row():
            for number, (name, checkpoints) in enumerate(runs):
                with gr.Column():
                    add_run(page, f"run{number}", name, checkpoints, [seed, count, truncation, weights])
    return page


def add_run(page: gr.Blocks, key: str, name: str, checkpoints: Sequence[LoadedRun], shared: list[Any]) -> None:
    """Add the controls and the pictures of one run to the page, within a column.

    Args:
        page: that is being built.
        key: begins the ids of what is added.
        name: of the run.
        checkpoints: of the run, by iterations.
        shared: the controls that all runs have in common, see `choice_of`.
    """
    words, codes = label_words(checkpoints[-1]), code_count(checkpoints[-1].gan)
    number = gr.Slider(
        1,
        max(len(checkpoints), 2),
        len(checkpoints),
        step=1,
        label="Checkpoint",
        visible=len(checkpoints) > 1,
        elem_id=f"{key}-checkpoint",
    )
    says = gr.Markdown(described(name, checkpoints[-1]))
    label = gr.Dropdown(
        [ANY, *words],
        value=ANY,
        label=(label_kind(checkpoints[-1]) or "class").capitalize(),
        visible=bool(words),
        elem_id=f"{key}-label",
    )
    choose = gr.Checkbox(False, label="Choose the codes", visible=bool(codes), elem_id=f"{key}-choose")
    sliders = [
        gr.Slider(-LONGEST_CODE, LONGEST_CODE, 0.0, step=0.1, label=f"Code {n + 1}", elem_id=f"{key}-code{n}")
        for n in range(codes)
    ]
    controls = [number, *shared, label, choose, *sliders]

    def at(values: Sequence[Any]) -> tuple[LoadedRun, Choice]:
        return checkpoints[int(values[0]) - 1], choice_of(values[1:], words)

    def draw(*values: Any) -> tuple[str, list[NDArray[np.uint8]]]:
        checkpoint, choice = at(values)
        return described(name, checkpoint), pictures(samples(checkpoint.gan, choice))

    shown = gallery("Samples: click one to select it", f"{key}-samples")
    gr.on(
        [page.load, *(control.change for control in controls)],
        shows(draw),
        controls,
        [says, shown],
        trigger_mode="always_last",
        api_visibility="private",
    )
    add_selection(page, key, checkpoints, controls, shown, at)


def add_selection(
    page: gr.Blocks,
    key: str,
    checkpoints: Sequence[LoadedRun],
    controls: list[Any],
    shown: gr.Gallery,
    at: Callable[[Sequence[Any]], tuple[LoadedRun, Choice]],
) -> None:
    """Add what is done with a sample that was clicked: interpolation of two pinned ones, nearest training images."""
    selected, start, end = gr.State(0), gr.State(Pin(Choice(), 0)), gr.State(Pin(Choice(), 1))
    with gr.Row():
        pin_start = gr.Button("Pin as start", elem_id=f"{key}-start")
        pin_end = gr.Button("Pin as end", elem_id=f"{key}-end")
        near = gr.Button("Nearest training images", elem_id=f"{key}-nearest")
    with gr.Row():
        way = gr.Radio(["great circle", "line"], value="great circle", label="Interpolation")
        steps = gr.Slider(3, 15, 7, step=1, label="Steps")
    between = gallery("From the pinned start to the end", f"{key}-between")
    nearest = gallery("The sample, the training images nearest to it and their distances", f"{key}-neighbours")

    def select(event: gr.SelectData) -> int:
        return int(event.index)

    def pin(index: int, *values: Any) -> Pin:
        choice = at(values)[1]
        return Pin(choice, min(index, choice.count - 1))

    def interpolate(first: Pin, last: Pin, way: str, steps: float, *values: Any) -> list[NDArray[np.uint8]]:
        checkpoint, _ = at(values)
        return pictures(interpolation(checkpoint.gan, first, last, int(steps), straight=way == "line"))

    @cache
    def images() -> Tensor:
        return training_images(checkpoints[-1].config)

    def neighbours(index: int, *values: Any) -> list[tuple[NDArray[np.uint8], str]]:
        checkpoint, choice = at(values)
        sample = samples(checkpoint.gan, choice)[min(index, choice.count - 1)]
        found, distances = nearest_images(sample, images())
        captions = ["sample", *(f"{distance:.1f}" for distance in distances.tolist())]
        return list(zip([*pictures(sample[None]), *pictures(found)], captions, strict=True))

    private: dict[str, Any] = {"api_visibility": "private"}
    shown.select(select, None, selected, **private)
    near.click(shows(neighbours), [selected, *controls], nearest, **private)
    for button, state in ((pin_start, start), (pin_end, end)):
        button.click(pin, [selected, *controls], state, **private).then(
            shows(interpolate), [start, end, way, steps, *controls], between, **private
        )
    gr.on(
        [page.load, way.change, steps.change, controls[0].change],
        shows(interpolate),
        [start, end, way, steps, *controls],
        between,
        **private,
    )


def choice_of(values: Sequence[Any], words: dict[str, int]) -> Choice:
    """Return what the controls say: seed, count, truncation, weights, label, whether codes are chosen, and codes."""
    seed, count, truncation, weights, label, choose, *codes = values
    return Choice(
        seed=int(seed or 0),
        count=int(count),
        truncation=truncation if truncation < NO_TRUNCATION else None,
        label=words.get(label),
        codes=tuple(codes) if choose else None,
        averaged=weights == "averaged",
    )


def described(name: str, checkpoint: LoadedRun) -> str:
    """Return a line about a checkpoint of the run `name`."""
    return f"**{name}**, checkpoint *{checkpoint.file.stem}*, iteration {checkpoint.gan.iterations:,}"


def pictures(images: Tensor) -> list[NDArray[np.uint8]]:
    """Return images (count, channels, height, width) in [-1, 1] as pictures, each (height, width, 3)."""
    colour = to_uint8(images).expand(-1, 3, -1, -1)
    return list(colour.permute(0, 2, 3, 1).numpy())


def gallery(title: str, key: str) -> gr.Gallery:
    """Add pictures to the page below their title, in which a click selects."""
    gr.Markdown(title)
    return gr.Gallery(
        show_label=False,
        format="png",
        allow_preview=False,
        height="auto",
        elem_id=key,
        interactive=False,
        buttons=[],
    )


def shows(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function` with its errors shown on the page."""

    def shown(*values: Any) -> Any:
        with errors_shown():
            return function(*values)

    return shown


@contextmanager
def errors_shown() -> Iterator[None]:
    """Within, a UserError or a ValueError becomes a message on the page."""
    try:
        yield
    except (UserError, ValueError) as error:
        raise gr.Error(str(error), print_exception=False) from error
