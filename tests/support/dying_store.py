"""An object store in memory that ends whoever asks it, at a request that a test chooses."""

from __future__ import annotations

from obstore.store import MemoryStore


class KilledError(BaseException):
    """What a process is told that is killed: nothing in it goes on."""


class DyingStore:
    """A store that answers some requests and then none: whoever asks is killed, before or after the request is done."""

    def __init__(self, store: MemoryStore, n_requests: float, *, done: bool = False) -> None:
        self._store, self._n_requests, self._done, self.n_asked = store, n_requests, done, 0

    def __getattr__(self, name: str):
        def ask(*values, **named):
            self.n_asked += 1
            is_last = self.n_asked >= self._n_requests
            if is_last and not (self._done and self.n_asked == self._n_requests):
                raise KilledError
            answer = getattr(self._store, name)(*values, **named)
            if is_last:
                raise KilledError
            return answer

        return ask
