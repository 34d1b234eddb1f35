"""gan_lightning: train, compare and evaluate generative adversarial networks.

The names below are imported when they are first used, so that ``import gan_lightning`` is quick and needs no torch.

Examples:
    >>> import gan_lightning as gl
    >>> run = gl.train(["experiment=ring", "seed=1"])
    >>> samples = run.gan.sample(64, seed=1)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gan_lightning.game import DiscriminatorOutput, Latent, Objective, Round
    from gan_lightning.gan import GAN
    from gan_lightning.runs.api import Run, compose, list_runs, load, train
    from gan_lightning.runs.evaluation import evaluate
    from gan_lightning.runs.export import export
    from gan_lightning.sweeps.report import report

__version__ = "0.1.0"

__all__ = [
    "GAN",
    "DiscriminatorOutput",
    "Latent",
    "Objective",
    "Round",
    "Run",
    "__version__",
    "compose",
    "evaluate",
    "export",
    "list_runs",
    "load",
    "report",
    "train",
]

_MODULES = {
    "GAN": "gan",
    **dict.fromkeys(("DiscriminatorOutput", "Latent", "Objective", "Round"), "game"),
    **dict.fromkeys(("Run", "compose", "list_runs", "load", "train"), "runs.api"),
    "evaluate": "runs.evaluation",
    "export": "runs.export",
    "report": "sweeps.report",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value  # found at once from now on
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
