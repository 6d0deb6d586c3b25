"""Figures, each against its baseline in the same run: ``make bench``. How to read them: ``README.md``."""
