"""The body of a request: read within its limit, JSON and nothing else, then checked against its model.

Every fault becomes an ApiError that names the parameter: wrong JSON, a field that does not exist, one that exists in
OpenAI's API and is not supported here, a wrong type, a value out of range.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from .errors import ApiError

Body = TypeVar("Body", bound=BaseModel)


async def read_body(request: Request, kind: type[Body], limit: int, seconds: float) -> Body:
    """The body as `kind`: at most `limit` bytes, which are there within so many seconds. Raises ApiError."""
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != "application/json":  # a page of another site may send anything else without being asked first
        raise ApiError(
            f"the Content-Type is {media or 'not given'}, it must be application/json", code="media_type", status=415
        )
    try:
        async with asyncio.timeout(seconds):
            content = await _read(request, limit)
    except TimeoutError as error:
        raise ApiError(
            f"the body was not there within {seconds:g} s", code="timeout", status=408, headers={"Connection": "close"}
        ) from error
    raw = _parse(content)
    if not isinstance(raw, dict):
        raise ApiError(f"the body is of the type {_json_type(raw)}, it must be an object", code="invalid_json")
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        _refuse(error)


async def _read(request: Request, limit: int) -> bytes:
    declared = request.headers.get("content-length", "0")
    parts, size = [], int(declared) if declared.isdigit() else 0
    if size <= limit:
        size = 0
        try:
            async for part in request.stream():
                size += len(part)
                if size > limit:
                    break
                parts.append(part)
        except ClientDisconnect as error:
            raise ApiError("the client has gone", status=400) from error  # nobody reads it
    if size > limit:
        raise ApiError(
            f"the body is larger than {limit} bytes, the most that this server reads", code="too_large", status=413,
            headers={"Connection": "close"},
        )  # fmt: skip
    return b"".join(parts)


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ApiError(f"the body is not JSON: {reason}", code="invalid_json") from error


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON's")


def _refuse(error: ValidationError) -> NoReturn:
    """The first fault as an ApiError."""
    fault = error.errors()[0]
    param = ".".join(str(one) for one in fault["loc"] if not _is_branch(one)) or None
    if fault["type"] == "extra_forbidden":
        raise ApiError(f"unknown parameter: {param}", param, "unknown_parameter")
    if fault["type"] == "missing":
        raise ApiError(f"missing required parameter: {param}", param, "missing_required_parameter")
    cause = fault.get("ctx", {}).get("error")
    if isinstance(cause, Unsupported):
        raise ApiError(str(cause), cause.param, "unsupported_parameter")
    message = str(cause) if cause is not None else fault["msg"][:1].lower() + fault["msg"][1:]
    raise ApiError(f"invalid value of {param or 'the body'}: {message}", param, "invalid_value")


def _is_branch(one: int | str) -> bool:
    """Whether a part of a fault's place names an alternative of a union: `str`, `list[str]`, …, and no parameter."""
    return isinstance(one, str) and (one in ("str", "int", "float", "bool") or "[" in one or one[:1].isupper())


class Unsupported(ValueError):
    """A parameter of OpenAI's that this server does not have, with a value that would matter."""

    def __init__(self, param: str, message: str) -> None:
        super().__init__(message)
        self.param = param


def _json_type(value: Any) -> str:
    names = {list: "array", str: "string", bool: "boolean", int: "number", float: "number", type(None): "null"}
    return names.get(type(value), type(value).__name__)
