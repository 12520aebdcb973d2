"""`quarantine deliver`: the agent that hands released messages to the mail server beside it."""
