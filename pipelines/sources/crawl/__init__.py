"""A polite crawler as Ray actors around one frontier."""
