"""The costs of the functions: start-up, CPU, AWS calls and rendering, measured side by side in one run."""
