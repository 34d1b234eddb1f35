"""What the three commands share: one sentence for a mistake, with the way out, and exit codes."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from gan_lightning.cli.help import help_text
from gan_lightning.utils.conf import hydra_at_conf, register_resolvers
from gan_lightning.utils.errors import ReportedError, UserError
from gan_lightning.utils.mistakes import mistakes, sentence

OF_COMPOSITION = (HydraException, OmegaConfBaseException, ValueError)
"""Errors of composing a configuration. Those of a job are dealt with in the job."""


def run_command(
    config_name: str, run: Callable[[], object], prepare: Callable[[list[str]], Sequence[str]] = list
) -> None:
    """Run a command line to its end, an exit code other than 0 included.

    Args:
        config_name: of its file in conf/.
        run: composes the configuration and does the work.
        prepare: rewrites the arguments before that.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files, on a terminal that lacks their letters
    sys.path.append(os.getcwd())  # modules of one's own beside the data, also for an installed command
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then lets its errors through to here
    register_resolvers()
    with reported():
        if {"--help", "-h"} & set(sys.argv[1:]):
            sys.stdout.write(help_text(config_name, sys.argv[1:]) + "\n")
            return
        sys.argv[1:] = prepare(sys.argv[1:])
        try:
            run()
        except ReportedError as error:
            sys.exit(error.exit_code)
        except OF_COMPOSITION as error:
            raise UserError(composition_problems(error, config_name)) from error
        except KeyboardInterrupt:  # before training: nothing to save
            sys.exit(130)


@contextmanager
def reported() -> Iterator[None]:
    """Within, a UserError ends the process with its exit code and its sentences on standard error."""
    try:
        yield
    except UserError as error:
        sys.stderr.write(error.report() + "\n")
        sys.exit(error.exit_code)


def composition_problems(error: Exception, config_name: str) -> list[str]:
    """Return what is wrong with the command line that could not be composed, a sentence each."""
    if isinstance(error, UserError):
        return error.problems
    overrides = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    with hydra_at_conf():
        return mistakes(GlobalHydra.instance().config_loader(), config_name, overrides) or [sentence(error)]
