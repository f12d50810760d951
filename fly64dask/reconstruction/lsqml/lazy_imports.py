"""pty-chi is imported without the libraries that no reconstruction uses, which spares each command two seconds.

Loading the engine and running its first cell took 5.8 to 6.9 s of CPU time and 0.94 GB with all of them, 3.0 to 4.0 s
and 0.68 GB without (four runs each on 2 vCPU; pty-chi 2.2.0, torch 2.15): 2.3 to 2.9 s and 0.25 GB less. Only
versions that were tested are imported in this way, and only if a self-check passes; all others are imported as usual.

Processes that run nothing but engines import this module before the engine (`cells.preload`); no other process does.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType

from fly64dask.base import Failure, result_or_failure

# By their first two numbers. torch 2.11 was tested on a GPU (docs/reference/gpu.md), 2.15 on the CPU.
TESTED_VERSIONS = {"ptychi": {"2.2"}, "torch": {"2.11", "2.15"}}
ENGINE_MODULE = "ptychi.api.task"
# What pty-chi imports for its plots, its clustered batches and a blurred starting object.
UNUSED = ("matplotlib.pyplot", "sklearn.cluster", "torchvision.transforms")
# Names that pty-chi takes out of them at once: from torchvision.transforms import GaussianBlur.
TAKEN = {"torchvision.transforms": ("GaussianBlur",)}
COMPILER = "torch._dynamo"


def import_engine() -> None:
    """Import pty-chi, without what no reconstruction uses where that is tested and passes its self-check."""
    versions = {name: ".".join(importlib.metadata.version(name).split(".")[:2]) for name in TESTED_VERSIONS}
    if all(versions[name] in tested for name, tested in TESTED_VERSIONS.items()):
        failure = result_or_failure(_import_sparingly, what="import of pty-chi without unused libraries")
        if not isinstance(failure, Failure):
            return
        for name, module in list(sys.modules.items()):
            if name.partition(".")[0] == "ptychi" or isinstance(module, _Uncompiled):
                del sys.modules[name]
    importlib.import_module(ENGINE_MODULE)


def _import_sparingly() -> None:
    with put_off():
        importlib.import_module(ENGINE_MODULE)
    leave_out_compiler()
    _check_optimizer()


def _check_optimizer() -> None:
    """Take the step of an optimizer, the one thing that asks for the compiler in each epoch."""
    import torch

    parameter = torch.nn.Parameter(torch.ones(1, device="cpu"))
    parameter.grad = torch.ones(1, device="cpu")
    torch.optim.SGD([parameter], lr=0.25).step()
    if parameter.item() != 0.75:
        raise ImportError(f"self-check: a step of 0.25 from 1 gave {parameter.item():g}, needed 0.75")


class _Later(ModuleType):
    """A module that is imported when something of it is looked up."""

    def __getattr__(self, name: str) -> object:
        """Import the module and give what was asked for."""
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(importlib.import_module(self.__name__), name)


@contextmanager
def put_off(modules: tuple[str, ...] = UNUSED) -> Iterator[None]:
    """Let the imports of this block have stand-ins of some modules, as `package.module`, which import them when used.

    What is loaded already stays as it is. After the block the same imports give the modules themselves, to anyone.
    """
    placed: dict[str, ModuleType] = {}
    for name in modules:
        package, _, child = name.partition(".")
        if package in sys.modules:
            continue
        placed[package], placed[name] = _Later(package), _Later(name)
        # Who looks for the package is to find that it is installed.
        placed[package].__spec__ = importlib.util.find_spec(package)
        setattr(placed[package], child, placed[name])
        for attribute in TAKEN.get(name, ()):
            setattr(placed[name], attribute, _called_later(name, attribute))
    sys.modules.update(placed)
    try:
        yield
    finally:
        for name, module in placed.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]


def _called_later(module: str, name: str) -> Callable[..., object]:
    def call(*arguments: object, **keywords: object) -> object:
        return getattr(importlib.import_module(module), name)(*arguments, **keywords)

    return call


def leave_out_compiler() -> None:
    """Give torch's optimizers, where nothing is compiled, what they ask its compiler for; nothing if it is loaded.

    They import it only to tell it what it shall not compile. It is loaded, into the same module, as soon as anything
    else is asked for. If that is one of its own modules, Python runs that one twice.
    """
    if COMPILER in sys.modules:
        return
    spec = importlib.util.find_spec(COMPILER)
    assert spec is not None
    module = _Uncompiled(COMPILER)
    module.__spec__, module.__loader__ = spec, spec.loader
    sys.modules[COMPILER] = module


class _Uncompiled(ModuleType):
    """torch's compiler until something is compiled."""

    @staticmethod
    def disable(function: Callable[..., object], *_: object, **__: object) -> Callable[..., object]:
        """Do not compile a function: it is as it was."""
        return function

    @staticmethod
    def graph_break(*_: object) -> None:
        """Compile what precedes by itself: nothing is."""

    def __getattr__(self, name: str) -> object:
        """Become the compiler and give what was asked for."""
        if name.startswith("__") and name != "__path__":
            raise AttributeError(name)
        self.__class__ = ModuleType  # type: ignore[assignment]
        assert self.__spec__ is not None and self.__spec__.loader is not None
        self.__path__ = self.__spec__.submodule_search_locations or []
        self.__spec__.loader.exec_module(self)
        return getattr(self, name)


import_engine()
