"""From sources to documents, and the stages of a run from end to end."""
