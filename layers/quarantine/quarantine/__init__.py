"""The rules and the plumbing that the functions share; README.md and docs/ tell the way of a request."""
