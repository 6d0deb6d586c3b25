"""The canonical nouns: what every partner's data becomes. One file each; see docs/words.md."""
