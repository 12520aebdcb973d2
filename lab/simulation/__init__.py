"""A discrete event simulation of the queue on a Monday morning, with the settings of template.yaml."""
