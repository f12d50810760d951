"""Serves a page of the run beside Dask's own, on the dashboard of a scheduler in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import resources
from typing import Any

import tornado.web

from fly64dask.base import GLOSSARY

PATH = "/fly64"
FILES = {"page.css": "text/css", "page.js": "text/javascript"}
# Words of the glossary that the page uses.
WORDS = (
    *("cell", "dose", "view", "split", "repeat", "recipe", "setup", "epoch", "noise-free", "phase error"),
    *("empty object", "floor", "half set", "resolution", "guard", "underdetermined", "remedy"),
)
# Nothing from other hosts and nothing inline: markup in a name or message is harmless, and no network is needed.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def add_page(application: tornado.web.Application, state: Callable[[int], dict[str, Any]]) -> None:
    """Serve a run's page at `/fly64` of a scheduler in this process, instead of that of an earlier run.

    `state` returns JSON-like values of one page of the matrix, given its number from 0. It is called in the scheduler's
    event loop, so it must be quick.
    """
    is_there = PATH in application.settings
    # A scheduler may serve several runs, one after the other; the page shows the last one.
    application.settings[PATH] = state
    if is_there:
        return
    rules: list[tuple[str, type[tornado.web.RequestHandler], dict[str, Any]]] = [
        (PATH, _FileHandler, {"name": "page.html", "content_type": "text/html"}),
        (f"{PATH}/state.json", _StateHandler, {}),
        (f"{PATH}/words.json", _WordsHandler, {}),
        # The address is relative, so that it works behind a proxy that adds a prefix.
        (f"{PATH}/", tornado.web.RedirectHandler, {"url": f"..{PATH}", "permanent": False}),
    ]
    rules += [(f"{PATH}/{name}", _FileHandler, {"name": name, "content_type": kind}) for name, kind in FILES.items()]
    application.add_handlers(".*$", list(rules))


class _Handler(tornado.web.RequestHandler):
    def set_default_headers(self) -> None:
        for name, value in HEADERS.items():
            self.set_header(name, value)


class _FileHandler(_Handler):
    def initialize(self, name: str, content_type: str) -> None:
        self._name, self._content_type = name, content_type

    def get(self) -> None:
        self.set_header("Content-Type", f"{self._content_type}; charset=utf-8")
        self.finish(resources.files("fly64dask.monitoring.dashboard").joinpath("web", self._name).read_bytes())


class _StateHandler(_Handler):
    def get(self) -> None:
        self.set_header("Content-Type", "application/json; charset=utf-8")
        number = self.get_query_argument("page", "0")
        page = int(number) if number.isdecimal() and len(number) < 9 else 0
        self.finish(json.dumps(self.settings[PATH](page), allow_nan=False, separators=(",", ":")))


class _WordsHandler(_Handler):
    def get(self) -> None:
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.finish(json.dumps({word: GLOSSARY[word].meaning.replace("`", "") for word in WORDS}))
