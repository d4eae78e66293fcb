"""Tokens to text as they come: whole characters only, and nothing that may turn out to be a stop string."""

from __future__ import annotations

import codecs
from collections.abc import Sequence

from ..tokenize.bpe import Tokenizer
from .requests import Written


class StreamedText:
    """`add` gives what may be shown after each token, `rest` what was held back when the text ends otherwise.

    A token may end within a character: its bytes wait for the rest. Bytes that are no UTF-8 become U+FFFD. A tail that
    begins a stop string waits until it is clear whether the string goes on. Tokens come out with their first character.
    """

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str] = ()) -> None:
        self._tokenizer, self._stop = tokenizer, tuple(stop)
        self._longest = max((len(one) for one in stop), default=0)
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held = ""  # text not given yet
        self._given = 0  # characters
        self._tokens: list[tuple[int, Written]] = []  # not given yet, each with the place where its text begins
        self.stopped = False

    def add(self, written: Written) -> tuple[str, tuple[Written, ...]]:
        self._tokens.append((self._given + len(self._held), written))
        self._held += self._decoder.decode(self._tokenizer.decode_bytes([written.token]))
        if not self._stop:
            return self._give(len(self._held))
        found = [place for one in self._stop if (place := self._held.find(one)) >= 0]
        if found:
            self.stopped = True
            given = self._give(min(found))
            self._held, self._tokens = "", []
            return given
        return self._give(len(self._held) - self._waiting())

    def rest(self) -> tuple[str, tuple[Written, ...]]:
        """What was held back; nothing after a stop string."""
        if self.stopped:
            return "", ()
        self._held += self._decoder.decode(b"", final=True)
        text, written = self._give(len(self._held))
        written += tuple(one for _, one in self._tokens)  # tokens without text, at the end
        self._tokens = []
        return text, written

    def _waiting(self) -> int:
        """Length of the tail that begins a stop string."""
        for length in range(min(self._longest - 1, len(self._held)), 0, -1):
            if any(one.startswith(self._held[-length:]) for one in self._stop):
                return length
        return 0

    def _give(self, length: int) -> tuple[str, tuple[Written, ...]]:
        text, self._held = self._held[:length], self._held[length:]
        self._given += len(text)
        count = sum(place < self._given for place, _ in self._tokens)
        written = tuple(one for _, one in self._tokens[:count])
        del self._tokens[:count]
        return text, written
