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

PLACE_WORDS: tuple[str, ...] = ("dao", "communit")

WISHES: dict[str, tuple[str, ...]] = {
    "proposal": ("proposal #", "show proposal #", "open proposal #", "review* proposal #…", "vote on proposal #"),
    "proposals": (
        "review my proposal…",
        "review our proposal…",
        "open for vote*",
        "open for voting",
        "up for vote*",
        "open proposals",
        "active proposals",
        "current proposals",
        "list proposals",
        "show proposals",
    ),
    "whoami": ("who am i", "what may i do", "what can i do", "my role*", "my rights", "my permission*"),
    "link": ("link my account*", "link my wallet", "link my discord", "link my telegram", "connect my wallet", "connect my account*"),
    "dao": ("dao stats", "dao statistic*", "community stats", "community statistic*", "statistic* of dao", "statistic* of community"),
    "feedback": ("give feedback", "leave feedback"),
    "help": ("what can you do", "what commands"),
}

MESSAGES: dict[str, str] = {
    "agent.steps": "What I did:",
    "agent.changes": (
        "I changed {files} file(s) on the branch `{branch}`. Nothing has changed in the workspace {workspace} yet: "
        "whoever may commit takes it over with `git_branch` (action `merge`). This is what differs:"
    ),
    "agent.stopped": "I had to stop before I was done: {why}",
    "agent.stopped_steps": (
        "I had to stop before I was done: this took more steps than one request may have. Ask me to go on, or ask for less."
    ),
    "agent.stopped_tokens": (
        "I had to stop before I was done: this took more tokens than one request may have. Ask me to go on, or ask for less."
    ),
    "agent.stopped_time": "I had to stop before I was done: the time for one request is over. Ask me to go on, or ask for less.",
    "agent.nothing": "The model gave no answer.",
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
    "link.code": (
        "Your code: {code}\nTell it at your other account within ten minutes. Whoever tells this code there joins their account with "
        "yours: never post it anywhere, and give it to nobody, whoever asks."
    ),
    "link.preview": (
        "{account} and {other} would become one person's: each of the two could then do all that the other may. Only confirm this if both "
        "are yours and you began it yourself. Nobody else has a reason to ask you for it."
    ),
    "link.held": "Until {until} UTC nothing that administers a DAO can be done through: {accounts}.",
    "link.done": "Linked. These accounts are one person's now: {accounts}.",
    "link.wallet": "Sign the message with your wallet. It costs nothing and moves nothing; it only proves that the wallet is yours.",
    "link.discord": "Open this address, allow Discord to say who you are, and come back with the code the page shows: {url}",
    "page.title": "Linking accounts",
    "page.proved": (
        "Discord has confirmed the account {account}. To link it with {begun_at}, send this code in the private chat where you began:"
    ),
    "page.until": "The code counts for ten minutes, until {until} UTC.",
    "page.warning": (
        "If you did not begin this yourself, or do not know {begun_at}, close this page and give the code to nobody: whoever has it "
        "would get what your Discord account may do."
    ),
    "page.over": "This link was used already, or is older than ten minutes. Nothing was linked. Begin again in the chat.",
    "page.outside": "Discord could not be asked just now. Nothing was linked. Begin again in the chat in some minutes.",
    "page.misconfigured": "Discord's login is set up wrongly here, so nothing was linked. Tell an operator of this stack.",
    "page.refused": "That did not work, and nothing was linked. Begin again in the chat.",
    "channel.not_a_member": (
        "I do not know you yet in this community. Ask one of its admins for an invitation, and tell them your id: {user_id}"
    ),
    "channel.suspended": "Your membership is suspended. One of the community's admins can tell you why.",
    "channel.dao_suspended": "This community is suspended just now. Its admins can tell you why.",
    "channel.expired": "Your membership has ended. Ask one of the community's admins to renew it.",
    "channel.recently_linked": (
        "This account was linked a short while ago; until that is a day old, use an account you had before for this."
    ),
    "channel.lacks": "Your role does not allow this ({entitlement}). Ask one of the community's admins.",
    "channel.too_many": "That was a little fast for me. Ask again in {seconds} s.",
    "channel.too_many_today": "You have used up what you may ask for now. Ask again in {minutes} min, or ask an admin for more.",
    "channel.budget": "The community's budget for answers is spent for this month. One of its admins can raise it.",
    "channel.busy": "I am very busy just now. Ask again in {seconds} s.",
    "channel.no_answer": "I could not get an answer this time. Please ask again in a minute; if it stays so, tell an admin: {request_id}",
    "channel.not_configured": "Nothing is set up here that could answer this. Please tell one of the community's admins: {request_id}",
    "channel.too_long": "That is longer than I can read at once. Ask it in fewer words.",
    "channel.internal": "Something went wrong on my side. Ask again; if it stays so, tell an admin: {request_id}",
    "channel.nobody": "I cannot tell who you are when you write as a group or a channel. Write as yourself.",
    "channel.unknown_command": "I do not know that command. I know {known}; anything else, just ask in your own words.",
    "channel.unreadable": "I cannot understand {kind} yet. Write it in words, please.",
    "channel.kind.photo": "pictures",
    "channel.kind.voice": "voice messages",
    "channel.kind.audio": "recordings",
    "channel.kind.video": "videos",
    "channel.kind.video_note": "video messages",
    "channel.kind.animation": "animations",
    "channel.kind.sticker": "stickers",
    "channel.kind.document": "files",
    "channel.kind.other": "messages of this kind",
    "channel.say_it": "Here I am. What would you like to know?",
    "channel.not_seen": "(I have answered your words alone: what you attached I cannot look at yet.)",
    "channel.no_words": "The answer held no words. Ask again, perhaps in other words.",
    "channel.start": "Hello! I answer questions about {dao}. Just write what you would like to know.",
    "channel.help": "Ask in your own words, in Ukrainian or English. I also know:\n\n{known}",
    "channel.command.start": "say hello",
    "channel.command.help": "what I can do",
    "channel.command.whoami": "who you are here, and what you may do",
    "channel.whoami": "You are `{user_id}` in {dao}. Your roles: {roles} ({why}). You may:\n\n{may}",
    "channel.why.role_grants": "given to you as a member",
    "channel.why.guest_of_open_dao": "everybody is a guest here",
    "channel.why.recently_linked": "some of it waits, for this account was linked a short while ago",
    "channel.command.proposals": "what is open for votes",
    "channel.command.link": "join this account with another one of yours",
    "channel.unknown_interaction": "I do not know what that is. Write /ask and your question.",
    "channel.feedback.words": "Your words",
    "channel.feedback.title": "What do you think of the answers?",
    "channel.command.feedback": "tell in words what you think of my last answer",
    "feedback.good": "Thank you! Noted as good.",
    "feedback.bad": "Thank you! Noted as not good. With /feedback you can tell in words what was wrong.",
    "feedback.words": "Thank you! Noted with my last answer to you.",
    "feedback.how": "Tell me in words what you think of my last answer: /feedback and what you want to say.",
    "feedback.nothing": "I have not answered you here yet, so there is nothing your words could belong to. Ask something first.",
    "feedback.gone": "That answer is no longer kept, so nothing can be noted about it.",
    "channel.command.dao": "what this community is, in facts and numbers",
    "channel.command.proposal": "one proposal, and your vote: /proposal 3",
    "channel.questions": "Or press a question:",
    "dao.members": "Members: {people} ({roles})",
    "dao.proposals": "Open for votes: {count}",
    "dao.documents": "Documents with facts: {count}",
    "dao.answered": "Questions answered in the last 30 days: {count}",
    "proposal.which": "Which one? Write its number: /proposal 3",
    "proposal.unknown": "There is no proposal #{number} here.",
    "proposal.pending": "Voting begins on {since} UTC and ends on {until} UTC.",
    "proposal.closed": "Voting ended on {at} UTC: {outcome}.",
    "proposal.outcome.passed": "passed",
    "proposal.outcome.rejected": "rejected",
    "proposal.outcome.no_quorum": "no quorum",
    "proposal.outcome.cancelled": "cancelled",
    "proposal.voted": "Your vote on #{number} counts: {choice}. Until it ends you may change it.",
    "proposal.not_yet": "Voting on #{number} has not begun yet.",
    "proposal.over": "Voting on #{number} is over; your press changed nothing.",
    "proposal.not_elector": "Only those may vote on #{number} who were members when it was made.",
    "proposal.not_person": "I do not know you as a person of this community, so you cannot vote on #{number}. Ask one of its admins.",
    "do.help": "What I can do",
    "do.whoami": "Who I am here",
    "do.dao": "The community in numbers",
    "do.proposals": "Open proposals",
    "do.proposal": "Show proposal #{words}",
    "do.feedback": "Give feedback",
    "do.link": "Link an account",
    "discord.private": "That is for your eyes alone. Use the command /{command} that Discord offers you, or write to me in private.",
    "discord.command.ask": "ask a question about the community",
    "discord.command.proposal": "one proposal, or all that are open for votes",
    "discord.option.question": "what you would like to know, in your own words",
    "discord.option.proposal": "begin to write its title",
    "discord.option.code": "the code that your other account was given",
    "channel.old_button": "This button does nothing any more.",
    "link.how": "There, write to me in private: /link and the code.",
    "link.private": "Codes belong into private chats alone. Write /link to me in private.",
    "link.unknown": "That code does not count: mistyped, used, or older than ten minutes. Ask for a new one: /link at your other account.",
    "link.refused": "These two accounts cannot be joined here. One of the community's admins can tell you more, and join them.",
    "link.yes": "Join them",
    "link.no": "Leave it",
    "link.left": "All right, nothing was joined.",
}
