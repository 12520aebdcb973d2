"""What we keep in AWS: one module per table, and one for the bucket. Each alone knows its attribute names."""
