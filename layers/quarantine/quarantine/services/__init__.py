"""The use cases: gather, decide, apply. Stores, outbox and clock are arguments."""
