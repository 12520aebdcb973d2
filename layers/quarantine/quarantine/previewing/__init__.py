"""A held mail as safe text: its structure, the text that a reader sees, and what is attached."""
