"""The faster steps of an LSQML minibatch, and how they take the place of pty-chi's own.

`accelerated` gives a task the faster steps if they agree with pty-chi's on its own exposures, and says why it does not.
`replaced` gives attributes of objects other values for as long as a block lasts.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
