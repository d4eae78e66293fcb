"""Before and behind every request: who may ask, by which name, and what browsers may do with what they get.

The page and `/health` are open; everything under `/v1` wants the API key where there is one. A server on loopback
answers to the names of loopback only: a page of another site whose name has been pointed at 127.0.0.1 is refused.
"""

from __future__ import annotations

import hashlib
import hmac

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .errors import ApiError
from .settings import ServerSettings

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
SECURITY = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
    """Middleware around the application."""

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        self._app, self._settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            self._check(scope["path"], Headers(scope=scope))
        except ApiError as error:
            await error.response()(scope, receive, send_secured)
            return
        await self._app(scope, receive, send_secured)

    def _check(self, path: str, headers: Headers) -> None:
        hosts = self._settings.hosts
        if hosts is not None and _name(headers.get("host", "")) not in hosts:
            raise ApiError(
                f"this server is not {headers.get('host', 'nameless')!r}: call it by {', '.join(hosts)}",
                code="host", status=403,
            )  # fmt: skip
        digest = self._settings.key_digest
        if digest is None or not path.startswith("/v1"):
            return
        kind, _, key = headers.get("authorization", "").partition(" ")
        given = hashlib.sha256(key.strip().encode("latin-1", "replace")).hexdigest()
        if not (hmac.compare_digest(given, digest) and kind.lower() == "bearer"):
            what = "the API key is wrong" if key else "no API key: send the header Authorization: Bearer KEY"
            raise ApiError(what, code="invalid_api_key", status=401, headers={"WWW-Authenticate": "Bearer"})


def _name(host: str) -> str:
    """The name of a Host header, without the port."""
    name, _, port = host.rpartition(":")
    return (name if name and port.isdigit() else host).lower()
