"""Numbers for Prometheus, as far as they need no Ray. tests/integration/test_watching.py reads them from one."""

from __future__ import annotations

import subprocess
import sys

import pytest
from crawl2chat.core import meters
from crawl2chat.core.meters import METERS, accounted


def test_without_ray_nothing_is_counted_and_ray_is_not_imported() -> None:
    code = (
        "import sys; from crawl2chat.core import meters; from crawl2chat.core.progress import Progress\n"
        "progress = Progress('extract'); progress.count_unit({'documents_in': 3})\n"
        "progress.start(2); progress.advance(1)\n"
        "print('ray' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_number_that_has_no_meter_is_a_fault_also_without_ray() -> None:
    with pytest.raises(AssertionError, match="crawl2chat_nothing"):
        meters.count("crawl2chat_nothing", 1, run="r", stage="s")


@pytest.mark.parametrize(
    ("counters", "documents", "tokens", "dropped"),
    [
        (
            {"documents_in": 5, "documents": 3, "dropped": 2, "dropped.pii.too_many": 2, "bytes_text": 9},
            *(5, 0, {"pii.too_many": 2}),
        ),
        ({"documents": 7}, 0, 0, {}),  # a pass that only looks at documents
        ({"documents": 7, "tokens_train": 90, "tokens_validation": 10, "documents_train": 6}, 7, 100, {}),
        ({"documents.web": 4, "tokens.web": 8}, 0, 0, {}),  # fertility is measured on a sample
    ],
)
def test_what_a_units_counters_account_for(
    counters: dict[str, int], documents: int, tokens: int, dropped: dict[str, int]
) -> None:
    assert accounted(counters) == (documents, tokens, dropped)


def test_names_are_as_prometheus_wants_them() -> None:
    for name, meter in METERS.items():
        assert name.startswith("crawl2chat_") and name.endswith("_total") == (meter.kind == "counter")
        assert meter.labels[:2] == ("run", "stage")
