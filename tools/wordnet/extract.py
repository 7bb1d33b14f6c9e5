#!/usr/bin/env python3
"""Makes the word lists that the guards and the typo path of the built-in similarity go by, from WordNet 3.0.

    apt-get install wordnet-base        # 1:3.0-37; or unpack the package anywhere and name its folder
    tools/wordnet/extract.py [--wordnet /usr/share/wordnet] [--out model]

What it writes, one record a line, sorted, without chance and without the network:

    antonyms.tsv   word, the words that exclude it           WordNet's antonym pointers, and contrasts.txt
    synonyms.tsv   word, the words that can stand for it     synsets and near relations of common senses, irregular forms,
                                                             and alike.txt
    names.tsv      spelling, the thing that it names         proper nouns of single words, and things.txt
    kinds.tsv      kind, the words that name one of them     nouns under the hypernyms that KINDS lists, and kinds.txt
    parts.tsv      part of speech, words mainly used as it   verbs and adverbs
    coined.tsv     word                                      words of the corpus that no dictionary has
    rare.tsv       word                                      words that only look like misspellings of known ones
    WORDNET.LICENSE

Pairs are written once, at the word that comes first. All words are as WordNet spells them, in lower case; whoever reads
the lists reduces them to stems. Words that model/words.tsv lacks (tools/distil writes it) are left out where a list
says something that is taken for granted of unknown words: they are names, and nothing can stand for them.
"""

import argparse
import collections
import functools
import hashlib
import pathlib
import re
import sys

# The files of the Debian package wordnet-base 1:3.0-37, which are what Princeton released, with Debian's corrections.
SHA256 = {
    "data.noun": "fea17d2f9656611334eac790e5d69e47645fa180c4aa481fb4cd9b3520754ca2",
    "data.verb": "adcf43e35b581e8036d8b5a52d63d9cd3d3b4870b2720d3c03c799df44777bc2",
    "data.adj": "c89120dfc1f046ddff4a631bf9b7e9fa1a36b5e86565a23bf82dbe14f30b88a7",
    "data.adv": "444a63bf3955080ab7524f5079cfc07ff9bc682cb98bdb1db73b0fb9829f1139",
    "index.noun": "a490d99d93d017bf4822fe2f0ffa51fd73911ce271dc7535fade21f8814b5a04",
    "index.verb": "e2ac24816c3a8289dcb72aaa9cf8db81fdf25ec34d792bfc96ac5b7a20c8b4ae",
    "index.adj": "c9865d7b4d1f805bdef82ccdcea5282436e23083e6f6f1b33e716327c4eda810",
    "index.adv": "6f5465ed5758fe9c8a2f7ec17b1300f3aa875756c70ff7cba162f7e71bcf88ea",
    "noun.exc": "2b5d675c380b39ecf595af9fa9d4e7feb1d58c643b0bff08c40ed5bfe41fab7a",
    "verb.exc": "dbbcf9a601b2d77e934e413b91d90e88ec7f933a8b77cfc00602a923b891b42c",
    "adj.exc": "8824cc24bbedd797b9702316b27f07cd4c2b76b629539f0a1276f03926758016",
    "cntlist.rev": "a198580b8f705fa02797bba8b13e5cbe4a9f9f40cb1697e774c7fc6a5865b035",
}

PARTS = {"noun": "n", "verb": "v", "adj": "a", "adv": "r"}
WORD = re.compile(r"[a-z]+")

# A sense counts where it is the first of its word, or has this share of the word's uses in the tagged corpus.
SHARE = 0.05

# Words of at least so many letters may have two of them wrong (src/core/similarity/typo.rs).
LONG = 9

# Nouns under these synsets (a word of each, and #n where it is not the word's first sense) name things of one kind: who asks
# about one of them does not ask about the other.
KINDS = {
    "animal": ["animal"],
    "plant": ["plant#2"],
    "food": ["edible_fruit", "vegetable", "meat", "seafood", "alcohol", "cheese", "dessert", "nut", "grain", "flavorer"],
    "element": ["chemical_element"],
    "compound": ["salt", "acid", "hydrocarbon", "oxide"],
    "colour": ["chromatic_color", "achromatic_color"],
    "instrument": ["musical_instrument"],
    "sport": ["sport", "athletic_game", "board_game", "card_game"],
    "science": ["science"],
    "body": ["organ", "external_body_part", "bone", "gland", "muscle"],
    "vehicle": ["wheeled_vehicle", "aircraft", "vessel#2"],
    "garment": ["garment", "footwear", "headdress"],
    "furniture": ["furniture", "home_appliance", "kitchen_utensil"],
    "relative": ["relative"],
    "worker": ["worker", "professional", "health_professional", "skilled_worker", "performer", "artist", "scientist"],
    "disease": ["disease"],
    "drug": ["drug", "vitamin", "hormone"],
    "faith": ["religion", "theological_doctrine"],
    "tongue": ["natural_language"],
    "time": ["Gregorian_calendar_month", "day_of_the_week", "season", "time_unit"],
    "unit": ["unit_of_measurement"],
    "money": ["monetary_unit"],
    "figure": ["plane_figure", "solid_figure"],
    "weather": ["weather", "storm"],
    "stuff": ["metallic_element", "alloy", "fabric", "gem", "building_material"],
    "heaven": ["planet", "celestial_body"],
    "rank": ["military_officer", "noble", "head_of_state"],
}

# Capitalised nouns of these lexicographer files are names that people ask about: persons, places, groups, works and
# languages, events, money, days and months. Left out: the Latin names of animals and plants.
NAMED = {"04", "06", "10", "14", "15", "17", "18", "21", "28"}


class WordNet:
    def __init__(self, folder, known):
        self.known = known
        self.senses, self.synsets, self.tagged = {}, {}, collections.Counter()
        for name, part in PARTS.items():
            for line in self.lines(folder / f"index.{name}"):
                fields = line.split()
                self.senses[fields[0], part] = fields[-int(fields[2]):]
            for line in self.lines(folder / f"data.{name}"):
                self.add(part, line)
        self.forms = [form for name in ("noun", "verb", "adj") for form in self.pairs(folder / f"{name}.exc")]
        parts = {"1": "n", "2": "v", "3": "a", "4": "r", "5": "a"}
        for line in self.lines(folder / "cntlist.rev"):
            key, number, count = line.split()
            word, rest = key.split("%")
            self.tagged[word, parts[rest[0]], int(number)] = int(count)

    @staticmethod
    def lines(path):
        data = path.read_bytes()
        found = hashlib.sha256(data).hexdigest()
        if SHA256[path.name] != found:
            sys.exit(f"{path} is not that of wordnet-base 1:3.0-37: {found}")
        return [line for line in data.decode("ascii").splitlines() if not line.startswith(" ")]

    @staticmethod
    def pairs(path):
        """Irregular forms and what they are forms of."""
        return [tuple(line.split()[:2]) for line in WordNet.lines(path)]

    def add(self, part, line):
        fields = line.split(" | ")[0].split()
        count = int(fields[3], 16)
        words = [re.sub(r"\((a|p|ip)\)$", "", word) for word in fields[4:4 + 2 * count:2]]
        start = 5 + 2 * count
        pointers = []
        for i in range(start, start + 4 * int(fields[start - 1]), 4):
            symbol, offset, other, ends = fields[i:i + 4]
            pointers.append((symbol, (other.replace("s", "a"), offset), int(ends[:2], 16), int(ends[2:], 16)))
        self.synsets[part, fields[0]] = (words, pointers, fields[1])

    def uses(self, word, part):
        """How often the word was tagged as this part of speech."""
        return sum(self.tagged[word, part, i + 1] for i in range(len(self.senses.get((word, part), ()))))

    def common(self, word, synset):
        """Whether people mean this when they say the word."""
        part, offset = synset
        senses = self.senses.get((word, part), [])
        if offset not in senses or not WORD.fullmatch(word) or len(word) < 2:
            return False
        number = senses.index(offset) + 1
        count = self.tagged[word, part, number]
        return number == 1 or number <= 3 and count > 0 or count > 0 and count / self.uses(word, part) >= SHARE

    def ends(self, synset, pointer):
        """The words that a pointer connects: all of both synsets, or one of each."""
        _, target, source_word, target_word = pointer
        sources, targets = self.synsets[synset][0], self.synsets[target][0]
        if source_word:
            sources = sources[source_word - 1:source_word]
        if target_word:
            targets = targets[target_word - 1:target_word]
        return [(a, b) for a in sources for b in targets if a != b]


def pair(a, b):
    return (a, b) if a < b else (b, a)


def around(wordnet, synset):
    """The words of a synset, and of the adjectives around it, that people use in this sense."""
    near = [synset] + [pointer[1] for pointer in wordnet.synsets[synset][1] if pointer[0] == "&"]
    return {word for synset in near for word in wordnet.synsets[synset][0]
            if word in wordnet.known and wordnet.common(word, synset)}


def antonyms(wordnet, own):
    pairs = set()
    for synset, (_, pointers, _) in wordnet.synsets.items():
        for pointer in pointers:
            if pointer[0] == "!":
                for a, b in wordnet.ends(synset, pointer):
                    a, b = a.lower(), b.lower()
                    if WORD.fullmatch(a) and WORD.fullmatch(b) and a != b and {a, b} & wordnet.known:
                        pairs.add(pair(a, b))
        # What is alike to one side excludes the other side as well: fast, and not only slow but sluggish.
        for pointer in pointers:
            if pointer[0] == "!":
                here, there = around(wordnet, synset), around(wordnet, pointer[1])
                pairs |= {pair(a, b) for a in here for b in there if a != b and not here & there}
    for line in lines_of(own):
        sides = [side.split() for side in line.split("|")]
        for i, side in enumerate(sides):
            pairs |= {pair(a, b) for a in side for other in sides[i + 1:] for b in other if a != b}
    return pairs


def synonyms(wordnet, own, against):
    # Symbol and part of speech of the pointers that keep the meaning, and how often both words must have been tagged:
    # similar adjectives; verbs of one group; "see also"; more general verbs and, where both are common, nouns; the same
    # word as another part of speech.
    near = {"&a": 1, "$v": 1, "^a": 1, "^v": 1, "@v": 1, "@n": 3, "+n": 1, "+v": 1, "+a": 1, "+r": 1, "\\r": 1}
    pairs = set()

    def usual(word):
        return word in wordnet.known or any(wordnet.uses(word, part) for part in "nvar")

    for synset, (words, pointers, _) in wordnet.synsets.items():
        part = synset[0]
        members = sorted({word for word in words if wordnet.common(word, synset) and usual(word)})
        pairs |= {(a, b) for i, a in enumerate(members) for b in members[i + 1:] if {a, b} & wordnet.known}
        for pointer in pointers:
            least = near.get(pointer[0] + part)
            if least is None:
                continue
            target = pointer[1]
            for a, b in wordnet.ends(synset, pointer):
                if (wordnet.common(a, synset) and wordnet.common(b, target)
                        and usual(a) and usual(b) and {a, b} & wordnet.known
                        and wordnet.uses(a, part) >= least and wordnet.uses(b, target[0]) >= least
                        and not kin(a, b)):
                    pairs.add(pair(a, b))
    pairs |= {pair(a, b) for a, b in wordnet.forms if {a, b} <= wordnet.known}
    pairs = {(a, b) for a, b in pairs if not kin(a, b)}
    for line in lines_of(own):
        words = line.split()
        pairs |= {pair(a, b) for i, a in enumerate(words) for b in words[i + 1:] if a != b}
    return pairs - against


def kin(a, b):
    """Words that a stemmer makes one, nearly enough to leave out of the list."""
    return a.rstrip("es") == b.rstrip("es")


def names(wordnet, own):
    """Spelling to thing. A spelling with ^ is a name only where it is written with a capital letter."""
    ordinary = {word for words, _, _ in wordnet.synsets.values() for word in words if word.islower()}
    thing, links = {}, []
    for synset, (words, pointers, file) in wordnet.synsets.items():
        proper = [word for word in words if word[:1].isupper() and WORD.fullmatch(word.lower()) and len(word) > 2]
        if synset[0] == "n" and file in NAMED:
            for word in proper:
                thing.setdefault(word.lower(), word.lower())
            links += [(a.lower(), b.lower()) for a, b in zip(proper, proper[1:])]
        # India and Indian, Sweden and Swedish.
        for pointer in pointers:
            if pointer[0] in ("+", "\\"):
                links += [(a.lower(), b.lower()) for a, b in wordnet.ends(synset, pointer)
                          if a[:1].isupper() and b[:1].isupper()]
                if synset[0] == "a":
                    for a, _ in wordnet.ends(synset, pointer):
                        if a[:1].isupper() and WORD.fullmatch(a.lower()):
                            thing.setdefault(a.lower(), a.lower())
    bare = {word for word in thing if word not in ordinary}
    for line in lines_of(own):
        words = line.split()
        one_each = words[-1] == "..."
        words = words[:-1] if one_each else words
        for word in words:
            plain = word.lstrip("^")
            thing.setdefault(plain, plain)
            (bare.discard if word.startswith("^") else bare.add)(plain)
        if not one_each:
            links += [(words[0].lstrip("^"), word.lstrip("^")) for word in words[1:]]

    def root(word):
        while thing[word] != word:
            word = thing[word]
        return word

    for a, b in links:
        if a in thing and b in thing and root(a) != root(b):
            first, second = pair(root(a), root(b))
            thing[second] = first
    spellings = {word for line in lines_of(own) for word in line.replace("^", "").split()}
    kept = {word for word in thing
            if word in spellings or word in wordnet.known or root(word) != word and root(word) in wordnet.known}
    return {word if word in bare else "^" + word: root(word) for word in kept}


def kinds(wordnet, own):
    """Words whose first sense as a noun lies under the synsets of a kind, and own lists."""
    under = collections.defaultdict(set)
    for synset, (_, pointers, _) in wordnet.synsets.items():
        for symbol, target, _, _ in pointers:
            if symbol == "@" and synset[0] == "n":
                under[target].add(synset)

    @functools.cache
    def size(synset):
        return 1 + sum(size(below) for below in under[synset])

    found = {}
    for kind, tops in KINDS.items():
        words = set()
        for top in tops:
            word, _, number = top.partition("#")
            queue = list(under["n", wordnet.senses[word.lower(), "n"][int(number or 1) - 1]])
            seen = set()
            while queue:
                synset = queue.pop()
                if synset in seen:
                    continue
                seen.add(synset)
                queue += under[synset]
                # What has many kinds of its own (bird, tree) is too general to exclude anything.
                if size(synset) > 250:
                    continue
                for word in wordnet.synsets[synset][0]:
                    lower = word.lower()
                    if lower in wordnet.known and len(lower) > 2 and wordnet.senses[lower, "n"][0] == synset[1] \
                            and mainly(wordnet, lower) == "n":
                        words.add(lower)
        found[kind] = words
    for line in lines_of(own):
        kind, *words = line.split()
        found.setdefault(kind, set()).update(words)
    return found


def mainly(wordnet, word):
    """The part of speech that the word is mostly used as."""
    counts = {part: wordnet.uses(word, part) for part in "nvar" if (word, part) in wordnet.senses}
    if not counts:
        return None
    best = max(counts.values())
    parts = [part for part, count in counts.items() if count == best]
    return parts[0] if len(parts) == 1 else None


def parts(wordnet):
    found = {"verb": set(), "adverb": set()}
    for word, part in wordnet.senses:
        used = word in wordnet.known or wordnet.uses(word, part)
        if part in "vr" and WORD.fullmatch(word) and used and mainly(wordnet, word) == part:
            found["verb" if part == "v" else "adverb"].add(word)
    return found


def rare(wordnet):
    """Words that model/words.tsv lacks and that a slip of the pen could make of one that it has: words all the same.

    A slip is one letter, or two in a long word. Two words are that near if leaving out as many letters of each gives the
    same: this finds a few more than there are, which does no harm.
    """

    def without(word):
        found = {word}
        for _ in range(2 if len(word) >= LONG else 1):
            found |= {short[:i] + short[i + 1:] for short in found for i in range(len(short))}
        return found

    slips = {short for word in wordnet.known if len(word) > 2 for short in without(word)}
    lemmas = {lemma for lemma, _ in wordnet.senses if WORD.fullmatch(lemma) and len(lemma) > 3}
    return {word for word in lemmas - wordnet.known if not slips.isdisjoint(without(word))}


# Endings that English words may have, and what the word is without them.
ENDINGS = [("s", ""), ("ses", "s"), ("xes", "x"), ("zes", "z"), ("ches", "ch"), ("shes", "sh"), ("ies", "y"), ("es", "e"),
           ("es", ""), ("ed", "e"), ("ed", ""), ("ing", "e"), ("ing", ""), ("er", ""), ("er", "e"), ("est", ""),
           ("est", "e"), ("ly", ""), ("ness", ""), ("men", "man")]


def coined(wordnet, *own):
    """Words of model/words.tsv that no dictionary has: names of products and people, and misspellings."""
    lemmas = {part for word, _ in wordnet.senses for part in [word, *word.split("_")]}
    lemmas |= {form for form, _ in wordnet.forms}
    for path in own:
        lemmas |= {word for line in lines_of(path) for word in line.split()}

    def real(word):
        for ending, rest in ENDINGS:
            if word.endswith(ending):
                root = word[:-len(ending)] + rest
                doubled = len(root) > 3 and root[-1] == root[-2] and root[:-1] in lemmas
                if root in lemmas or doubled and ending in ("ed", "ing", "er", "est"):
                    return True
        return word in lemmas

    return {word for word in wordnet.known if not real(word)}


def lines_of(path):
    lines = (line.strip() for line in path.read_text().splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def write(path, about, records):
    head = [f"# {line}" for line in about] + ["# Made by tools/wordnet/extract.py from WordNet 3.0 (see WORDNET.LICENSE)."]
    path.write_text("\n".join(head + ["\t".join(record) for record in records]) + "\n")
    print(f"{path}: {len(records)} lines, {path.stat().st_size} bytes")


def gather(pairs):
    rows = collections.defaultdict(list)
    for a, b in sorted(pairs):
        rows[a].append(b)
    return [(word, " ".join(others)) for word, others in sorted(rows.items())]


def licence(folder):
    head = [line for line in (folder / "data.noun").read_text().splitlines() if line.startswith("  ")]
    return "\n".join(re.sub(r"^  \d+ ?", "", line).rstrip() for line in head) + "\n"


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--wordnet", type=pathlib.Path, default=pathlib.Path("/usr/share/wordnet"))
    arguments.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parents[2] / "model")
    chosen = arguments.parse_args()
    here, out = pathlib.Path(__file__).parent, chosen.out
    known = {line.split("\t")[0] for line in lines_of(out / "words.tsv")}
    wordnet = WordNet(chosen.wordnet, {word for word in known if WORD.fullmatch(word)})

    opposite = antonyms(wordnet, here / "contrasts.txt")
    write(out / "antonyms.tsv", ["Words that exclude one another."], gather(opposite))
    alike = synonyms(wordnet, here / "alike.txt", opposite)
    write(out / "synonyms.tsv", ["Words that can stand for one another."], gather(alike))
    named = names(wordnet, here / "things.txt")
    write(out / "names.tsv", ["Spellings of names and the thing that each names, where it is another word.",
                              "^: only with a capital letter."],
          [(word,) if word.lstrip("^") == name else (word, name) for word, name in sorted(named.items())])
    write(out / "kinds.tsv", ["Things of one kind; behind !, things that are done."],
          [(kind, " ".join(sorted(words))) for kind, words in sorted(kinds(wordnet, here / "kinds.txt").items())])
    write(out / "parts.tsv", ["Words by their part of speech."],
          [(part, " ".join(sorted(words))) for part, words in sorted(parts(wordnet).items())])
    write(out / "coined.tsv", ["Words of the corpus that no dictionary has."],
          [(word,) for word in sorted(coined(wordnet, here / "alike.txt", here / "contrasts.txt"))])
    write(out / "rare.tsv", ["Real words that look like misspellings of others."], [(word,) for word in sorted(rare(wordnet))])
    (out / "WORDNET.LICENSE").write_text(licence(chosen.wordnet))


if __name__ == "__main__":
    main()
