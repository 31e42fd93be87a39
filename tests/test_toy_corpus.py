"""The toy corpus: determinism, and German and English grammar checked without the code that wrote them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path
from typing import Dict, List, Set, Tuple

import pytest

from fairseq_plugins import cli
from fairseq_plugins.toy.generate import Pair, generate
from fairseq_plugins.toy.grammar import Clause, NounPhrase, english, german
from fairseq_plugins.toy.lexicon import (
    ADJECTIVES,
    DU,
    ER,
    HABEN,
    ICH,
    MATRIX,
    MODALS,
    NOUNS,
    PRONOUNS,
    SEIN,
    SIE,
    SIE_ALLE,
    TIMES,
    VERBS,
    WAR,
    WIR,
    Adjective,
    Modal,
    Noun,
    Verb,
)

# fairseq-plugins toy-corpus --out toy && cat toy/{train,valid,test}.{de,en} | sha256sum
# Same on CPython 3.7 to 3.13.
GOLDEN = "3bbe9ef06184c60f443aa2ef2e7a73da202a34e163bc7a65a96ea25017451f7e"

SPLITS = ("train", "valid", "test")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default corpus, written by the command."""
    out = tmp_path_factory.mktemp("toy") / "toy"
    assert cli.main(["toy-corpus", "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def corpus(folder: Path) -> Dict[str, List[Pair]]:
    """The default corpus as pairs."""

    def lines(name: str) -> List[str]:
        return (folder / name).read_bytes().decode("utf-8").split("\n")[:-1]

    return {s: [Pair(d, e) for d, e in zip(lines(f"{s}.de"), lines(f"{s}.en"))] for s in SPLITS}


@pytest.fixture(scope="module")
def pairs(corpus: Dict[str, List[Pair]]) -> List[Pair]:
    """All pairs of all splits."""
    return [pair for split in SPLITS for pair in corpus[split]]


# ------------------------------------------------------------------ the files


def test_default_output_is_the_golden_one(folder: Path) -> None:
    digest = hashlib.sha256()
    for split in SPLITS:
        for language in ("de", "en"):
            digest.update((folder / f"{split}.{language}").read_bytes())
    assert digest.hexdigest() == GOLDEN
    assert sorted(p.name for p in folder.iterdir()) == sorted(f"{s}.{x}" for s in SPLITS for x in ("de", "en"))


def test_counts(corpus: Dict[str, List[Pair]]) -> None:
    assert {split: len(corpus[split]) for split in SPLITS} == {"train": 20000, "valid": 500, "test": 500}


def test_no_sentence_twice_and_none_in_two_splits(corpus: Dict[str, List[Pair]], pairs: List[Pair]) -> None:
    assert len({pair.de for pair in pairs}) == len(pairs)
    for language in (0, 1):
        sides = [{pair[language] for pair in corpus[split]} for split in SPLITS]
        assert not sides[0] & sides[1]
        assert not sides[0] & sides[2]
        assert not sides[1] & sides[2]


def test_seed_and_sizes() -> None:
    small = generate(1, {"test": 20, "valid": 10, "train": 50})
    assert small == generate(1, {"test": 20, "valid": 10, "train": 50})
    assert small["train"] != generate(2, {"test": 20, "valid": 10, "train": 50})["train"]
    # Held-out sets do not move when the training set grows.
    larger = generate(1, {"test": 20, "valid": 10, "train": 200})
    assert (larger["test"], larger["valid"], larger["train"][:50]) == (small["test"], small["valid"], small["train"])


def test_command_refuses_bad_sizes_and_places(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for bad in ("0", "-3", "many", "1000001"):
        with pytest.raises(SystemExit) as stop:
            cli.main(["toy-corpus", "--out", str(tmp_path / "x"), "--train", bad])
        assert stop.value.code == 2
    (tmp_path / "file").write_text("")
    assert cli.main(["toy-corpus", "--out", str(tmp_path / "file"), "--train", "5", "--valid", "5", "--test", "5"]) == 1
    assert "choose another --out" in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file"]


# ------------------------------------------------------------------ the surface


def test_surface(pairs: List[Pair]) -> None:
    german_line = re.compile(r"[A-ZÄÖÜ][A-Za-zÄÖÜäöüß]*(,? [A-Za-zÄÖÜäöüß]+)*[.?]")
    english_line = re.compile(r"[A-Z][a-z]*(,? [A-Za-z]+)*[.?]")
    for pair in pairs:
        assert german_line.fullmatch(pair.de), pair
        assert english_line.fullmatch(pair.en), pair
        assert pair.de[-1] == pair.en[-1]


def test_vocabulary_is_closed(corpus: Dict[str, List[Pair]]) -> None:
    def words(split: str, language: int) -> Set[str]:
        return {word.lower() for pair in corpus[split] for word in re.findall(r"\w+", pair[language])}

    assert 600 < len(words("train", 0)) < 700
    assert 250 < len(words("train", 1)) < 400
    for split in ("valid", "test"):
        assert len(words(split, 0) - words("train", 0)) <= 1
        assert not words(split, 1) - words("train", 1)


# ------------------------------------------------------------------ German word order

PREFIXES = ("auf", "ein", "an", "zurück", "ab", "zu", "mit", "weg", "nach", "vor")
QUESTION_WORDS = ("wer", "wen", "wem", "was", "wo", "wann", "warum")
CONJUNCTIONS = ("weil", "obwohl", "wenn", "dass", "ob")
RELATIVES = ("der", "die", "das", "den", "dem", "denen")

_full = {v.finite(person, plural) for v in VERBS for person in (1, 2, 3) for plural in (False, True)}
_helping = {
    *HABEN,
    *SEIN,
    *WAR,
    *(f for m in MODALS for f in (*m.sg, m.infinitive)),
    *(f for m in MATRIX for f in m[:4]),
}
FINITE = _full | _helping
FINITE_LAST = FINITE | {v.prefix + v.finite(p, plural) for v in VERBS for p in (1, 2, 3) for plural in (False, True)}

_noun_forms = "|".join(sorted({n.form(c, p) for n in NOUNS for c in ("nom", "acc", "dat") for p in (False, True)}))
_determiners = (
    r"(?:d(?:er|ie|as|en|em)|(?:dies|jed)e[mnrs]?|(?:ein|kein|mein|sein|unser)(?:e[mnr]?)?|vielen?|zwei|drei)"
)
_adjectives = "(?:" + "|".join(a.de.rstrip("e") for a in ADJECTIVES) + ")e[mnrs]?"
_phrase = rf"(?:{_determiners} )?(?:{_adjectives} )?(?:{_noun_forms})"
_times = "|".join(sorted({de for times in TIMES.values() for de, _ in times}, reverse=True))
_pronouns = "|".join(sorted({p.nom for p in PRONOUNS}))
FIRST = re.compile(rf"(?:{_pronouns}|{_times}|(?:(?:im|in|auf) )?{_phrase})\b", re.IGNORECASE)


def _main_clauses(sentence: str) -> List[Tuple[str, bool]]:
    """Main-clause pieces, each with whether something (a clause or a cut-off start) stands before its first word."""
    pieces = sentence.rstrip(".?").split(", ")
    pieces[0] = pieces[0][0].lower() + pieces[0][1:] if pieces[0].split()[0].lower() in CONJUNCTIONS else pieces[0]
    found = []
    for i, piece in enumerate(pieces):
        first = piece.split()[0]
        subordinate = first in CONJUNCTIONS or (i > 0 and first in RELATIVES)
        if not subordinate:
            found.append((piece, i > 0))
    return found


def test_every_main_clause_has_its_finite_verb_second(pairs: List[Pair]) -> None:
    checked = {"statement": 0, "question": 0, "wh": 0, "after": 0}
    for pair in pairs:
        for piece, continued in _main_clauses(pair.de):
            words = piece.split()
            if continued:
                # After a clause in first place, or a relative clause that belongs to the first place.
                checked["after"] += 1
                assert words[0] in FINITE, pair
            elif words[0].lower() in QUESTION_WORDS:
                checked["wh"] += 1
                assert words[1] in FINITE, pair
            elif pair.de.endswith("?"):
                checked["question"] += 1
                assert words[0].lower() in FINITE, pair
            else:
                first = FIRST.match(piece)
                assert first, pair
                rest = piece[first.end() :].split()
                checked["statement"] += 1
                # Nothing follows only where a relative clause splits the sentence right after its subject.
                assert rest[0] in FINITE if rest else ", " in pair.de, pair
    assert all(count > 1000 for count in checked.values()), checked


def test_every_subordinate_clause_ends_in_its_finite_verb(pairs: List[Pair]) -> None:
    checked = 0
    for pair in pairs:
        for i, piece in enumerate(pair.de.rstrip(".?").split(", ")):
            first = piece.split()[0]
            if first.lower() in CONJUNCTIONS or (i > 0 and first in RELATIVES):
                checked += 1
                assert piece.split()[-1] in FINITE_LAST, pair
    assert checked > 8000


def test_separable_prefixes_end_their_clause(pairs: List[Pair]) -> None:
    seen: Dict[str, int] = dict.fromkeys(PREFIXES, 0)
    for pair in pairs:
        for piece in pair.de.rstrip(".?").split(", "):
            words = piece.split()
            if words[-1] in PREFIXES:
                seen[words[-1]] += 1
                assert any(
                    w.lower()
                    in {
                        v.finite(p, n) for v in VERBS if v.prefix == words[-1] for p in (1, 2, 3) for n in (False, True)
                    }
                    for w in words[:-1]
                ), pair
            # These five are nothing but prefixes here, so they may stand nowhere else.
            assert not {"zurück", "ab", "weg", "nach", "zu"} & set(words[:-1]), pair
    assert all(count > 30 for count in seen.values()), seen


def test_participles_close_the_bracket(pairs: List[Pair]) -> None:
    participles = {v.participle for v in VERBS} - FINITE
    auxiliaries = {*HABEN, *SEIN}
    checked = 0
    for pair in pairs:
        for piece in pair.de.rstrip(".?").split(", "):
            words = piece.split()
            for word in participles & set(words):
                checked += 1
                # Last in a main clause; before the auxiliary in a subordinate one.
                assert word == (words[-2] if words[-1] in auxiliaries else words[-1]), pair
    assert checked > 5000


# ------------------------------------------------------------------ German agreement

# Determiner and adjective ending for each gender, as grammar books tabulate them (no genitive here).
_DER = {
    "m": {("der", "e"), ("den", "en"), ("dem", "en")},
    "f": {("die", "e"), ("der", "en")},
    "n": {("das", "e"), ("dem", "en")},
    "pl": {("die", "en"), ("den", "en")},
}
_DIESER = {
    "m": {("er", "e"), ("en", "en"), ("em", "en")},
    "f": {("e", "e"), ("er", "en")},
    "n": {("es", "e"), ("em", "en")},
    "pl": {("e", "en"), ("en", "en")},
}
_EIN = {
    "m": {("", "er"), ("en", "en"), ("em", "en")},
    "f": {("e", "e"), ("er", "en")},
    "n": {("", "es"), ("em", "en")},
    "pl": {("e", "en"), ("en", "en")},
}
ALLOWED: Dict[str, Set[Tuple[str, str]]] = {
    g: _DER[g]
    | {(stem + d, a) for stem in ("dies", "jed") for d, a in _DIESER[g] if (stem, g) != ("jed", "pl")}
    | {
        (stem + d, a)
        for stem in ("ein", "kein", "mein", "sein", "unser")
        for d, a in _EIN[g]
        if (stem, g) != ("ein", "pl")
    }
    for g in ("m", "f", "n", "pl")
}
ALLOWED["pl"] |= {("viele", "e"), ("vielen", "en"), ("zwei", "e"), ("zwei", "en"), ("drei", "e"), ("drei", "en")}
# A contraction holds the article.
for _gender in ("m", "n"):
    ALLOWED[_gender].add(("im", "en"))
ALLOWED["n"].add(("ins", "e"))


def test_determiner_adjective_and_noun_agree(pairs: List[Pair]) -> None:
    genders: Dict[str, Set[str]] = {}
    for noun in NOUNS:
        for case in ("nom", "acc", "dat"):
            genders.setdefault(noun.form(case, False), set()).add(noun.gender)
            genders.setdefault(noun.form(case, True), set()).add("pl")
    chunk = re.compile(rf"(?<!, )\b((?i:{_determiners}|im|ins)) (?:({_adjectives}) )?({_noun_forms})\b")
    stems = [a.de.rstrip("e") for a in ADJECTIVES]
    with_adjective = 0
    for pair in pairs:
        for det, adjective, noun in chunk.findall(pair.de):
            allowed = set().union(*(ALLOWED[g] for g in genders[noun]))
            if adjective:
                with_adjective += 1
                stem = next(s for s in sorted(stems, key=len, reverse=True) if adjective.startswith(s))
                assert (det.lower(), adjective[len(stem) :]) in allowed, pair
            else:
                assert det.lower() in {d for d, _ in allowed}, pair
    assert with_adjective > 8000


def test_finite_verb_agrees_with_a_pronoun_in_first_place(pairs: List[Pair]) -> None:
    checked = 0
    for pair in pairs:
        words = pair.de.rstrip(".?").split()
        if words[0] in ("Ich", "Du", "Er", "Wir"):
            checked += 1
            index = ("Ich", "Du", "Er", "Wir").index(words[0])
            verb = words[1].rstrip(",")
            forms = {(*(v.finite(p, False) for p in (1, 2, 3)), v.infinitive) for v in VERBS}
            forms |= {(*m.sg, m.infinitive) for m in MODALS} | {m[:4] for m in MATRIX} | {HABEN, SEIN, WAR}
            assert any(f[index] == verb for f in forms), pair
    assert checked > 1500


def test_dative_verbs_govern_the_dative(pairs: List[Pair]) -> None:
    """Masculine singulars show their case: beside these verbs there is a nominative or a dative, no accusative."""
    accusative = re.compile(
        r"\b(?:den|einen|meinen|diesen|unseren|seinen|jeden) (?:\w+en )?(?:Mann|Lehrer|Gast|Hund)\b"
    )
    dative = re.compile(r"\b(?:dem|einem|meinem|diesem|unserem|seinem|jedem) (?:\w+en )?(?:Mann|Lehrer|Gast|Hund)\b")
    found = 0
    for pair in pairs:
        if (
            re.search(r"\b(geholfen|gedankt|geantwortet|gefolgt|zugehört|nachgelaufen)\b", pair.de)
            and "," not in pair.de
        ):
            found += dative.search(pair.de) is not None
            assert not accusative.search(pair.de), pair
    assert found > 20


# ------------------------------------------------------------------ English


def test_english_articles_and_agreement(pairs: List[Pair]) -> None:
    base = {v.en.split("~")[0].split()[0] for v in VERBS}
    past = {v.en_past.split("~")[0].split()[0] for v in VERBS}
    for pair in pairs:
        assert not re.search(r"\b[Aa] [aeiou]", pair.en), pair
        assert not re.search(r"\b[Aa]n [^aeiou]", pair.en), pair
        for verb in re.findall(r"\b(?:does|did|can|should|do) not (\w+)", pair.en):
            assert verb in base | {"have", "want", "know"}, pair
        if pair.en.endswith("."):
            # In a question the verb after the pronoun is a bare infinitive.
            for verb in re.findall(r"\b(?:[Hh]e|[Ss]he) (\w+)", pair.en):
                assert verb not in (base - past) | {"do", "have", "are", "were", "want"}, pair
            for verb in re.findall(r"\b(?:[Tt]hey|[Ww]e) (\w+)", pair.en):
                assert verb not in {"does", "has", "is", "was", "wants"}, pair


# ------------------------------------------------------------------ single sentences, proof-read


def _noun(word: str) -> Noun:
    return next(n for n in NOUNS if n.sg == word)


def _verb(infinitive: str) -> Verb:
    return next(v for v in VERBS if v.prefix + v.infinitive == infinitive)


def _adjective(word: str) -> Adjective:
    return next(a for a in ADJECTIVES if a.de == word)


def _modal(infinitive: str) -> Modal:
    return next(m for m in MODALS if m.infinitive == infinitive)


def _np(word: str, determiner: str = "der", adjective: str = "", plural: bool = False) -> NounPhrase:
    return NounPhrase(_noun(word), determiner, _adjective(adjective) if adjective else None, plural)


_MANN, _FRAU, _KIND = _np("Mann"), _np("Frau"), _np("Kind")
_PAST, _TODAY = ("gestern", "yesterday"), ("heute", "today")

SENTENCES = [
    # (clause, German order, German front, English order, German, English)
    (
        Clause(_MANN, _verb("sehen"), objects=(_np("Hund", "ein", "klein"),)),
        "main",
        "subject",
        "main",
        "der Mann sieht einen kleinen Hund",
        "the man sees a small dog",
    ),
    (
        Clause(_FRAU, _verb("sehen"), objects=(_np("Hund"),)),
        "main",
        "acc",
        "main",
        "den Hund sieht die Frau",
        "the woman sees the dog",
    ),
    (
        Clause(ER, _verb("anrufen"), objects=(_np("Ärztin", "mein"),), time=("jeden Tag", "every day")),
        "main",
        "time",
        "main",
        "jeden Tag ruft er meine Ärztin an",
        "every day he calls my doctor",
    ),
    (Clause(ER, _verb("anrufen"), objects=(ICH,)), "sub", "subject", "main", "er mich anruft", "he calls me"),
    (Clause(SIE, _verb("abholen"), objects=(WIR,)), "main", "subject", "main", "sie holt uns ab", "she picks us up"),
    (
        Clause(SIE_ALLE, _verb("abholen"), objects=(_np("Junge"),)),
        "main",
        "subject",
        "main",
        "sie holen den Jungen ab",
        "they pick up the boy",
    ),
    (
        Clause(_KIND, _verb("einschlafen"), tense="past", time=_PAST),
        "main",
        "subject",
        "main",
        "das Kind ist gestern eingeschlafen",
        "the child fell asleep yesterday",
    ),
    (
        Clause(_KIND, _verb("einschlafen"), tense="past"),
        "sub",
        "subject",
        "main",
        "das Kind eingeschlafen ist",
        "the child fell asleep",
    ),
    (
        Clause(DU, _verb("aufstehen"), tense="modal", modal=_modal("müssen")),
        "main",
        "subject",
        "main",
        "du musst aufstehen",
        "you have to get up",
    ),
    (
        Clause(ER, _verb("aufstehen"), tense="modal", modal=_modal("müssen"), negated=True, time=_TODAY),
        "main",
        "time",
        "main",
        "heute muss er nicht aufstehen",
        "today he does not have to get up",
    ),
    (
        Clause(
            ER, _verb("lesen"), tense="modal", modal=_modal("dürfen"), objects=(_np("Brief", "kein"),), negated=True
        ),
        "main",
        "subject",
        "main",
        "er darf keinen Brief lesen",
        "he is not allowed to read a letter",
    ),
    (
        Clause(WIR, _verb("kaufen"), objects=(_np("Ei", "kein", "", True),), negated=True),
        "main",
        "subject",
        "main",
        "wir kaufen keine Eier",
        "we do not buy any eggs",
    ),
    (
        Clause(_MANN, _verb("geben"), objects=(_KIND, _np("Apfel", "ein", "rot"))),
        "main",
        "subject",
        "main",
        "der Mann gibt dem Kind einen roten Apfel",
        "the man gives a red apple to the child",
    ),
    (
        Clause(_np("Freund", "mein", "alt", True), _verb("helfen"), objects=(_np("Gast", "unser", "", True),)),
        "main",
        "dat",
        "main",
        "unseren Gästen helfen meine alten Freunde",
        "my old friends help our guests",
    ),
    (
        Clause(ICH, _verb("zuhören"), objects=(SIE,), negated=True),
        "main",
        "subject",
        "main",
        "ich höre ihr nicht zu",
        "I do not listen to her",
    ),
    (
        Clause(_np("Hund"), _verb("nachlaufen"), objects=(DU,)),
        "main",
        "subject",
        "main",
        "der Hund läuft dir nach",
        "the dog runs after you",
    ),
    (
        Clause(_MANN, _verb("gehen"), objects=(_np("Haus", "der", "neu"),), negated=True),
        "main",
        "subject",
        "main",
        "der Mann geht nicht ins neue Haus",
        "the man does not go into the new house",
    ),
    (
        Clause(_MANN, _verb("zurückgehen"), objects=(_np("Stadt"),)),
        "main",
        "subject",
        "main",
        "der Mann geht in die Stadt zurück",
        "the man goes back into the city",
    ),
    (
        Clause(_KIND, _verb("spielen"), objects=(_np("Katze"),), place=_np("Garten", "der", "schön")),
        "main",
        "place",
        "main",
        "im schönen Garten spielt das Kind mit der Katze",
        "in the beautiful garden the child plays with the cat",
    ),
    (
        Clause(_FRAU, _verb("schlafen"), frequency=("oft", "often")),
        "main",
        "subject",
        "main",
        "die Frau schläft oft",
        "the woman often sleeps",
    ),
    (
        Clause(_FRAU, _verb("waschen"), objects=(_np("Auto"),)),
        "question",
        "subject",
        "question",
        "wäscht die Frau das Auto",
        "does the woman wash the car",
    ),
    (
        Clause(_FRAU, _verb("suchen"), tense="past", objects=(_np("Uhr"),)),
        "question",
        "subject",
        "question",
        "hat die Frau die Uhr gesucht",
        "did the woman look for the watch",
    ),
    (
        Clause(DU, _verb("aufräumen"), tense="modal", modal=_modal("wollen"), objects=(_np("Küche"),)),
        "question",
        "subject",
        "question",
        "willst du die Küche aufräumen",
        "do you want to tidy up the kitchen",
    ),
    (
        Clause(_np("Nachbarin", "dieser"), adjective=_adjective("müde"), negated=True),
        "main",
        "subject",
        "main",
        "diese Nachbarin ist nicht müde",
        "this neighbour is not tired",
    ),
    (
        Clause(SIE_ALLE, adjective=_adjective("krank"), tense="past"),
        "sub",
        "subject",
        "main",
        "sie krank waren",
        "they were sick",
    ),
    (
        Clause(replace(_MANN, relative=Clause(_MANN, _verb("anrufen"), objects=(_FRAU,))), _verb("lachen")),
        "main",
        "subject",
        "main",
        "der Mann, der die Frau anruft, lacht",
        "the man who calls the woman laughs",
    ),
    (
        Clause(
            replace(_np("Hund"), relative=Clause(ICH, _verb("sehen"), objects=(_np("Hund"),)), gap="acc"),
            _verb("schlafen"),
        ),
        "main",
        "subject",
        "main",
        "der Hund, den ich sehe, schläft",
        "the dog that I see sleeps",
    ),
    (
        Clause(
            replace(_np("Kind", plural=True), relative=Clause(_FRAU, _verb("helfen"), objects=(_KIND,)), gap="dat"),
            _verb("singen"),
        ),
        "main",
        "subject",
        "main",
        "die Kinder, denen die Frau hilft, singen",
        "the children whom the woman helps sing",
    ),
]


@pytest.mark.parametrize("case", SENTENCES, ids=[case[4] for case in SENTENCES])
def test_proof_read_sentence(case: Tuple[Clause, str, str, str, str, str]) -> None:
    clause, order, front, en_order, de, en = case
    assert german(clause, order, front) == de
    assert english(clause, en_order, front) == en


def test_question_words() -> None:
    clause = Clause(_FRAU, _verb("suchen"), objects=(_MANN,))
    assert german(clause, front="wen", gap="acc") == "wen sucht die Frau"
    assert english(clause, "question", gap="acc", word="whom") == "whom does the woman look for"
    who = Clause(replace(ER, nom="wer", en="who"), _verb("zumachen"), tense="past", objects=(_np("Tür"),))
    assert german(who, front="wer", gap="subject") == "wer hat die Tür zugemacht"
    assert english(who, "question", gap="subject", word="who") == "who closed the door"
