"""Losses that users write, each sound one with faulty twins, and traps: sound losses that naive checks fail."""
