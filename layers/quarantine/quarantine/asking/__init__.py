"""A mail that asks us for something: how it came, who wrote it, what it asks, and whether that is granted."""
