"""Scheduled reports (digests): when they are due, who may have one, and what is new in them. Pure."""
