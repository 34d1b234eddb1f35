"""The search space of a study, written in Hydra's grammar of overrides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep

from gan_lightning.utils.errors import UserError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import Trial


def distribution(override: Override) -> BaseDistribution:
    """Return the distribution that an override of a sweep describes.

    ``a,b``, ``choice(a,b)`` and ``glob(*)`` are categories; ``interval(low,high)`` is uniform, of whole numbers within
    ``int(...)``; ``range(start,stop,step)`` is uniform over its values; ``tag(log,...)`` is uniform in the logarithm.

    Raises:
        UserError: the range is empty, or has a logarithm that it cannot have.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    value: Any = override.value()
    if override.is_choice_sweep():
        return CategoricalDistribution(list(dict.fromkeys(override.sweep_string_iterator())))
    log = "log" in value.tags
    try:
        if isinstance(value, IntervalSweep):
            low, high = value.start, value.end
            if isinstance(low, int) and isinstance(high, int):
                return IntDistribution(low, high, log=log)
            assert low is not None and high is not None
            return FloatDistribution(low, high, log=log)
        assert isinstance(value, RangeSweep)
        values = list(value.range())
        step = None if log else value.step
        if all(isinstance(number, int) for number in values):
            return IntDistribution(values[0], values[-1], log=log, step=1 if step is None else int(step))
        return FloatDistribution(values[0], values[-1], log=log, step=step)
    except (ValueError, IndexError) as error:
        raise UserError(f"{override.input_line} cannot be searched: {error}") from error


def suggest(trial: Trial, name: str, space: BaseDistribution) -> str:
    """Return the value that a trial has, or draws, for `name`, as it is typed in an override."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(space, FloatDistribution):
        return repr(trial.suggest_float(name, space.low, space.high, step=space.step, log=space.log))
    if isinstance(space, IntDistribution):
        return repr(trial.suggest_int(name, space.low, space.high, step=space.step, log=space.log))
    assert isinstance(space, CategoricalDistribution)
    return str(trial.suggest_categorical(name, space.choices))


def shortened(value: str) -> str:
    """Return a number to four digits, for a name; anything else as it is."""
    try:
        return value if value.lstrip("-").isdigit() else f"{float(value):.4g}"
    except ValueError:
        return value
