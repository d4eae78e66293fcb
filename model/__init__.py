"""The transformer, its configuration, its KV cache, and generation."""
