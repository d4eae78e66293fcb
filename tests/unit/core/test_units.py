"""A unit's record counts only for what it was made from, and only while its files are there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from crawl2chat.core.errors import ContractError, InputError, StageError
from crawl2chat.core.files import digest, write_text
from crawl2chat.core.manifest import file_entry
from crawl2chat.core.unit_map import pack_error, unpack_error
from crawl2chat.core.units import Unit, UnitReport, commit, finished, forget, total

UNIT = Unit(name="web-00000", spec={"file": "a.warc"})


@pytest.fixture
def report(tmp_path: Path) -> UnitReport:
    write_text(tmp_path / "out" / "web-00000.txt", "abc")
    entry = file_entry(tmp_path, tmp_path / "out" / "web-00000.txt", rows=3)
    return UnitReport(name=UNIT.name, files=[entry], counters={"documents": 3})


def test_a_record_is_found_again(tmp_path: Path, report: UnitReport) -> None:
    assert finished(tmp_path, [UNIT], {"ngram": 5}) == {}
    commit(tmp_path, UNIT, {"ngram": 5}, report)
    assert finished(tmp_path, [UNIT], {"ngram": 5}) == {"web-00000": report}
    assert total([report, report]) == {"documents": 6}


def test_other_settings_or_another_input_do_not_find_it(tmp_path: Path, report: UnitReport) -> None:
    commit(tmp_path, UNIT, {"ngram": 5}, report)
    assert finished(tmp_path, [UNIT], {"ngram": 6}) == {}
    assert finished(tmp_path, [Unit(name=UNIT.name, spec={"file": "b.warc"})], {"ngram": 5}) == {}


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_text("ab")])
def test_a_record_without_its_files_does_not_count(tmp_path: Path, report: UnitReport, damage) -> None:
    commit(tmp_path, UNIT, {}, report)
    damage(tmp_path / "out" / "web-00000.txt")
    assert finished(tmp_path, [UNIT], {}) == {}


def test_a_record_does_not_outlive_the_files_that_it_is_of(tmp_path: Path, report: UnitReport) -> None:
    """Made under one setting, written anew under another and killed before the record, then under the first again."""
    commit(tmp_path, UNIT, {"partitions": 3}, report)
    forget(tmp_path, [UNIT, Unit(name="web-00001")])
    write_text(tmp_path / "out" / "web-00000.txt", "xyz")  # of the same size
    assert finished(tmp_path, [UNIT], {"partitions": 3}) == {}


def test_what_a_record_is_made_from_is_the_digest_of_unit_and_settings(tmp_path: Path, report: UnitReport) -> None:
    """As in records of before, though settings that name all units are written as JSON once and not for each unit."""
    config = {"é": [1.5, None], "units": [f"web-{number:05d}" for number in range(1000)], "a": {"z": 1, "b": True}}
    commit(tmp_path, UNIT, config, report)
    record = json.loads((tmp_path / "units" / "web-00000.json").read_text(encoding="utf-8"))
    assert record["made_from"] == digest({"unit": UNIT.model_dump(mode="json"), "config": config})


def test_units_without_records_cost_no_look_at_the_file_system(
    tmp_path: Path, report: UnitReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of records is listed once; of a hundred thousand units to come none is asked for."""
    commit(tmp_path, UNIT, {}, report)
    asked: list[str] = []
    seen, unlinked = Path.stat, Path.unlink
    monkeypatch.setattr(Path, "stat", lambda self, **how: asked.append(self.name) or seen(self, **how))
    monkeypatch.setattr(Path, "unlink", lambda self, **how: asked.append(self.name) or unlinked(self, **how))
    units = [Unit(name=f"web-{number:05d}", spec=UNIT.spec) for number in range(5000)]
    assert list(finished(tmp_path, units, {})) == ["web-00000"]
    forget(tmp_path, units[1:])
    assert len(asked) < 10, asked[:20]
    forget(tmp_path, units)
    assert not (tmp_path / "units" / "web-00000.json").exists()


def test_errors_travel_with_class_message_and_fix() -> None:
    there = unpack_error(pack_error(InputError("x.warc is gone", "bring it back")))
    assert isinstance(there, InputError) and there.exit_code == 2
    assert (there.message, there.fix) == ("x.warc is gone", "bring it back")
    assert isinstance(unpack_error(pack_error(ContractError("a", "b"))), ContractError)
    other = unpack_error(pack_error(ZeroDivisionError("division by zero")))
    assert isinstance(other, StageError)
    assert "ZeroDivisionError: division by zero" in other.message
