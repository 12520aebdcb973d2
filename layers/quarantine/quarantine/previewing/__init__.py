"""A held mail as safe text: bounded before it is parsed, no link in it works, and each cut is named."""
