"""What the message of a refused file says: faults, and what the keys mean that are wrong."""

from __future__ import annotations


def faults_of(message: str) -> list[str]:
    """The lines of a message that name a fault; those that say what a key means stand further to the right."""
    return [line for line in message.splitlines()[1:] if not line.startswith("    ")]
