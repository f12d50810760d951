"""The faster steps of an LSQML minibatch, and how they take the place of pty-chi's own."""
