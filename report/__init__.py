"""The page that shows a run: facts.py reads what its stages left, page.py draws it, keep.py keeps it current."""
