"""What the ``hawk`` command prints: text and tables for people, JSON for programs."""
