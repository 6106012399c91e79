"""``sus-local chat``: the conversation in the terminal."""
