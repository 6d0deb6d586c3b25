"""Cells of a CSV that somebody opens in a spreadsheet."""

# What begins like this is a formula there, in its wide form too in Chinese and Japanese editions: somebody's nickname must not run on an
# operator's machine.
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r", "\n", "|", "%")


def disarmed(text: str) -> str:
    """``text``, with an apostrophe before what would be a formula."""
    return f"'{text}" if text.lstrip(" \u3000\xa0").startswith(_FORMULA) else text
