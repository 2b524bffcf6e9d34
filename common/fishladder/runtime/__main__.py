"""`python -m fishladder.runtime` is the `fishladder` command, for where the script is not on PATH."""

from fishladder.runtime.cli import main

main()
