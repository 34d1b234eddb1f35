"""`gan-explore`: look at the samples of a run, or of two side by side, in the browser."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from importlib.util import find_spec

from gan_lightning.cli.command import reported
from gan_lightning.utils.errors import UserError

DESCRIPTION = """Explore samples in the browser: seeds, truncation, classes, latent codes, checkpoints, interpolation,
and the training images nearest to a sample. The page is served to this machine alone, unless --host or --share says
otherwise."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="gan-explore", description=DESCRIPTION)
    parser.add_argument("run", metavar="RUN", help="a run directory or a checkpoint; last: the run that saved last")
    parser.add_argument("other", metavar="RUN2", nargs="?", help="another one, to stand beside it")
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda, auto")
    parser.add_argument("--host", default="127.0.0.1", help="address to serve at; 0.0.0.0: to the whole network")
    parser.add_argument("--port", type=int, help="by default the first free one from 7860 on")
    parser.add_argument("--share", action="store_true", help="a public address, through a server of gradio's")
    parser.add_argument(
        "--trust", action="append", default=[], metavar="NAME", help="code that a checkpoint may name, as for sample.py"
    )
    given = parser.parse_args(arguments)
    with reported():
        if find_spec("gradio") is None:
            raise UserError('gan-explore needs gradio: pip install "gan_lightning[explore]"')
        explore([given.run, *([given.other] if given.other else [])], given)


def explore(paths: Sequence[str], given: argparse.Namespace) -> None:
    """Serve the page of the runs until Ctrl+C."""
    from gan_lightning.explore.samples import load_checkpoints, run_name
    from gan_lightning.trainer.hardware import device_named

    device = device_named(given.device)
    runs = [(run_name(path), load_checkpoints(path, device, given.trust)) for path in paths]
    # No word to the makers of gradio, which counts its users by default; read when it is imported.
    os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}
    from gan_lightning.explore.page import CSS, THEME, explorer

    page = explorer(runs)
    try:
        _, local, public = page.launch(
            server_name=given.host,
            server_port=given.port,
            share=given.share,
            theme=THEME,
            css=CSS,
            footer_links=[],
            run_history=False,
            ssr_mode=False,
            quiet=True,
            prevent_thread_lock=True,
        )
    except OSError as error:
        port = "a port from 7860 on" if given.port is None else f"port {given.port}"
        raise UserError(
            f"the page cannot be served at {given.host}, {port}: choose another --port or --host"
        ) from error
    print(f"page         {public or local} (Ctrl+C ends it)", flush=True)
    page.block_thread()


if __name__ == "__main__":
    main()
