"""The rules and the plumbing that the functions share; README.md and docs/ describe the path of a request."""
