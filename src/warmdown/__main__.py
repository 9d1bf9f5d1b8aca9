"""``python -m warmdown`` is the command ``warmdown``."""

from warmdown.cli.main import main

main(prog_name="warmdown")
