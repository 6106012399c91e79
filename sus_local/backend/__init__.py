"""The model behind the engine: a protocol, llama.cpp, and a faithful fake."""
