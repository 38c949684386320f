"""The page's server: standard library, loopback only, and nothing that a guest can make it do.

What comes in is a short text, and nothing of it is ever run: answers are JSON, and the page writes
them as text. Pages of other hosts can neither read the answers nor ask: a request must name this
host, come from this page or from none, and send JSON.
"""

import json
import secrets
import sys
import time
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from threading import BoundedSemaphore
from typing import Any

from hiermtl.demo.levels import Levels, TooLongError
from hiermtl.errors import HiermtlError, RunError

HOST = "127.0.0.1"
PORT = 8000
WAITING = 8
"""Requests that may wait for the model at once; more are told to come again."""

SECONDS = 10
"""How long a request may take to arrive."""

DRAINED = 16_000_000
"""Bytes of a text that is too long that are taken in before it is refused."""

_HTTP = 80
_BYTES_PER_CHARACTER = 12
"""The most that JSON takes for one: two escapes of a pair of surrogates."""

_JSON = "application/json"
_MARK = "NONCE"


class DemoServer(ThreadingHTTPServer):
    """Serves the page of one model on 127.0.0.1 until it is stopped."""

    daemon_threads = True

    def __init__(self, levels: Levels, port: int = PORT) -> None:
        """Takes the model, and a port; 0 is any that is free.

        Raises:
            RunError: The port is taken, or no port.
        """
        self.levels = levels
        self.page = resources.files("hiermtl.demo").joinpath("page.html").read_text("utf-8")
        self.places = BoundedSemaphore(WAITING)
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            reason = error.strerror if isinstance(error, OSError) else "there is no such port"
            raise RunError(
                f"port {port} of {HOST} cannot be used ({reason}); choose another with --port, "
                "0 for any that is free"
            ) from None

    @property
    def address(self) -> str:
        """Where a browser finds the page."""
        return f"http://{HOST}:{self.server_port}/"

    @property
    def hosts(self) -> tuple[str, ...]:
        """What the page may be called; another name is one of a page that pretends to be it."""
        names = HOST, "localhost"
        bare = names if self.server_port == _HTTP else ()  # browsers leave that port out
        return *(f"{name}:{self.server_port}" for name in names), *bare

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing about guests that hang up."""


class _Refusal(Exception):
    """A request that is not answered, and why."""

    def __init__(self, status: HTTPStatus, message: str, **headers: str) -> None:
        self.status, self.message, self.headers = status, message, headers


class _Handler(BaseHTTPRequestHandler):
    server: DemoServer  # pyright: ignore[reportIncompatibleVariableOverride]
    server_version, sys_version = "hiermtl", ""
    timeout = SECONDS
    _taken = False

    def do_GET(self) -> None:
        self._answer("GET")

    def do_HEAD(self) -> None:
        self._answer("HEAD")

    def do_POST(self) -> None:
        self._answer("POST")

    def _answer(self, method: str) -> None:
        try:
            self._check_guest()
            path = self.path.partition("?")[0]
            allowed = {"/": ("GET", "HEAD"), "/model": ("GET", "HEAD"), "/annotate": ("POST",)}
            if path not in allowed:
                raise _Refusal(HTTPStatus.NOT_FOUND, "there is no such page; the demo is at /")
            if method not in allowed[path]:
                names = ", ".join(allowed[path])
                raise _Refusal(HTTPStatus.METHOD_NOT_ALLOWED, f"{path} takes {names}", Allow=names)
            match path:
                case "/":
                    self._page()
                case "/model":
                    self._json(HTTPStatus.OK, self.server.levels.about())
                case _:
                    self._json(HTTPStatus.OK, self._annotate())
        except _Refusal as refusal:
            self._drain()
            self._json(refusal.status, {"error": refusal.message}, **refusal.headers)
        except TooLongError as error:
            self._drain()
            self._json(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {"error": str(error)})
        except HiermtlError as error:
            self._json(HTTPStatus.UNPROCESSABLE_ENTITY, {"error": str(error)})
        except OSError:  # the guest has gone, or is too slow
            self.close_connection = True
        except Exception as error:
            kind = type(error).__name__
            sys.stderr.write(f"a text of the demo failed: {kind}: {error}\n")
            self._json(
                HTTPStatus.INTERNAL_SERVER_ERROR,
                {"error": f"the model failed on this text ({kind}); try another"},
            )

    def _check_guest(self) -> None:
        hosts = self.server.hosts
        if self.headers.get("Host") not in hosts:
            raise _Refusal(
                HTTPStatus.MISDIRECTED_REQUEST, f"this is the demo of {hosts[0]}; open it there"
            )
        origin = self.headers.get("Origin")
        if origin is not None and origin not in [f"http://{host}" for host in hosts]:
            raise _Refusal(HTTPStatus.FORBIDDEN, "pages of other hosts may not ask this demo")

    def _annotate(self) -> dict[str, Any]:
        levels = self.server.levels
        given = self._body(_BYTES_PER_CHARACTER * levels.limit * (1 + levels.pairs) + 1024)
        text, second = given.get("text"), given.get("second", "")
        if not isinstance(text, str) or not isinstance(second, str):
            raise _Refusal(
                HTTPStatus.BAD_REQUEST, 'send {"text": "..."}, or for a pair "second" as well'
            )
        if not self.server.places.acquire(blocking=False):
            raise _Refusal(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"{WAITING} texts are waiting already; try again in a moment",
            )
        try:
            return levels.annotate(text, second)
        finally:
            self.server.places.release()

    def _body(self, most: int) -> Mapping[str, Any]:
        """What was sent; of more than may be nothing is read."""
        if self.headers.get_content_type() != _JSON:
            raise _Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send {_JSON}")
        size = self._size()
        if size is None:
            raise _Refusal(HTTPStatus.LENGTH_REQUIRED, "send a Content-Length")
        if size > most:
            raise self.server.levels.too_long(f"{size:,} bytes")
        self._taken = True
        try:
            found = json.loads(self.rfile.read(size))
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise _Refusal(HTTPStatus.BAD_REQUEST, 'this is no JSON object; send {"text": "..."}')
        return found

    def _size(self) -> int | None:
        """The bytes that are sent, if that is said before."""
        size = self.headers.get("Content-Length", "")
        known = size.isascii() and size.isdigit() and len(size) < 16
        return int(size) if known and "Transfer-Encoding" not in self.headers else None

    def _drain(self) -> None:
        """Takes in what a refused request sends, so that its sender gets to read the answer."""
        if self._taken:
            return
        left = min(self._size() or 0, DRAINED)
        until = time.monotonic() + SECONDS
        while left and time.monotonic() < until:
            part = self.rfile.read1(min(left, 65_536))
            if not part:
                return
            left -= len(part)

    def _page(self) -> None:
        nonce = secrets.token_urlsafe(16)
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; "
            "img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
            "frame-ancestors 'none'"
        )
        self._send(
            HTTPStatus.OK,
            self.server.page.replace(_MARK, nonce).encode("utf-8"),
            "text/html; charset=utf-8",
            {"Content-Security-Policy": policy},
        )

    def _json(self, status: HTTPStatus, data: Mapping[str, Any], **headers: str) -> None:
        body = json.dumps(data).encode("ascii")
        policy = {"Content-Security-Policy": "default-src 'none'"}
        self._send(status, body, _JSON, {**policy, **headers})

    def _send(self, status: int, body: bytes, kind: str, headers: Mapping[str, str]) -> None:
        # What a refused request still sends is not read, and so no further request can be.
        self.close_connection = True
        try:
            self.send_response(status)
            fixed = {
                "Content-Type": kind,
                "Content-Length": str(len(body)),
                "Cache-Control": "no-store",
                "X-Content-Type-Options": "nosniff",
                "Referrer-Policy": "no-referrer",
                "Cross-Origin-Resource-Policy": "same-origin",
                "Connection": "close",
            }
            for name, value in {**fixed, **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)
        except OSError:
            pass

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answers what is no request, and methods that nothing here has."""
        del explain
        if code == HTTPStatus.NOT_IMPLEMENTED:
            code = HTTPStatus.METHOD_NOT_ALLOWED
        self._json(HTTPStatus(code), {"error": message or HTTPStatus(code).phrase})

    def log_message(self, format: str, *args: Any) -> None:
        """Keeps what people type to itself."""
