"""``python -m stemzarr_cli`` is the command ``stemzarr``."""

from stemzarr_cli import main

if __name__ == "__main__":
    main()
