"""What runs by itself, and the alerts when something fails or is late."""
