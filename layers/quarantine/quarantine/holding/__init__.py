"""A mail that a filter left in the bucket: for whom it is, why it is held, and what is shown of it."""
