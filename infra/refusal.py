"""The error of whatever cannot start as it was asked to."""


class Refusal(Exception):
    """The text is one sentence, for a person, with what was wanted and what was found."""


class Misunderstood(Refusal):
    """The command line asks for what there is not; its exit status is 2."""
