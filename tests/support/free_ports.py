"""Ports for servers that are to be told theirs, as they take none of their own choice."""

from __future__ import annotations

import random
import socket

# Linux gives other numbers to whoever asks for any port, so that nobody takes one of these before its server starts.
NUMBERS = range(10_000, 32_768)


def free_ports(n: int) -> list[int]:
    """Give so many ports of loopback on which nobody listens."""
    chance = random.SystemRandom()  # tests side by side, of one seed, choose other ones
    found: list[int] = []
    while len(found) < n:
        port = chance.choice(NUMBERS)
        if port not in found and _is_free(port):
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as one:
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
