"""The one error that users cause: its message is a sentence, and the command line exits with 2."""


class InputError(ValueError):
    """Something handed to the program is not what it takes.

    The message says what came, what was expected and what to do, in one sentence.
    """
