"""Talking with a trained model: continuations, chat, the samples at the end of a run."""
