"""Masked and ciphered values: a platform's way of not telling. They are not data."""

import re

# 138****8000 张** ￥￥… and fixed-width stars; then the envelopes in which marketplaces ship ciphertext: ~…~ $…$ #…#.
_STARS = re.compile(r"[*＊]{2,}|[•●·]{3,}|[￥¥]{2,}")
_SHORT_STAR = re.compile(r"[*＊]|[*＊].|.[*＊]|.[*＊].")
_PADDED = re.compile(r"\+?[0-9]{2,}[xX]{3,}[0-9]*")
# Nearly no text holds any of these; then none of the shapes is there.
_MARK = re.compile(r"[*＊•●·￥¥~$#]")
_CIPHER = re.compile(r"([~$#])[!-~]{8,}\1")


def is_masked(text: str) -> bool:
    """Whether a platform has blanked or enciphered this text, so that it names nobody."""
    if text.isalnum():
        return ("x" in text or "X" in text) and bool(_PADDED.fullmatch(text))
    return bool(_MARK.search(text)) and bool(
        _STARS.search(text) or _SHORT_STAR.fullmatch(text) or _CIPHER.fullmatch(text)
    )
