"""The report: what is held, summarised, fitted into the 102 KB at which Gmail cuts, and made into a mail."""
