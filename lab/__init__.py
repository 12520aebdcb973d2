"""Measures the product's costs and limits: `python -m lab.bench`, `python -m lab.simulation`."""
