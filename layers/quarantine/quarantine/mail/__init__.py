"""Parsing that requests and held mail share: addresses, domains, headers, charsets, text to be shown."""
