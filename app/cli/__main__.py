"""`python -m app.cli`: the command where its script is not installed."""

from app.cli.root import main

if __name__ == "__main__":
    main()
