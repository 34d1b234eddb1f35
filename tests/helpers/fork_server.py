"""Scripts in forks of one process that has imported what they need, so that imports are paid once."""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import NoReturn


class ForkServer:
    """A process that imports modules and then becomes, fork by fork, the scripts that it is sent.

    A fork differs from ``python SCRIPT`` in two things: the modules are there already, and its end frees no memory.

    Args:
        modules: to import before the first script.
        environment: of the imports.
    """

    def __init__(self, *modules: str, environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, *modules],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        atexit.register(self.process.communicate)  # the end of its input ends it

    def run(
        self, folder: Path, command: list[str], environment: dict[str, str], seconds: int
    ) -> subprocess.CompletedProcess[str]:
        """Run ``command``, a script and its arguments, in ``folder``; after so many seconds it gets SIGALRM."""
        assert self.process.stdin and self.process.stdout
        with tempfile.TemporaryDirectory() as kept:
            streams = [Path(kept) / name for name in ("stdout", "stderr")]
            request = (str(folder), command, environment, seconds, [str(path) for path in streams])
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            code = int(self.process.stdout.readline())
            return subprocess.CompletedProcess(command, code, *(path.read_text() for path in streams))


def serve() -> list[str]:
    """Fork for every request on standard input and answer with the fork's exit code.

    Returns:
        In a fork, the command that it is to run.
    """
    for line in sys.stdin:
        folder, command, environment, seconds, streams = json.loads(line)
        child = os.fork()
        if not child:
            become(folder, command, environment, streams)
            signal.alarm(seconds)
            return list(command)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    sys.exit(0)


def become(folder: str, command: list[str], environment: dict[str, str], streams: list[str]) -> None:
    """Give this fork the directory, arguments, environment and streams of a new process."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    for number, file in enumerate([os.open(os.devnull, os.O_RDONLY), *(os.open(path, flags) for path in streams)]):
        os.dup2(file, number)
        os.close(file)
    sys.argv[:] = command
    paths = environment.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:1] = [str(Path(command[0]).parent), *filter(None, paths)]


def run(script: str) -> NoReturn:
    """Run a script and what it has registered for its end, and exit without freeing memory object by object."""
    code: object = 0
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    if not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main() -> None:
    """Import the modules named on the command line, serve, and in a fork run the script."""
    tests = str(Path(__file__).parents[1])
    sys.path[0] = str(Path(__file__).parents[2])
    sys.path.append(tests)
    for name in sys.argv[1:]:
        importlib.import_module(name)
    sys.path.remove(tests)
    gc.freeze()  # so that collections in a fork do not copy what it shares
    run(serve()[0])


if __name__ == "__main__":
    main()
