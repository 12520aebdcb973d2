"""`quarantine-hold`, for the mail server: a pipe for one mail, and a server for SMTP and LMTP."""
