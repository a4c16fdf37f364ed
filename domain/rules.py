"""Which versions of the rules this build knows: deciders follow no others."""

SUPPORTED_RULES: tuple[int, ...] = (1,)
"""In rising order. A new exchange begins with the last; `RulesActivated` moves a running one on.

Hot modules must read it when they run, not when they are compiled, so it is neither final nor hot.
"""
