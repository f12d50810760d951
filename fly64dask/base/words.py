"""Numbers with their nouns and verbs."""

from __future__ import annotations


def counted(number: int, words: str, plural: str = "") -> str:
    """Write a number and its noun, in the plural unless there is one: `1 job`, `2 jobs`; `1 job is`, `2 jobs are`.

    `plural` gives the words for several, where they are more than `words` with an s.
    """
    return f"{number} {words}" if number == 1 else f"{number} {plural or words + 's'}"


def counted_of(number: int, total: int, noun: str, singular: str, plural: str) -> str:
    """Write a number out of a total, with its noun and verb: `1 of 6 cells is`, `2 of 6 cells are`."""
    return f"{number} of {counted(total, noun)} {singular if number == 1 else plural}"
