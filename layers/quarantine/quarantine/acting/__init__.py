"""A user who acts on held mail: which message is meant, and what may be done to it."""
