"""A function call in a supervised child process, so that a crash, a hang or too much memory ends as a named failure.

One call, from end to end: `call_in_child` (`supervise`) has `calling_child` (`children`) give it a process. That is one
that waits for a call or, where there is none, a new one: a `Child` connects to the `ForkServer` of this machine
(`fork_server`), which has the engine's modules loaded, and hands it one end of a pipe; the server forks itself. The
process (`forked_process`) reads `ChildOrders` (`protocol`) from the pipe, says that it has `Begun`, takes on the
caller's environment and runs the function, which sends a `Reported` for each epoch; at last the process sends a
`Returned`. Meanwhile `call_in_child` passes the reports on, watches time, memory and the wish to stop, and gives
`Returned`, `Failed` or `Cancelled`.

A child whose call ended well waits for the next one, if the caller says that its function leaves nothing behind. It is
never used after anything else, nor for a call that wants another environment, so that no call can tell whether its
process is new; and it dies with its caller, waiting or not.

`call_in_child` is all that a caller needs. `ForkServer` and `share_server` let many workers of one machine use one
server. Nothing here knows what a cell is.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
