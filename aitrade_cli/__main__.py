"""`python -m aitrade_cli` is `aitrade`."""

from aitrade_cli.main import main

main()
