"""Servers of questions that misbehave on demand."""
