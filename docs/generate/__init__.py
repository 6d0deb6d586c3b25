"""Documents that are derived: settings, connectors, errors, metrics, command line, events, model and its JSON Schemas.

``python -m docs.generate`` writes them, ``--check`` only compares. Every page is a pure function of the code's declarations.
"""
