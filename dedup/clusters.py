"""Pass 3 of deduplication: pairs to clusters, and which member of a cluster stays.

Union-find on arrays: every node points to a smaller one or to itself; all edges hook roots at once, then all paths are
halved until every node points to its root (hooking and shortcutting: Shiloach and Vishkin 1982).
"""

from __future__ import annotations

import numpy as np


def components(left: np.ndarray, right: np.ndarray, count: int) -> np.ndarray:
    """Connected components of the nodes 0..count-1: int64 [count], each node's smallest fellow."""
    parent = np.arange(count, dtype=np.int64)
    while len(left):
        left, right = parent[left], parent[right]
        apart = left != right
        left, right = left[apart], right[apart]
        np.minimum.at(parent, np.maximum(left, right), np.minimum(left, right))
        while not np.array_equal(shorter := parent[parent], parent):
            parent = shorter
    return parent


def survivors(labels: np.ndarray, chars: np.ndarray) -> np.ndarray:
    """int64: for each node the one of its component that stays: the longest text, of equals the smallest node.

    Nodes are numbered in the order of their doc_ids, so the smallest node has the smallest doc_id: the choice depends
    on neither files nor their order.
    """
    order = np.lexsort((np.arange(len(labels)), -chars, labels))
    first = np.ones(len(labels), dtype=bool)
    first[1:] = labels[order][1:] != labels[order][:-1]
    chosen = np.empty(len(labels), dtype=np.int64)
    chosen[order] = order[np.maximum.accumulate(np.where(first, np.arange(len(labels)), 0))]
    return chosen
