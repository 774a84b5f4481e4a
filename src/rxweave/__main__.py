"""`python -m rxweave`, which is what torchrun starts."""

from rxweave.cli import main

if __name__ == "__main__":
    main()
