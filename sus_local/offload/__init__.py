"""Devices, memory, and the decision how a model is loaded on them."""
