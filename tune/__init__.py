"""The scaling table, and the search over its rows on Ray Tune."""
