"""The doctor: checks files, cameras and whether the poses fit the images, and writes a fixed copy."""
