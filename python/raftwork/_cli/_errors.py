"""How a subcommand fails."""


class CommandError(Exception):
    """One line that says what is wrong and what to do about it."""

    def __init__(self, text: str, code: int = 1) -> None:
        super().__init__(text)
        self.code = code
