"""The stage `dedup` that adds to an index: what all at once gives, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from crawl2chat.core.errors import ContractError, InputError
from crawl2chat.core.run import Run
from crawl2chat.core.schema import doc_id
from crawl2chat.core.settings_data import Dedup
from crawl2chat.dedup.tables import read_arrow

from .dedup_runs import Documents, Make, dedup, fates

pytestmark = pytest.mark.ray


@pytest.mark.slow
def test_adding_gives_what_all_at_once_gives(local_ray: None, extracted: Make, edited: Documents) -> None:
    """Three runs that add to each other against one, whose priority puts the sources in the order of the runs."""
    thirds = [edited[first::3] for first in range(3)]
    rule = {"priority": ["source", "-length", "doc_id"], "write_index": True}
    index, kept, dropped = None, set[str](), set[tuple[str, str, str]]()
    for number, third in enumerate(thirds):
        run = extracted(f"add-{number}", third, units=2, source=f"s{number}", dedup=rule | {"index": index})
        dedup(run)
        index = str(run.stage("dedup") / "index")
        dropped |= fates(run)
        kept |= {doc_id(f"s{number}", key) for key, _ in third} - {one for one, _, _ in fates(run)}
    names = [f"s{number}" for number in range(3)]
    sources = {doc_id(name, key): name for name, third in zip(names, thirds, strict=True) for key, _ in third}
    both = [(name, key, text) for name, third in zip(names, thirds, strict=True) for key, text in third]
    once = extracted("once", both, units=4, source=names, dedup={"priority": rule["priority"]})
    dedup(once)
    assert fates(once) == dropped and len(dropped) > 1000
    across = [sources[one] != sources[survivor] for one, _, survivor in dropped]
    assert sum(across) > 300 and len(kept) == len(edited) - len(dropped)
    documents = json.loads((Path(index or "") / "index.json").read_text())["documents"]
    assert documents == len(kept)

    wrong = extracted("wrong", thirds[0][:20], dedup={"index": index, "priority": rule["priority"], "ngram": 4})
    with pytest.raises(ContractError, match=r"was made with ngram=5, the recipe has ngram=4"):
        dedup(wrong)
    twice = extracted("again", thirds[0], source="s0", dedup=rule | {"index": index})
    with pytest.raises(ContractError, match="stands in the index"):
        dedup(twice)


@pytest.mark.slow
def test_adding_little_keeps_all_of_an_index(local_ray: None, extracted: Make, pages: Documents) -> None:
    """Many partitions, to most of which one document adds nothing; copies of all documents leave afterwards."""
    some, one = pages[:30], pages[30:31]
    rule: dict[str, Any] = {"write_index": True, "gates": {"max_removed": 1.0}}
    first = extracted("first", some, dedup=rule | {"partitions": 128})
    dedup(first)
    before = first.stage("dedup") / "index"
    second = extracted("second", one, units=1, source="one", dedup=rule | {"index": str(before)})
    dedup(second)
    after = second.stage("dedup") / "index"
    files = [sorted(folder.glob("*/part-*.arrow")) for folder in (before, after)]
    assert [len(some) for some in files] == [256, 256]
    keys = [{(row["key"], row["doc"]) for path in some for row in read_arrow(path).to_pylist()} for some in files]
    assert len(keys[0]) > 300 and keys[0] < keys[1]
    kept = len(some) - len(fates(first))
    copies = extracted("copies", some, source="later", dedup=rule | {"index": str(after)})
    assert dedup(copies).counters["documents"] == 0 and kept > 20

    itself = second.recipe.model_copy(update={"dedup": Dedup.model_validate(rule | {"index": str(after)})})
    with pytest.raises(InputError, match="which this run itself writes anew"):
        dedup(Run(itself))
    assert (after / "index.json").exists()
