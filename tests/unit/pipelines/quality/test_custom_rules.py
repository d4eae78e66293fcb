"""The recipe's own rules: reasons and values, and what is refused when the recipe is read."""

from __future__ import annotations

from typing import Any

import pytest
from crawl2chat.core.settings_filters import C4_MEASURES, MEASURES, Filters
from crawl2chat.pipelines.filters import QualityFilters
from pydantic import ValidationError

OFF: dict[str, Any] = {"gopher_repetition": None, "gopher_quality": None, "c4": None, "fineweb": None}
TEXT = "The 12 OLD men of 1999 came home. They sat down, and said: call 555-1234 now!"


def judged(rule: dict[str, Any], text: str = TEXT, **settings: Any) -> Any:
    filters = Filters.model_validate({**OFF, **settings, "rules": [{"name": "mine", **rule}]})
    return QualityFilters(filters).judge([text], ["en"])[0].objection


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        ({"measure": "digit_share", "max": 0.1}, 13 / len(TEXT)),
        ({"measure": "upper_share", "max": 0.01}, 5 / len(TEXT)),
        ({"measure": "word_count", "min": 50}, 17),
        ({"measure": "characters", "min": 1000}, len(TEXT)),
        ({"measure": "stop_words", "min": 4}, 2),
        ({"pattern": r"\b\d{3}-\d{4}\b", "max": 0}, 1),
        ({"pattern": "(?i)THE", "min": 3}, 2),
    ],
)
@pytest.mark.parametrize("engine", ["native", "datatrove"])
def test_a_broken_rule_has_its_name_and_value(rule: dict[str, Any], value: float, engine: str) -> None:
    assert judged(rule, engine=engine) == ("rule_mine", pytest.approx(value))
    assert judged({"measure": "characters", "min": 1, "max": 1000}, engine=engine) is None


def test_own_rules_are_asked_last() -> None:
    rule = {"measure": "characters", "min": 1000}
    assert judged(rule, gopher_quality={}).reason == "gopher_short_doc"
    assert judged(rule, gopher_quality={}, engine="datatrove").reason == "gopher_short_doc"


def test_every_measure_is_measured_and_stored() -> None:
    settings = Filters.model_validate({"rules": [{"name": "phones", "pattern": "[0-9]+", "min": 0}]})
    filters = QualityFilters(settings)
    assert {*MEASURES, *C4_MEASURES, "matches_phones", "top_2_gram", "duplicated_10_n_grams"} <= set(filters.columns)
    (verdict,) = filters.judge([TEXT], ["en"])
    assert verdict.scores is not None
    found = dict(zip(filters.columns, verdict.scores, strict=True))
    assert found["matches_phones"] == 4
    assert found["characters"] == len(TEXT)
    assert all(value == value for value in found.values())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rules": [{"name": "a", "measure": "no_such", "min": 1}]}, "'no_such', which is not measured; name one of"),
        ({"c4": None, "rules": [{"name": "a", "measure": "c4_sentences", "min": 1}]}, "c4 is switched off"),
        ({"rules": [{"name": "a", "measure": "characters"}]}, "neither min nor max"),
        ({"rules": [{"name": "a", "min": 1}]}, "needs a measure or a pattern"),
        ({"rules": [{"name": "a", "pattern": "(", "min": 1}]}, "not a regular expression"),
        ({"rules": [{"name": "a", "measure": "characters", "min": 1}] * 2}, "used twice"),
        ({"rules": [{"name": "A b", "measure": "characters", "min": 1}]}, "name"),
        ({"gopher_repetition": {"top_n_grams": [[0, 0.1]]}}, "greater than or equal to 1"),
        ({"engine": "other"}, "native"),
    ],
)
def test_what_does_not_fit_is_refused_when_the_recipe_is_read(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Filters.model_validate(settings)
