"""What mail filters write into the header of a mail, a module per family of filters."""
