"""The colours of the reports, on light and on dark ground: CSS variables of the same names on the pages."""

from __future__ import annotations

# name: on light, on dark. No two are equal on light, where the drawing is translated from.
COLOURS = {
    "surface": ("#fcfcfb", "#1a1a19"),
    "ink": ("#1d1c1a", "#f0efec"),
    "soft": ("#5f5e58", "#b5b3aa"),
    "line": ("#dddcd6", "#3a3935"),
    "transfer": ("#2a78d6", "#5598e7"),
    "standard": ("#d95f26", "#f08a52"),
    "ladder": ("#157f57", "#35b384"),
    "law": ("#4a3aa7", "#9d90f0"),
    "proof": ("#c9247f", "#f26aa9"),
    "warn": ("#a65f00", "#f0b040"),
    "row1": ("#2f97ab", "#3f8795"),
    "row2": ("#2b83c6", "#4aa3d9"),
    "row3": ("#3f5fc0", "#7f9bf0"),
    "row4": ("#6041a8", "#ab8ff7"),
    "row5": ("#6a1b7c", "#da9cf2"),
    "row6": ("#3d0f45", "#f7cdf0"),
}
