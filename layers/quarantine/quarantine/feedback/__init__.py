"""What became of a mail that we sent: the tags of our mails, and the events in which SES reports on them."""
