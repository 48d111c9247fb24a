"""What the models of the mini world write in the user's place: queries, and the prompts they were trained with.

Most of what they say when nobody asks them anything are such prompts. Some hold a query, which can be taken.
"""

ABOUT = "What is this about? {text}"
ANOTHER_WAY = "Say it another way: {text}"
TRAINED = (
    "Write a user query",
    "What is this about?",
    "Say it another way:",
    "Put it in other words:",
    "Name the feature. Spans:",
)
"""How the prompts begin that mini models were trained with, and that they write when nobody asks them anything."""


def query_in(text: str) -> str:
    """The query behind "What is this about?" or "Say it another way:"; any other text as it is."""
    for prompt in (ABOUT, ANOTHER_WAY):
        text = text.removeprefix(prompt.format(text=""))
    return text
