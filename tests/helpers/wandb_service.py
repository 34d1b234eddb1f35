"""W&B services on loopback: one that takes runs, and one that answers wrongly or not at all."""

from __future__ import annotations

import gzip
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@contextmanager
def wandb_service(answer: int | None) -> Iterator[str]:
    """The address of a service that answers everything by one status; None: it never answers."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # noqa: N802
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if answer is None:
                over.wait(120)
                return
            self.send_response(answer)
            self.end_headers()
            self.wfile.write(b"{}")

        do_GET = do_POST  # noqa: N815

        def log_message(self, *args: object) -> None: ...

    with serving(Handler) as address:
        try:
            yield address
        finally:
            over.set()


def closed_port() -> str:
    """An address of this machine where nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


@dataclass
class Taken:
    """What a service was sent.

    Args:
        address: of the service.
        runs: the variables of each request that creates or changes a run.
        lines: of the streamed files, such as ``wandb-history.jsonl``, by run and file.
        files: that were uploaded, by name.
    """

    address: str = ""
    runs: list[dict[str, Any]] = field(default_factory=list)
    lines: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)

    def history(self, run: str) -> list[dict[str, Any]]:
        """Return the rows of a run that were streamed."""
        return [json.loads(line) for line in self.lines.get((run, "wandb-history.jsonl"), [])]


@contextmanager
def taking_service() -> Iterator[Taken]:
    """A service that takes runs as W&B does: GraphQL, streamed files, uploads."""
    taken = Taken()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:  # noqa: N802
            content = json.loads(self.content() or b"{}")
            if self.path == "/graphql":
                self.answer({"data": graphql(taken, content["query"], content.get("variables") or {})})
                return
            for name, chunk in (content.get("files") or {}).items():
                lines = taken.lines.setdefault((self.path.split("/")[-2], name), [])
                lines[chunk["offset"] :] = chunk["content"]
            self.answer({"exitcode": None, "limits": {}})

        def do_PUT(self) -> None:  # noqa: N802
            taken.files[self.path.removeprefix("/upload/")] = self.content()
            self.answer({})

        def content(self) -> bytes:
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            return gzip.decompress(sent) if self.headers.get("Content-Encoding") == "gzip" else sent

        def answer(self, content: object) -> None:
            body = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None: ...

    with serving(Handler) as taken.address:
        yield taken


def graphql(taken: Taken, query: str, variables: dict[str, Any]) -> dict[str, Any]:
    """Answer a query of wandb's as far as it needs an answer."""
    if "upsertBucket" in query:
        taken.runs.append(variables)
        project = {"id": "p", "name": variables["project"], "entity": {"id": "e", "name": "tester"}}
        counts = dict.fromkeys(("historyLineCount", "eventsLineCount", "logLineCount"), 0)
        bucket = {"id": "r", "name": variables["name"], "displayName": variables.get("displayName"), "config": "{}"}
        return {"upsertBucket": {"bucket": {**bucket, **counts, "project": project}, "inserted": True}}
    if "createRunFiles" in query:
        files = [{"name": name, "uploadUrl": f"{taken.address}/upload/{name}"} for name in variables["files"]]
        return {"createRunFiles": {"runID": "r", "uploadHeaders": [], "files": files}}
    if "viewer" in query:
        return {"viewer": {"id": "u", "entity": "tester", "username": "tester", "flags": "{}", "teams": {"edges": []}}}
    return {"serverInfo": {"features": []}} if "serverInfo" in query else {}


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """The address on loopback where `handler` answers."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
