"""Kinds of nodes: what an element's name says about the text in it.

Inline elements (b, span, em …) leave no trace but links. The text of elements that never hold main text (script, nav …)
is left out. All others are block elements.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from selectolax.lexbor import LexborNode

from .hints import TAG_BITS
from .walk import BREAK, INLINE, LEFT_OUT, LINK, TEXT, Ints

STRIPPED = ["script", "style", "svg", "nav", "footer", "aside"]  # common and large: removed in the parser's own C
_LEFT_OUT = frozenset(
    [
        *(*STRIPPED, "noscript", "template", "iframe", "object", "embed", "applet", "audio", "video", "canvas", "map"),
        *("select", "datalist", "textarea", "button", "progress", "menu", "head", "noframes", "noembed"),
        *("rp", "rt"),  # readings beside ideographs: doubled words
    ]
)
_INLINE = frozenset(
    [
        *("abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font", "i", "img"),
        *("input", "ins", "kbd", "label", "mark", "math", "meter", "nobr", "output", "q", "ruby", "s"),
        *("samp", "small", "span", "strike", "strong", "sub", "sup", "time", "tt", "u", "var", "wbr", "-comment"),
    ]
)
_KNOWN_TAGS = 512  # beyond: addresses of names that lexbor does not know, which mean nothing to the next page
_UNKNOWN = -6
_kinds = np.full(_KNOWN_TAGS + 1, _UNKNOWN)  # of lexbor's tag numbers, which stand for names; the last is never learned


def kinds_of(nodes: Sequence[LexborNode], tags: Ints) -> Ints:
    """The kinds of nodes that have these tag numbers: bits of the tag for block elements, else one of walk.py's."""
    kinds = _kinds.take(tags, mode="clip")
    for place in np.flatnonzero(kinds == _UNKNOWN).tolist():
        kinds[place] = _learn(nodes[place])
    return kinds


def _learn(node: LexborNode) -> int:
    """The kind of a node whose tag number was not seen yet."""
    name = node.tag or ""
    if node.is_text_node:
        kind = TEXT
    elif name == "br":
        kind = BREAK
    elif name == "a":
        kind = LINK
    elif name in _INLINE or ":" in name or not node.is_element_node:
        kind = INLINE
    else:
        kind = LEFT_OUT if name in _LEFT_OUT else TAG_BITS.get(name, 0)
    if node.tag_id < _KNOWN_TAGS:
        _kinds[node.tag_id] = kind
    return kind
