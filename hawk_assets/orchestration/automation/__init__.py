"""When things run by themselves, and who is told when they do not."""
