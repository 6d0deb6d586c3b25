"""The language of mapping files, from the ground up: masks, phones, converters and times; YAML, expressions and paths; targets, steps, sources and
fields."""
