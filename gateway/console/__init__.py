"""The ops health console: is it well, and if not, what to do."""
