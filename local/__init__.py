"""The pipeline on your own machine: SMTP in, a maildir out, and moto instead of AWS."""
