"""What the ``hawk`` command does, one module per command. Printing is elsewhere."""
