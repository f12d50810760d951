"""pty-chi is imported without the libraries that no reconstruction uses, which spares each command two seconds.

Loading the engine and running its first cell took 5.8 to 6.9 s of CPU time and 0.94 GB with all of them, 3.0 to 4.0 s
and 0.68 GB without (four runs each on 2 vCPU; pty-chi 2.2.0, torch 2.15): 2.3 to 2.9 s and 0.25 GB less. Only
versions that were tested are imported in this way, and only if a self-check passes; all others are imported as usual.

Processes that run nothing but engines import this module before the engine (`cells.preload`); no other process does.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType

from fly64dask.base import Failure, result_or_failure

# By their first two numbers. torch 2.11 was tested on a GPU (docs/reference/gpu.md), 2.15 on the CPU, and 2.13 in its
# build for CPUs, where none of the libraries below was installed.
TESTED_VERSIONS = {"ptychi": {"2.2"}, "torch": {"2.11", "2.13", "2.15"}}
ENGINE_MODULE = "ptychi.api.task"
# What pty-chi imports for its plots, its clustered batches and a blurred starting object.
UNUSED = ("matplotlib.pyplot", "sklearn.cluster", "scipy.spatial", "torchvision.transforms")
# Names that pty-chi takes out of them at once: from torchvision.transforms import GaussianBlur.
TAKEN = {"torchvision.transforms": ("GaussianBlur",)}
COMPILER = "torch._dynamo"
# What torch imports for itself, by its version: the export of models, and the shapes of results without data, which its
# compiler asks for. A fifth of the time that torch and pty-chi need together.
SHAPES_ALONE = ("torch._meta_registrations", "torch.distributed._meta_registrations")
UNUSED_PARTS = {"2.15": ("torch.export", *SHAPES_ALONE)}
# Those would have imported it. Without it torch makes no generator of random numbers.
GENERATORS = "torch._prims.rng_prims"
# pandas works without it: it keeps the losses of epochs, in a table of numbers.
UNUSED_BY_PANDAS = "pyarrow"


def import_engine() -> None:
    """Import pty-chi, without what no reconstruction uses where that is tested and passes its self-check."""
    versions = {name: ".".join(importlib.metadata.version(name).split(".")[:2]) for name in TESTED_VERSIONS}
    if all(versions[name] in tested for name, tested in TESTED_VERSIONS.items()):
        parts = UNUSED_PARTS.get(versions["torch"], ())
        sparingly = functools.partial(_import_sparingly, parts)
        failure = result_or_failure(sparingly, what="import of pty-chi without unused libraries")
        if not isinstance(failure, Failure):
            return
        for name, module in list(sys.modules.items()):
            if name.partition(".")[0] == "ptychi" or isinstance(module, _Uncompiled):
                del sys.modules[name]
    importlib.import_module(ENGINE_MODULE)


def _import_sparingly(parts: tuple[str, ...]) -> None:
    with put_off(parts=parts), _missing(UNUSED_BY_PANDAS):
        importlib.import_module(ENGINE_MODULE)
        if parts:
            importlib.import_module(GENERATORS)
    leave_out_compiler()
    _self_check()


def _self_check() -> None:
    """Take the step of an optimizer, the one thing that asks for the compiler in each epoch, and draw a number."""
    import torch

    torch.randn(1, generator=torch.Generator(device="cpu").manual_seed(1))
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
def put_off(modules: tuple[str, ...] = UNUSED, *, parts: tuple[str, ...] = ()) -> Iterator[None]:
    """Let the imports of this block have stand-ins of some modules, as `package.module`, which import them when used.

    Packages of `modules` are stood in for as well, installed or not; those of `parts` are imported. What is loaded
    already stays as it is. After the block the same imports give the modules themselves, to anyone.
    """
    placed: dict[str, ModuleType] = {name: _Later(name) for name in parts if name.partition(".")[0] not in sys.modules}
    for name in modules:
        package, _, child = name.partition(".")
        if package in sys.modules:
            continue
        placed[package], placed[name] = _Later(package), _Later(name)
        # Who looks for the package is to find whether it is installed.
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


@contextmanager
def _missing(package: str) -> Iterator[None]:
    """Let a package look as if it were not installed while the block lasts, unless it is loaded."""
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]  # for which Python raises ImportError
    try:
        yield
    finally:
        del sys.modules[package]


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
        for part in SHAPES_ALONE:  # these first: only in torch's own order they find each other
            importlib.import_module(part)
        self.__spec__.loader.exec_module(self)
        return getattr(self, name)


import_engine()
