"""sus-local."""
