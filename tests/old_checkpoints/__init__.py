"""Checkpoints of every released format, and what they computed when they were made."""
