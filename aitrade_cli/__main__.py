"""`python -m aitrade_cli` is `aitrade`."""

from aitrade_cli.main import main

if __name__ == "__main__":  # a worker process that imports this file anew must not run it
    main()
