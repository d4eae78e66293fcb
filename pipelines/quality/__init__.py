"""Quality filters: what is measured on a batch of texts, and the rules over the measures.

    texts ─► lexicon (words) ─► repetition, surface, c4 ─► measures (one row a text) ─► rules ─► kept, or a reason

`native.py` joins these; `reference.py` is the same chain by datatrove's own classes, the oracle. `urls.py` judges
addresses before anything is extracted. `scores.py` and `sweep.py` store the measures and ask what other thresholds
would keep.
"""
