"""KV blocks, prefixes and their tiers."""
