"""Refusals: what is not accepted, with the HTTP status and one sentence."""

from __future__ import annotations


class RefusalError(Exception):
    """A request that is not accepted."""

    def __init__(self, status: int, sentence: str, retry_after: int | None = None) -> None:
        """Say why.

        Args:
            status: of HTTP, 4xx or 5xx.
            sentence: what was expected, what was found, what to do.
            retry_after: seconds after which the same may be tried again; None where that does not help.
        """
        super().__init__(sentence)
        self.status, self.sentence, self.retry_after = status, sentence, retry_after
