"""What the three commands share: one sentence for a mistake, with the way out, and exit codes."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra

from gan_lightning.cli.help import help_text
from gan_lightning.trainer.ranks import is_sweep
from gan_lightning.utils.composition import COMPOSITION_ERRORS, mistakes, parse, problems_of
from gan_lightning.utils.conf import hydra_at_conf, quote_paths, register_resolvers
from gan_lightning.utils.config_dirs import name_config_dirs
from gan_lightning.utils.errors import ReportedError, UserError, names_that_fit


def run_command(
    config_name: str, run: Callable[[], object], prepare: Callable[[list[str]], Sequence[str]] = list
) -> None:
    """Run a command line to its end.

    Exit code 2 says that the command is at fault, 1 that the work failed, 75 that a signal stopped a run that can be
    resumed, 130 that it was stopped with Ctrl+C.

    Args:
        config_name: of its file in conf/.
        run: composes the configuration and does the work.
        prepare: rewrites the arguments before that.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # for names in letters that the terminal lacks
    sys.path.append(os.getcwd())  # for modules of one's own, as an installed command does not look there
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises its errors here
    register_resolvers()
    with reported():
        sys.argv[1:] = prepare(quote_paths(sys.argv[1:]))
        arguments, strange = get_args_parser().parse_known_args(sys.argv[1:])
        if strange:
            raise UserError(
                f"{' '.join(strange)} cannot be read: options come before all overrides or after them, see --help"
            )
        search_path = search_path_of(arguments.config_dir, arguments.overrides)
        name_config_dirs(search_path)
        if config_name != "train":  # which is checked more closely once it is composed
            refuse_additions(arguments.overrides)
        with hydra_at_conf(search_path):
            if arguments.help:
                return print(help_text(config_name, arguments.overrides))
            if is_sweep(sys.argv[1:]) and (
                problems := mistakes(
                    GlobalHydra.instance().config_loader(), config_name, arguments.overrides, sweep=True
                )
            ):
                raise UserError(problems)
        try:
            run()
        except ReportedError as error:
            sys.exit(error.exit_code)
        except UserError:
            raise
        except COMPOSITION_ERRORS as error:  # those of a job are dealt with in the job
            with hydra_at_conf(search_path):
                raise UserError(problems_of(error, config_name, arguments.overrides)) from error
        except OSError as error:
            if not is_sweep(sys.argv[1:]):
                raise
            raise UserError(
                f"{error.filename} cannot be written ({error.strerror}): give the sweep's folder with hydra.sweep.dir="
            ) from error
        except KeyboardInterrupt:  # before training: nothing to save
            sys.exit(130)


def search_path_of(config_dir: str | None, overrides: Sequence[str]) -> list[str]:
    """Return the folders like conf/ that ``--config-dir`` and ``hydra.searchpath=`` name, as Hydra names them."""
    parsed, _ = parse(overrides)
    values = [override.value() for override in parsed if override.key_or_group == "hydra.searchpath"]
    listed = [str(folder) for value in values if isinstance(value, list) for folder in value]
    return listed if config_dir is None else [f"file://{Path(config_dir).absolute()}", *listed]


def refuse_additions(overrides: Sequence[str]) -> None:
    """Raise a UserError for added keys, ``+key=``, that neither evaluation nor sampling reads."""
    keys = [str(override.key_or_group) for override in parse(overrides)[0] if override.is_add()]
    if strange := [key for key in keys if key.split(".")[0] not in ("data", "extractor", "hydra", "metrics")]:
        raise UserError([f"+{key} is read by nothing: leave it out" for key in strange])


@contextmanager
def reported() -> Iterator[None]:
    """Within, a UserError ends the process with its exit code and its sentences on standard error."""
    try:
        with names_that_fit():
            yield
    except UserError as error:
        sys.stderr.write(error.report() + "\n")
        sys.exit(error.exit_code)
