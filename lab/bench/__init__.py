"""What the functions cost: start-up, CPU, AWS calls and rendering, measured side by side in one run."""
