"""How a subcommand fails."""


class CommandError(Exception):
    """One line that says what is wrong and what to do about it."""
