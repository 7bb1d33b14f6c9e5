"""What the server does to a prompt before it encodes it, closely enough for training.

The teacher reads the original text; the student learns from tokens of the text that the server will really hand to it.
The server's rules (`src/core/similarity/text`) are the reference; these are their common cases. What differs costs a
little training signal and never correctness, since nothing of this ships.
"""

from __future__ import annotations

import re
import unicodedata

IRREGULAR = {
    "ain't": "is not", "can't": "can not", "i'm": "i am", "let's": "let us", "shan't": "shall not", "won't": "will not",
    "y'all": "you all", "'cause": "because", "'em": "them", "'til": "until", "'till": "until", "'tis": "it is",
    "arent": "are not", "cannot": "can not", "cant": "can not", "couldnt": "could not", "didnt": "did not",
    "doesnt": "does not", "dont": "do not", "gimme": "give me", "gonna": "going to", "gotta": "got to",
    "hasnt": "has not", "havent": "have not", "hows": "how is", "im": "i am", "isnt": "is not", "ive": "i have",
    "lemme": "let me", "shouldnt": "should not", "thats": "that is", "theres": "there is", "theyre": "they are",
    "wanna": "want to", "wasnt": "was not", "whats": "what is", "wheres": "where is", "whos": "who is",
    "wont": "will not", "wouldnt": "would not", "youre": "you are", "youve": "you have",
}  # fmt: skip
"""Contractions that no ending explains, and those that people write without the apostrophe."""

ENDINGS = {"n't": " not", "'re": " are", "'ve": " have", "'ll": " will", "'d": " would"}

IS_BEHIND = frozenset(
    "anything everything he here how it nothing she something that there this what when where which who why".split()
)
"""Words whose 's is a verb. Behind all others it is a possessive, and goes."""

FOLDED = str.maketrans({
    **dict.fromkeys("‘’‛ʼ´", "'"), **dict.fromkeys("“”„‟«»", '"'), **dict.fromkeys("‐‑‒–−", "-"), "—": " ", "…": " ",
})  # fmt: skip
SEPARATORS = re.compile(
    r'["`(){}\[\];]+|\.{2,}|--+(?!\w)|(?<=\w)--+|(?<!\d):(?!//)|:(?!\d|//)|[!?]+(?!=)|,(?!\d)|(?<!\d),'
)
EDGES = re.compile(r"^[.,'*]+(?=\w)|[.,':*-]+$")
HYPHENS = re.compile(r"[^\W\d_]{2,}(?:-(?:[^\W\d_]{2,}|\d+))+")
INITIALS = re.compile(r"(?<![a-z.])[a-z](?:\.[a-z])+")
GROUPED = re.compile(r"(?<=\d),(?=\d{3}\b)")
WORD = re.compile(r"[a-z0-9']+")

ASKING = "what|who|whom|whose|where|when|why|how|which|if|whether"
SOMEONE = "you|u|someone|somebody|anyone|anybody"
PREFIXES = (
    r"(?:hi|hey|hello|greetings|good (?:morning|afternoon|evening))(?: there| everyone| all)?",
    r"(?:please|kindly|pls|plz)",
    r"(?:thanks|thank you)(?: in advance)?",
    rf"(?:can|could|would|will) (?:{SOMEONE}) (?:please|kindly|pls|plz)",
    rf"(?:can|could|would|will) (?:{SOMEONE})(?= (?:explain|describe|suggest|recommend|clarify|translate)\b)",
    rf"(?:can|could|would|will) (?:{SOMEONE})(?= (?:tell|give|show|help|teach|send|find|get|remind) (?:me|us)\b)",
    rf"(?:tell|inform) (?:me|us)(?= (?:{ASKING})\b)",
    rf"(?:i|we)(?: would| just| really)* (?:like|want|need|wanted) to (?:know|ask)(?= (?:{ASKING})\b)",
    rf"(?:i (?:am|was) )?(?:just )?(?:wondering|curious)(?= (?:{ASKING})\b)",
    r"do you know(?= (?:what|where|when|why|which)\b)",
)
SUFFIXES = (
    r"(?:please|pls|plz|kindly)",
    r"(?:thanks|thank you|thx)(?: (?:in advance|so much|very much|a lot|for your help))*",
)
PREFIX = re.compile(rf"^(?:{'|'.join(PREFIXES)}) +(?=\S+ \S)")
SUFFIX = re.compile(rf"(?<=\S) +(?:{'|'.join(SUFFIXES)})$")


def expand(word: str) -> str:
    """`word` with its contraction written out and its possessive gone."""
    if word in IRREGULAR:
        return IRREGULAR[word]
    for ending, full in ENDINGS.items():
        if word.endswith(ending) and len(word) > len(ending):
            return expand(word[: -len(ending)]) + full
    if word.endswith("'s") and len(word) > 2:
        return word[:-2] + (" is" if word[:-2] in IS_BEHIND else "")
    if HYPHENS.fullmatch(word):
        return word.replace("-", " ")
    return word.replace(".", "") if INITIALS.fullmatch(word) else word


def expanded_words(text: str) -> list[str]:
    """Lower-case words without sentence punctuation, contractions written out."""
    lower = unicodedata.normalize("NFC", text).translate(FOLDED).lower()
    parts = SEPARATORS.sub(" ", GROUPED.sub("", lower)).split()
    words = (word if word in IRREGULAR else EDGES.sub("", word) for word in parts)
    return " ".join(expand(word) for word in words).split()


def normalise(text: str) -> str:
    """The text as the encoder gets it: `expanded_words` without wrappers of politeness."""
    out = " ".join(expanded_words(text))
    for pattern in (PREFIX, SUFFIX):
        previous = None
        while previous != out:
            previous, out = out, pattern.sub("", out)
    return out


def dictionary_words(text: str) -> list[str]:
    """Runs of letters, digits and inner apostrophes, for the table of document frequencies."""
    runs = (run.strip("'") for run in WORD.findall(" ".join(expanded_words(text))))
    return [run for run in runs if run]
