"""Conversion of Hugging Face checkpoints to GGUF."""
