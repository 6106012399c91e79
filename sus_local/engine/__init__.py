"""Schedule → decode → sample."""
