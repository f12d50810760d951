"""Lets worker processes of this machine join a scheduler on another one, and join again after the link was lost."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import dask
from distributed import Nanny, Status
from distributed.comm.addressing import get_address_host_port

from fly64dask.base import KEEP_MEMORY, SINGLE_THREAD, ResourceError, host_name, visible_gpus
from fly64dask.cells import engine_modules
from fly64dask.cells.isolation import ForkServer
from fly64dask.deploy.access import Access, client_security
from fly64dask.deploy.local import DASHBOARD_LOCAL, n_local_cores
from fly64dask.deploy.local_worker import LocalWorker
from fly64dask.deploy.process_settings import quiet_dask
from fly64dask.deploy.worker_checks import refuse_to_join
from fly64dask.deploy.worker_server import keep_list_of_modules, load_workers, worker_settings
from fly64dask.reconstruction import LSQML
from fly64dask.scheduling import gpu_of_worker

if TYPE_CHECKING:
    from distributed.security import Security

ASK_S = 2.0  # between two tries to reach a scheduler
ANSWER_S = 5.0  # time limit of an answer
SHORT_S, MAX_SHORT = 20.0, 3  # if workers end so soon so often in a row, the link is not the cause


def work_for(
    address: str,
    *,
    access: Access,
    n_workers: int | None,
    device: str,
    patience_s: float,
    say: Callable[[str], None],
) -> None:
    """Compute cells for runs at a scheduler until it ends.

    Parameters
    ----------
    address : str
        Address of the scheduler.
    access : Access
        Certificates of the link.
    n_workers : int or None
        Worker processes; None takes one for each GPU, or each core where there is none.
    device : "auto" or "cpu"
        With `cpu` no GPU is offered.
    patience_s : float
        How long to wait for a scheduler that does not answer, for example because a cable is out.
    say : callable
        Called with lines for a person.

    Raises
    ------
    InputError
        If the address or the certificates cannot be used.
    ResourceError
        If there is no scheduler at first, if it has not answered for too long, if this machine has other versions than
        the run or does not see its directory, or if workers end as soon as they have joined.

    Notes
    -----
    Dask's own `dask worker` ends in the same way when its link is lost and when the run has ended. The two are told
    apart here: a machine that can be reached refuses a connection to a port without a listener, one that cannot be
    reached does not answer.
    """
    security = client_security(address, access)
    gpus = visible_gpus() if device == "auto" else ()
    n_workers = n_workers or len(gpus) or n_local_cores()
    load_workers()
    keep_list_of_modules()
    with quiet_dask(), dask.config.set(worker_settings()), _engine_server(n_workers) as server_address:
        link = _Link(address=address, security=security, patience_s=patience_s, say=say)
        asyncio.run(_work(link, n_workers, gpus, LocalWorker((), server_address)))


@contextmanager
def _engine_server(n_workers: int) -> Iterator[str | None]:
    """Start the server that forks the engines of several workers; a single worker starts its own."""
    if n_workers == 1:
        yield None
    else:
        with ForkServer(engine_modules(LSQML)) as server:
            yield server.address


async def _work(link: _Link, n_workers: int, gpus: Sequence[str], plugin: LocalWorker) -> None:
    """Keep so many workers joined; SIGTERM ends them as Ctrl-C does."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    if not await link.answers():
        raise ResourceError(
            f"worker: nobody listens at {link.address}", remedy="give the address that the run under way has printed"
        )
    await refuse_to_join(link.address, link.security)
    environments = [{"CUDA_VISIBLE_DEVICES": gpu_of_worker(n, gpus)} if gpus else {} for n in range(n_workers)]
    try:
        await asyncio.gather(*(_keep_joined(link, environment, plugin) for environment in environments))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    link.say("the scheduler has ended, and so this command ends")


async def _keep_joined(link: _Link, environment: Mapping[str, str], plugin: LocalWorker) -> None:
    """Keep one worker joined until the scheduler has ended."""
    n_short = 0
    while True:
        began = time.monotonic()
        await link.stay(environment, plugin)
        n_short = n_short + 1 if time.monotonic() - began < SHORT_S else 0
        await asyncio.sleep(ASK_S)  # a scheduler that ends releases its workers first
        if not await link.answers():
            return
        if n_short == MAX_SHORT:
            raise ResourceError(
                f"worker: {MAX_SHORT} in a row ended within {SHORT_S:g} s though {link.address} answers",
                remedy="see what was said above, and compare versions with `fly64dask doctor`",
            )
        link.say("the link was lost; connecting again")


class _Link:
    """The link to a scheduler, which may be lost and made again."""

    def __init__(
        self, *, address: str, security: Security | None, patience_s: float, say: Callable[[str], None]
    ) -> None:
        self.address = address
        self.say = say
        self.security = security
        self._patience_s = patience_s
        self._numbers = itertools.count()

    async def stay(self, environment: Mapping[str, str], plugin: LocalWorker) -> None:
        """Join with one worker, and return when it has ended, whatever ended it."""
        # A new name, because the scheduler may take the old one to be still in use.
        name = f"{host_name()}-{os.getpid()}-{next(self._numbers)}"
        settings: dict[str, Any] = {
            "nthreads": 1,
            "name": name,
            "security": self.security,
            "resources": {"GPU": 1} if environment else None,
            "env": {**os.environ, **SINGLE_THREAD, **KEEP_MEMORY, **environment},
            "dashboard_address": DASHBOARD_LOCAL,
            "plugins": (plugin,),
            "silence_logs": logging.CRITICAL,  # relevant problems come back as errors
        }
        try:
            async with Nanny(self.address, **settings) as nanny:
                if nanny.status == Status.running:
                    self.say(f"worker {name} has joined {self.address}")
                await nanny.finished()
        except (OSError, TimeoutError, RuntimeError) as error:  # Dask raises this one if a process cannot start
            self.say(f"worker {name} did not join {self.address}: {error}")

    async def answers(self) -> bool:
        """Tell whether somebody listens at the address, once its machine can be reached.

        Raises ResourceError if it could not for as long as patience lasts.
        """
        host, port = get_address_host_port(self.address)
        began, was_said = time.monotonic(), False
        while True:
            try:
                async with asyncio.timeout(ANSWER_S):
                    _, writer = await asyncio.open_connection(host, port)
                writer.close()
                return True
            except ConnectionRefusedError:
                return False
            except (OSError, TimeoutError) as error:
                if time.monotonic() - began > self._patience_s:
                    found = str(error) or "silence"
                    raise ResourceError(
                        f"worker: {self.address} has not answered for {self._patience_s:g} s ({found})",
                        remedy="check the network between both machines, and start this again",
                    ) from error
                if not was_said:
                    self.say(f"{self.address} does not answer; trying again for {self._patience_s:g} s")
                was_said = True
            await asyncio.sleep(ASK_S)
