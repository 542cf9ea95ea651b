"""The local platform and the images."""
