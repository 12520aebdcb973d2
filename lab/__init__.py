"""What the product costs and where its limits are: `python -m lab.bench`, `python -m lab.simulation`."""
