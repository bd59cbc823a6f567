"""What made results/: one module for each file there, `python -m studies NAME`."""
