"""Tests of the engine run it as its own processes do: without what it never uses, and on one thread.

Two threads on busy cores take three times as long.
"""

from __future__ import annotations

import importlib.metadata

import pytest
import torch

import fly64dask.reconstruction.lsqml.lazy_imports  # noqa: F401  # before anything imports pty-chi
from fly64dask.base import installed_version


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def untested_version(monkeypatch):
    """Another version of pty-chi is installed. A process reads versions once."""
    installed = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "9.9" if name == "ptychi" else installed(name))
    installed_version.cache_clear()
    yield
    installed_version.cache_clear()
