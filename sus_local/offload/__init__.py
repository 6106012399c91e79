"""Devices and the memory ledger."""
