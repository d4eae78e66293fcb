"""Errors as OpenAI's clients know them: {"error": {"message", "type", "param", "code"}} with a status.

    400 invalid_request_error   wrong JSON, a wrong, unknown or unsupported parameter, a prompt that is too long
    401 authentication_error    no key, or a wrong one
    403 permission_error        called by a host name that is not the server's
    404 not_found_error         no such model or path
    408 invalid_request_error   the body comes too slowly
    413 invalid_request_error   the body is too large
    415 invalid_request_error   the body is no JSON by its Content-Type
    429 rate_limit_error        the queue is full; Retry-After says when to come again
    500 server_error            the model failed; 503 when it has stopped

Whatever else goes wrong is a 500 that names the exception's class and nothing of the server's insides.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


class ApiError(Exception):
    def __init__(
        self,
        message: str,
        param: str | None = None,
        code: str | None = None,
        status: int = 400,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message, self.param, self.code = message, param, code
        self.status, self.headers = status, headers

    def body(self) -> dict[str, Any]:
        kind = TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> Response:
        return json_response(self.body(), self.status, self.headers)


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(to_json(value), status, headers, media_type="application/json")


def to_json(value: Any) -> bytes:
    """Compact UTF-8. A lone surrogate, which a client may send in an escape, becomes a question mark."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


async def answer_error(request: Request, error: Exception) -> Response:
    """For Starlette: an ApiError as itself, anything else as a server's error without its insides."""
    if isinstance(error, ApiError):
        return error.response()
    return ApiError(f"the server failed: {type(error).__name__}", code="internal_error", status=500).response()
