"""Feedback: what people think of answers."""

from typing import Final, Literal, Protocol

Value = Literal[-1, 1]

# Of a comment, in characters; what is longer is cut.
MOST_WORDS: Final = 2000


class Feedback(Protocol):
    """What people think of the answers they got, or read. One opinion an exchange and account: another one replaces it.

    An exchange that is not written down, is another DAO's, or whose text is no longer kept has no feedback.
    Everything may raise StoreError.
    """

    async def rate(self, dao_id: str, request_id: str, user_id: str, value: Value, *, session_id: str) -> bool:
        """Good or bad; what the same account wrote about it stays. False where there is no such exchange, or none they can know of.

        Args:
            session_id: the conversation the account takes part in; of others it can know nothing but what it asked itself.
        """
        ...

    async def comment(self, dao_id: str, user_id: str, session_id: str, words: str) -> bool:
        """In words, about the latest answer the account got in the session. False where it got none."""
        ...
