"""``python -m sus_local`` is ``sus-local``."""

from sus_local.cli.main import main

if __name__ == "__main__":
    main()
