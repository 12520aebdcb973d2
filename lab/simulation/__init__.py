"""What a Monday morning does to the queue under the settings of template.yaml, by discrete events."""
