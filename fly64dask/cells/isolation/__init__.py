"""A function call in a supervised child process, so that a crash, a hang or too much memory ends as a named failure.

One call, from end to end: `call_in_child` (`supervise`) asks `fork_child` (`child`) for a process. That one connects to
the `ForkServer` of this machine (`fork_server`), which has the engine's modules loaded, and hands it one end of a pipe;
the server forks itself. The new process reads its `ChildOrders` (`protocol`) from the pipe, takes on the caller's
environment and runs the function, which sends a `Reported` for each epoch and at last a `Returned`. Meanwhile
`call_in_child` passes the reports on, watches time, memory and the wish to stop, and gives `Returned`, `Failed` or
`Cancelled`.

`call_in_child` is all that a caller needs. `ForkServer` and `share_server` let many workers of one machine use one
server. Nothing here knows what a cell is.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
