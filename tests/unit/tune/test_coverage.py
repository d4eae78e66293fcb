"""How often intervals of 95 % hold the truth, over many draws of points; `-s` prints it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from crawl2chat.tune.laws import BESIROGLU
from crawl2chat.tune.loss_fit import NAMES, fit_loss

DRAWS, POINTS, NOISE = 40, 60, 2e-3


@pytest.mark.slow
def test_intervals_hold_what_they_say() -> None:
    """Sizes and tokens as Hoffmann's; the forecast is of one run with 12 times the compute of their largest."""
    held: Counter[str] = Counter()
    for seed in range(DRAWS):
        generator = np.random.default_rng(1000 + seed)
        n = np.exp(generator.uniform(np.log(7e7), np.log(1.6e10), POINTS))
        d = np.exp(generator.uniform(np.log(5e9), np.log(5e11), POINTS))
        fit = fit_loss(n, d, BESIROGLU.loss(n, d) * np.exp(generator.normal(0, NOISE, POINTS)), draws=200)
        for name, (low, high) in fit.intervals().items():
            held[name] += low <= getattr(BESIROGLU, name) <= high
        run = float(BESIROGLU.loss(7e10, 1.4e12)) * np.exp(generator.normal(0, NOISE))
        value, low, high = fit.forecast(7e10, 1.4e12)
        held["forecast"] += low <= run <= high
        assert (high - low) / value < 0.03, "an interval of everything holds everything"
    shares = {name: held[name] / DRAWS for name in (*NAMES, "exponent", "forecast")}
    print(shares)
    assert min(shares.values()) >= 0.85
