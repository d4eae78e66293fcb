"""The recipe's sections `classifiers`, `toxicity` and `pii`: what happens to texts after the filters.

docs/quality.md explains them.
"""

from __future__ import annotations

from collections.abc import Callable

from pydantic import Field, model_validator

from .section import Section


class Classifier(Section):
    """A fastText model whose score becomes the column `score_NAME`; documents below the threshold are dropped."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="of the score's column, and of the reason")
    model: str = Field(min_length=1, description="file of a model by `data train-classifier`, or any fastText model")
    label: str | None = Field(
        default=None, description="whose probability is the score, without __label__; null: as in the model's report"
    )
    threshold: float | None = Field(default=None, ge=0, le=1, description="a lower score drops the document")
    keep_fraction: float | None = Field(
        default=None, gt=0, lt=1, description="instead of a threshold: one of the fractions in the model's report"
    )

    @model_validator(mode="after")
    def _one_rule(self) -> Classifier:
        if self.threshold is not None and self.keep_fraction is not None:
            raise ValueError(f"classifier {self.name!r} has threshold and keep_fraction; give one of the two")
        return self

    def rooted(self, absolute: Callable[[str], str]) -> Classifier:
        """The same with the model's path made absolute."""
        return self.model_copy(update={"model": absolute(self.model)})


class Toxicity(Section):
    """Documents with too many words of a list are dropped."""

    words: str | None = Field(
        default=None, description="a file with an entry a line; null: LDNOOBW's list for the document's language"
    )
    max_count: int | None = Field(default=None, ge=0, description="more matches drop the document; null: no limit")
    max_share: float | None = Field(
        default=0.01, ge=0, le=1, description="a larger share of the words drops it; null: no limit"
    )

    @model_validator(mode="after")
    def _some_limit(self) -> Toxicity:
        if self.max_count is None and self.max_share is None:
            raise ValueError("toxicity has neither max_count nor max_share; give a limit, or set toxicity: null")
        return self

    def rooted(self, absolute: Callable[[str], str]) -> Toxicity:
        """The same with the list's path made absolute."""
        return self.model_copy(update={"words": self.words and absolute(self.words)})


class Pii(Section):
    """What stands in place of personal data and secrets. A null leaves a kind as it is."""

    email: str | None = "[EMAIL]"
    ip: str | None = Field(default="[IP]", description="public addresses of IPv4 and IPv6")
    phone: str | None = "[PHONE]"
    card: str | None = Field(default="[CARD]", description="payment cards with right check digits")
    iban: str | None = Field(default="[IBAN]", description="bank accounts with right check digits")
    secret: str | None = Field(default="[SECRET]", description="keys and tokens of known formats, private key blocks")
