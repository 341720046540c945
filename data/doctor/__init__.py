"""What ``python -m data doctor`` examines: files, cameras, and whether the poses fit the pictures."""
