"""``python -m warmdown`` is the command ``warmdown``."""

from warmdown.app.cli import main

main(prog_name="warmdown")
