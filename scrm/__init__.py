"""The lightweight SCRM core: a subscriber like any other.

It hears of the world only through signed webhooks and keeps its own tables. From the gateway it imports the model, the errors and
the clock, nothing else.
"""
