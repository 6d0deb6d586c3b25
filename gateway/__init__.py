"""The SCRM gateway: write down what a partner said before thanking them, then think, then tell whoever may know."""

VERSION = "0.1.0"
