"""`quarantine-hold`, for the mail server: a pipe for one mail, and a front that speaks SMTP and LMTP."""
