"""Masking of personal data: documents a second on one core, ours (six kinds) beside datatrove's (e-mail and IP).

    python benchmarks/pii.py [--documents FOLDER] [--json] [--quick]

The documents are cut to 3,600 characters at most. Loading libraries is not timed.
"""

from __future__ import annotations

import os

from _bench import arguments, best_seconds, finish, print_table, read_documents

for variable in ("OMP_NUM_THREADS", "ARROW_NUM_THREADS"):  # one core, for both
    os.environ.setdefault(variable, "1")


def main() -> None:
    options = arguments(__doc__).parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    from crawl2chat.core.settings_quality import Pii
    from crawl2chat.pipelines.pii import mask

    texts = [text[:3600] for text in read_documents(options.documents, 300 if options.quick else None)]
    batches = [texts[at : at + 128] for at in range(0, len(texts), 128)]
    share = sum(map(len, texts)) / 3600  # documents of 3,600 characters
    repeats = 3 if options.quick else 10

    def ours(settings: Pii) -> float:
        mask(batches[0], settings)
        return share / best_seconds(lambda: [mask(batch, settings) for batch in batches], repeats)

    same = ours(Pii(phone=None, card=None, iban=None, secret=None))
    rates: dict[str, float | None] = {"datatrove": None, "crawl2chat, e-mail and IP": same}
    try:
        from datatrove.pipeline.formatters import PIIFormatter

        formatter = PIIFormatter()
        formatter.format(texts[0])
        rates["datatrove"] = share / best_seconds(lambda: [formatter.format(text) for text in texts], repeats)
    except ImportError as error:
        print(f"datatrove is absent: {error}")
    rates["crawl2chat, all kinds"] = ours(Pii())
    peer = rates["datatrove"]
    print(
        f"{len(texts)} documents, {share * 3600 / len(texts):,.0f} characters on average; a document: 3,600 characters"
    )
    table = [[name, rate, rate / peer if rate and peer else None] for name, rate in rates.items()]
    print_table(["", "documents/s", "ratio"], table)
    speedup = same / peer if peer else None
    finish({"pii_docs_per_s": rates["crawl2chat, all kinds"], "pii_speedup_same_kinds": speedup}, options.json)


if __name__ == "__main__":
    main()
