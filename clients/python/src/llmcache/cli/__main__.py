"""`python -m llmcache.cli`."""

from . import main

main()
