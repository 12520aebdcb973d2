"""The ways back to a reader: what is delivered, and how."""
