"""The laws as formulas: optima are optima, published numbers come out, files come back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from crawl2chat.core.errors import InputError
from crawl2chat.tune.laws import BESIROGLU, CHINCHILLA, PUBLISHED, LossLaw, PowerLaw, read_laws, write_laws


@pytest.mark.parametrize("law", [CHINCHILLA, BESIROGLU])
@pytest.mark.parametrize("flops", [1e15, 5.76e23])
def test_the_optimum_is_one(law: LossLaw, flops: float) -> None:
    parameters, tokens = law.optimum(flops)
    assert 6 * parameters * tokens == pytest.approx(flops)
    others = parameters * np.array([0.9, 0.99, 1.01, 1.1])
    assert (law.loss(others, flops / 6 / others) > law.loss(parameters, tokens)).all()
    assert law.tokens_for(parameters) == pytest.approx(tokens)


def test_published_figures() -> None:
    """Hoffmann et al. 2022, equation 10 and its exponents; Besiroglu et al. 2024: a = 0.5126, some 20 tokens each."""
    assert CHINCHILLA.exponent == pytest.approx(0.4516, abs=1e-4)
    assert float(CHINCHILLA.loss(70e9, 1.4e12)) == pytest.approx(1.69 + 406.4 / 70e9**0.34 + 410.7 / 1.4e12**0.28)
    assert BESIROGLU.exponent == pytest.approx(0.5126, abs=1e-4)
    parameters, tokens = BESIROGLU.optimum(5.76e23)
    assert 15 < tokens / parameters < 25
    assert parameters == pytest.approx(70e9, rel=0.05)


def test_the_step_law_at_one_billion() -> None:
    assert PUBLISHED.learning_rate.value(block_parameters=1e9, tokens=1e11) == pytest.approx(1.63e-3, rel=0.01)
    assert PUBLISHED.batch_tokens.value(block_parameters=1e9, tokens=1e11) == pytest.approx(1.108e6, rel=0.01)


def test_beyond_names_what_is_outside() -> None:
    law = PowerLaw(factor=1, exponents={"tokens": 1}, ranges={"tokens": (1e3, 1e6)}, source="x")
    assert law.beyond(tokens=1e3, parameters=5) == []
    assert law.beyond(tokens=2e6) == ["tokens 2e+06 outside 1e+03 … 1e+06"]


def test_files_come_back(tmp_path: Path) -> None:
    path = tmp_path / "laws.json"
    write_laws(path, {"loss": CHINCHILLA, "learning_rate": PUBLISHED.learning_rate}, marks=["E is 0"])
    assert json.loads(path.read_text())["marks"] == ["E is 0"]
    laws = read_laws(path)
    assert laws.loss == CHINCHILLA
    assert laws.batch_tokens == PUBLISHED.batch_tokens, "what a file leaves out is the published law"


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ('{"loss": {"E": 1, "A": 2, "B": 3, "alpha": -1, "beta": 1, "source": "x"}}', "loss.alpha.*-1"),
        ('{"loss": {"E": 1}}', "loss.source"),
        ('{"learning_rate": {"factor": 1, "exponents": {"size": 1}, "source": "x"}}', "exponents.size"),
        ('{"los": {}}', "none of loss"),
        ("[]", "none of loss"),
        ("E = 1", "no laws"),
    ],
)
def test_files_that_are_none(tmp_path: Path, text: str, match: str) -> None:
    path = tmp_path / "laws.json"
    path.write_text(text)
    with pytest.raises(InputError, match=match):
        read_laws(path)
    with pytest.raises(InputError, match="No such file"):
        read_laws(tmp_path / "absent.json")
