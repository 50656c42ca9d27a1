"""English."""

LETTERS: frozenset[str] = frozenset("abcdefghijklmnopqrstuvwxyz")

STOP_WORDS: frozenset[str] = frozenset(
    """
    a about all also am an and any are as at be been but by can could did do does explain for from good had has have hello help
    her here hey hi him his how i if in into is it its just let many may me might more much must my no not of off on or our out
    please shall she should so some tell than thank thanks that the their them then there these they this those to too us very was
    we were what when where which who whom whose why will with would yes you your
    """.split()  # noqa: SIM905 - two hundred quoted words could not be read
)

JOINERS: frozenset[str] = frozenset({"and", "or", "also", "but", "plus"})

PROPOSAL_WORDS: tuple[str, ...] = ("proposal", "ballot", "referend")

VOTE_WORDS: tuple[str, ...] = ("vote", "voting", "poll")

NOW_WORDS: tuple[str, ...] = ("open", "active", "current", "now", "ongoing", "running", "today")

MESSAGES: dict[str, str] = {
    "facts.intro": "No language model was asked. Closest to your question in the DAO's own documents, word for word:",
    "facts.intro_named": "No language model was asked. Closest to your question in {dao}'s own documents, word for word:",
    "facts.intro_cautious": (
        "No language model was asked, and the words of your question do not occur in the DAO's documents. These passages are the "
        "closest in meaning; they may well not hold the answer:"
    ),
    "facts.intro_proposals": "No language model was asked. This is what the DAO votes on now, and what its documents say about it:",
    "facts.source": "Source: {source}",
    "facts.none": (
        "I found nothing about this in the DAO's documents, and no language model was asked. "
        "Try other words, or ask an admin to add a document about it."
    ),
    "init.about": (
        "{name} is a community run as a microDAO. Nobody has written more about it yet: "
        "an admin can add documents about its purpose, projects, treasury and how to join."
    ),
    "init.question": "What is {name}?",
    "proposal.none": "No proposal is open for votes now.",
    "proposal.source": "proposal #{number}",
    "proposal.open": "Open for votes until {until} UTC.",
    "proposal.quorum": "Votes that count for the quorum: {counted} of the {needed} needed; {electorate} may vote.",
    "choice.for": "for",
    "choice.against": "against",
    "choice.abstain": "abstain",
    "facts.no_question": "I saw no question. Write it in words, and I will look in the DAO's documents.",
}
