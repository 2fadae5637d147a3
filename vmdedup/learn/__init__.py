"""Kinds of guests, learnt from memory dumps of them: models, and what they foretell."""
