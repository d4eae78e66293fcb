"""A model's own Jinja template, run in a sandbox: it came with a model from elsewhere, and is not to be trusted.

The environment is that of transformers' `apply_chat_template`: blocks trimmed, `break` and `continue`, `tojson` without
HTML escapes, `raise_exception`. `{% generation %} … {% endgeneration %}` puts the values of two variables around what
the model is to learn. `strftime_now` is there only when a date is given: rows must not depend on the day of the run.

Messages reach the template as plain dictionaries of strings. The sandbox keeps Python's insides and files away; it
bounds neither time nor memory.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, NoReturn

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ..core.errors import InputError

BEGIN, END = "generation_begin_mark", "generation_end_mark"
FAULTS = (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError)


class Generation(Extension):
    """The tag `generation`: its body, in a scope of its own, between the two marks."""

    tags = {"generation"}  # noqa: RUF012 (jinja2's own way)

    def parse(self, parser: Parser) -> list[nodes.Node]:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        marked = [nodes.Output([nodes.Name(BEGIN, "load")]), *body, nodes.Output([nodes.Name(END, "load")])]
        return [nodes.Scope(marked).set_lineno(line)]


class SandboxedTemplate:
    """A compiled template. `marks_answers`: it has a `generation` block."""

    def __init__(self, source: str, name: str = "chat_template", now: datetime | None = None) -> None:
        """Raises InputError when the source is no Jinja template."""
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _raise
        if now is not None:
            environment.globals["strftime_now"] = now.strftime
        self.source, self._name = source, name
        try:
            tree = environment.parse(source)
            self._template = environment.from_string(tree)
        except FAULTS as error:
            raise InputError(f"{name} is not a Jinja template: {error}", "correct it, or take another one") from error
        self.marks_answers = any(node.name == BEGIN for node in tree.find_all(nodes.Name))

    def render(self, **variables: Any) -> str:
        """The text. Raises InputError with what the template, or the sandbox, says."""
        try:
            return self._template.render(**variables)
        except FAULTS as error:
            raise InputError(
                f"{self._name} does not take this conversation: {error}", "leave it out, or take another template"
            ) from error


def _raise(message: str) -> NoReturn:
    raise TemplateError(message)


def _to_json(
    value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
