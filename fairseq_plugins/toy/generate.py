"""Draws sentence pairs from the grammar; the same seed gives the same corpus on every machine and Python."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache
from typing import Callable, Dict, FrozenSet, List, NamedTuple, Optional, Sequence, Set, Tuple, TypeVar

from fairseq_plugins.toy.grammar import (
    Clause,
    NounPhrase,
    Phrase,
    english,
    english_phrase,
    german,
    german_phrase,
    roles,
)
from fairseq_plugins.toy.lexicon import (
    ADJECTIVES,
    CONJUNCTIONS,
    ER,
    FREQUENCIES,
    GROUPS,
    ICH,
    MATRIX,
    MODALS,
    NOUNS,
    PRONOUNS,
    SIE,
    SIE_ALLE,
    TIMES,
    VERBS,
    Adjective,
    Argument,
    Noun,
    Pronoun,
    Verb,
)

T = TypeVar("T")

DEFINITE = (("der", 6), ("dieser", 2), ("mein", 2), ("unser", 1))
SINGULAR = (("der", 8), ("ein", 5), ("dieser", 2), ("mein", 2), ("unser", 1), ("sein", 1), ("jeder", 1))
PLURAL = (("der", 8), ("dieser", 2), ("mein", 2), ("unser", 1), ("sein", 1), ("viele", 2), ("zwei", 2), ("drei", 1))
POSSESSIVES = ("mein", "unser", "sein")
_HUMAN = frozenset(("person",))
_ADULT = frozenset(("person", "adult"))
_ALIVE = GROUPS["alive"]


@cache
def _nouns_with(tags: FrozenSet[str]) -> Tuple[Noun, ...]:
    return tuple(noun for noun in NOUNS if noun.tags & tags)


@cache
def _verbs_for(subject: FrozenSet[str], complements: int) -> Tuple[Verb, ...]:
    verbs = tuple(verb for verb in VERBS if verb.subject & subject)
    return tuple(verb for verb in verbs if len(verb.arguments) == complements) or verbs


@cache
def _adjectives_for(tags: FrozenSet[str]) -> Tuple[Adjective, ...]:
    return tuple(adjective for adjective in ADJECTIVES if adjective.tags & tags)


class Pair(NamedTuple):
    """A sentence in both languages."""

    de: str
    en: str


class Generator:
    """Draws sentence pairs; every choice is an index made from ``Random.random()``, which Python keeps stable."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def sentence(self) -> Pair:
        """One sentence pair of a random kind."""
        while True:
            pair = self._draft()
            if pair is not None:
                return pair

    def _draft(self) -> Optional[Pair]:
        """A pair of a random kind, or None where the words drawn do not go together."""
        kinds: Tuple[Tuple[Callable[[], Optional[Pair]], int], ...] = (
            (self._statement, 9),
            (self._negated, 4),
            (self._question, 3),
            (self._wh_question, 4),
            (self._relative_subject, 3),
            (self._relative_object, 2),
            (self._complex, 5),
            (self._reported, 4),
            (self._copula_sentence, 1),
        )
        return self._weighted(kinds)()

    # -------------------------------------------------------------- chance

    def _chance(self, probability: float) -> bool:
        return self._random.random() < probability

    def _one(self, items: Sequence[T]) -> T:
        return items[int(self._random.random() * len(items))]

    def _weighted(self, items: Sequence[Tuple[T, int]]) -> T:
        at = self._random.random() * sum(weight for _, weight in items)
        for item, weight in items:
            at -= weight
            if at < 0:
                return item
        return items[-1][0]

    # -------------------------------------------------------------- phrases

    def _noun(self, tags: FrozenSet[str], used: Set[Noun]) -> Noun:
        noun = self._one([noun for noun in _nouns_with(tags) if noun not in used])
        used.add(noun)
        return noun

    def _phrase(
        self,
        tags: FrozenSet[str],
        used: Set[Noun],
        definite: bool = False,
        plural: Optional[bool] = None,
        bare: bool = False,
        adjective: float = 0.35,
    ) -> NounPhrase:
        noun = self._noun(tags, used)
        plural = self._chance(0.3) if plural is None else plural
        if definite:
            choices: Sequence[Tuple[str, int]] = DEFINITE
        elif plural:
            choices = (*PLURAL, ("", 3)) if bare else PLURAL
        else:
            choices = SINGULAR
        allowed = [choice for choice in choices if "own" in noun.tags or choice[0] not in POSSESSIVES]
        fitting = _adjectives_for(noun.tags)
        return NounPhrase(
            noun, self._weighted(allowed), self._one(fitting) if self._chance(adjective) else None, plural
        )

    def _subject(self, tags: FrozenSet[str], used: Set[Noun], definite: bool = False, pronoun: float = 0.3) -> Phrase:
        if self._chance(pronoun):
            return self._one(PRONOUNS)
        return self._phrase(tags, used, definite)

    def _object(self, argument: Argument, subject: Phrase, used: Set[Noun], definite: bool) -> Phrase:
        if "person" in argument.tags and self._chance(0.25):
            return self._one([p for p in PRONOUNS if german_phrase(p, argument.case) and not _reflexive(subject, p)])
        bare = argument.case == "acc" and not argument.de
        # One goes into one house at a time.
        plural = False if "place" in argument.tags else None
        return self._phrase(argument.tags, used, definite, plural, bare=bare)

    def _place(self, used: Set[Noun]) -> NounPhrase:
        tags = frozenset(("place", "spot"))
        phrase = self._phrase(tags, used, definite=True, plural=False, adjective=0.2)
        return replace(phrase, determiner="der") if self._chance(0.6) else phrase

    # -------------------------------------------------------------- clauses

    def _verb(self, subject: FrozenSet[str] = _ALIVE) -> Verb:
        """A verb that nouns with one of these tags can be the subject of; most take one complement."""
        return self._one(_verbs_for(subject, self._weighted(((0, 2), (1, 6), (2, 2)))))

    def _clause(
        self,
        subject: Optional[Phrase] = None,
        verb: Optional[Verb] = None,
        negated: bool = False,
        tense: str = "",
        adverbials: float = 1.0,
        pronoun: float = 0.3,
    ) -> Clause:
        verb = verb or self._verb()
        used: Set[Noun] = {subject.noun} if isinstance(subject, NounPhrase) else set()
        subject = subject or self._subject(verb.subject, used, negated, pronoun)
        objects: List[Phrase] = []
        for argument in verb.arguments:
            phrase = self._object(argument, subject, used, negated)
            if objects and isinstance(phrase, Pronoun):
                phrase = self._phrase(argument.tags, used, negated)
            objects.append(phrase)
        tense = tense or self._weighted((("present", 5), ("past", 4), ("modal", 3)))
        clause = Clause(
            subject,
            verb,
            tense=tense,
            modal=self._one(MODALS) if tense == "modal" else None,
            objects=tuple(objects),
            negated=negated,
        )
        if negated:
            clause = self._with_kein(clause)
        if self._chance(0.5 * adverbials) and not (negated and tense == "present"):
            if tense == "present" and self._chance(0.4):
                clause = replace(clause, frequency=self._one(FREQUENCIES))
            else:
                clause = replace(clause, time=self._one(TIMES[tense]))
        if not negated and verb.local and self._chance(0.3 * adverbials):
            clause = replace(clause, place=self._place(used))
        return clause

    def _with_kein(self, clause: Clause) -> Clause:
        """Sometimes negate the accusative object instead of the verb."""
        if "acc" not in roles(clause) or not self._chance(0.4):
            return clause
        at = roles(clause).index("acc")
        phrase = clause.objects[at]
        if isinstance(phrase, Pronoun):
            return clause
        objects = list(clause.objects)
        objects[at] = replace(phrase, determiner="kein")
        return replace(clause, objects=tuple(objects))

    def _copula(self, subject: Optional[Phrase] = None, tense: str = "", negated: bool = False) -> Clause:
        if subject is None:
            tags = _ALIVE if self._chance(0.6) else frozenset(("thing", "food", "place"))
            subject = (
                self._one(PRONOUNS)
                if tags == _ALIVE and self._chance(0.3)
                else self._phrase(tags, set(), definite=True, adjective=0)
            )
        tags = _ADULT if isinstance(subject, Pronoun) else subject.noun.tags
        adjective = self._one(_adjectives_for(tags))
        return Clause(subject, adjective=adjective, tense=tense or self._one(("present", "past")), negated=negated)

    # -------------------------------------------------------------- sentences

    def _statement(self) -> Pair:
        clause = self._clause()
        fronts = [("subject", 4)]
        if clause.time:
            fronts.append(("time", 4))
        if clause.place:
            fronts.append(("place", 2))
        fronts += [(role, 5) for role in _frontable(clause)]
        front = self._weighted(fronts)
        return _finish(german(clause, front=front), english(clause, front=front))

    def _negated(self) -> Pair:
        clause = self._clause(negated=True)
        front = "time" if clause.time and self._chance(0.4) else "subject"
        return _finish(german(clause, front=front), english(clause, front=front))

    def _question(self) -> Optional[Pair]:
        clause = self._question_clause()
        if clause is None:
            return None
        return _finish(german(clause, "question"), english(clause, "question"), "?")

    def _question_clause(self) -> Optional[Clause]:
        clause = self._clause(adverbials=0.6)
        return None if clause.subject is ICH or clause.frequency else clause

    def _wh_question(self) -> Optional[Pair]:
        clause = self._question_clause()
        if clause is None:
            return None
        choices: List[Tuple[str, str, str]] = [("warum", "why", "")]
        if clause.verb is not None and "person" in clause.verb.subject and clause.subject not in PRONOUNS:
            choices.append(("wer", "who", "subject"))
        for role, (argument, phrase) in zip(roles(clause), clause.complements()):
            if role == "prep" or isinstance(phrase, Pronoun):
                continue
            if role == "dat" and not argument.en:
                choices.append(("wem", "whom", "dat"))
            elif role == "acc" and "person" in phrase.noun.tags:
                choices.append(("wen", "whom", "acc"))
            elif role == "acc" and "animal" not in phrase.noun.tags and len(clause.objects) == 1:
                choices.append(("was", "what", "acc"))
        if not clause.place and clause.verb is not None and clause.verb.local:
            choices.append(("wo", "where", "place"))
        if not clause.time:
            choices.append(("wann", "when", "time"))
        de, en, gap = self._one(choices)
        if gap == "subject":
            # The question word is a third person singular, whatever the subject was.
            clause = replace(clause, subject=replace(ER, nom="wer", en="who"))
        return _finish(
            german(clause, front=de, gap=gap or "reason"), english(clause, "question", gap=gap, word=en), "?"
        )

    def _relative(self, phrase: NounPhrase) -> NounPhrase:
        """Attach a relative clause in which the phrase is subject or object."""
        bare = replace(phrase, relative=None)
        if phrase.noun.tags & _ALIVE and self._chance(0.5):
            verb = self._verb(phrase.noun.tags)
            return replace(phrase, relative=self._clause(bare, verb, adverbials=0.5), gap="subject")
        for _ in range(20):
            verb = self._one([v for v in VERBS if len(v.arguments) == 1 and not v.arguments[0].de])
            argument = verb.arguments[0]
            if not argument.tags & phrase.noun.tags:
                continue
            used = {phrase.noun}
            subject = self._subject(verb.subject, used, pronoun=0.4)
            clause = replace(self._clause(subject, verb, adverbials=0.3), objects=(bare,))
            if _told_apart(subject, bare, argument.case):
                return replace(phrase, relative=clause, gap=argument.case)
        return phrase

    def _relative_subject(self) -> Optional[Pair]:
        verb = self._verb()
        subject = self._relative(self._phrase(verb.subject, set()))
        if subject.relative is None:
            return None
        clause = self._clause(subject, verb, adverbials=0.5)
        if _nouns(clause, skip_subject=True) & _nouns(subject.relative):
            return None
        return _finish(german(clause), english(clause))

    def _relative_object(self) -> Optional[Pair]:
        verbs = [v for v in VERBS if len(v.arguments) == 1 and not v.arguments[0].de and not v.prefix]
        clause = self._clause(verb=self._one(verbs), tense="present", adverbials=0)
        phrase = clause.objects[0]
        if isinstance(phrase, Pronoun) or phrase.determiner == "jeder":
            return None
        phrase = self._relative(phrase)
        if phrase.relative is None or _nouns(clause) & (_nouns(phrase.relative) - {phrase.noun}):
            return None
        clause = replace(clause, objects=(phrase,))
        return _finish(german(clause), english(clause))

    def _complex(self) -> Optional[Pair]:
        de, en = self._one(CONJUNCTIONS)
        tense = "present" if de == "wenn" else self._one(("present", "past", "modal"))
        main = self._clause(tense=tense, adverbials=0.5)
        if de == "wenn" and main.time:
            main = replace(main, time=None)
        subject = self._same(main.subject)
        if subject is not None and self._chance(0.25):
            sub = self._copula(subject, "past" if tense == "past" else "present")
        elif subject is not None and self._chance(0.4):
            verb = self._verb(_HUMAN)
            sub = self._clause(subject, verb, tense=tense, adverbials=0.3)
        else:
            verb = self._verb()
            used = _nouns(main)
            sub = self._clause(self._subject(verb.subject, used), verb, tense=tense, adverbials=0.3)
        if sub.time:
            sub = replace(sub, time=None)
        if _nouns(main) & _nouns(sub):
            return None
        if self._chance(0.5):
            german_main = german(main, "question")  # the subordinate clause takes the first place
            return _finish(f"{de} {german(sub, 'sub')}, {german_main}", f"{en} {english(sub)}, {english(main)}")
        return _finish(f"{german(main)}, {de} {german(sub, 'sub')}", f"{english(main)} {en} {english(sub)}")

    def _same(self, phrase: Phrase) -> Optional[Pronoun]:
        """The pronoun that takes up a subject in the next clause, where German and English agree on it."""
        if isinstance(phrase, Pronoun):
            return phrase
        if "person" not in phrase.noun.tags or phrase.determiner == "jeder":
            return None
        if phrase.plural:
            return SIE_ALLE
        return {"m": ER, "f": SIE}.get(phrase.noun.gender)

    def _reported(self) -> Optional[Pair]:
        matrix = self._one(MATRIX)
        used: Set[Noun] = set()
        subject = self._subject(_HUMAN, used, definite=True)
        index = 3 if subject.plural else subject.person - 1
        conjunction = matrix[5]
        negated = matrix[4] == "know" and conjunction == "ob"
        third = subject.person == 3 and not subject.plural
        verb = f"{'does' if third else 'do'} not know" if negated else matrix[4] + ("s" if third else "")
        sub = self._copula() if self._chance(0.2) else self._clause(negated=self._chance(0.15), adverbials=0.6)
        if used & _nouns(sub):
            return None
        de = f"{german_phrase(subject, 'nom')} {matrix[index]}{' nicht' if negated else ''}"
        en_conjunction = "that" if conjunction == "dass" else "whether"
        return _finish(
            f"{de}, {conjunction} {german(sub, 'sub')}",
            f"{english_phrase(subject, 'subject')} {verb} {en_conjunction} {english(sub)}",
        )

    def _copula_sentence(self) -> Pair:
        clause = self._copula(negated=self._chance(0.3))
        if clause.tense == "past" and self._chance(0.5):
            clause = replace(clause, time=self._one(TIMES["past"]))
        if self._chance(0.25) and clause.subject is not ICH:
            return _finish(german(clause, "question"), english(clause, "question"), "?")
        front = "time" if clause.time and self._chance(0.5) else "subject"
        return _finish(german(clause, front=front), english(clause, front=front))


def _reflexive(subject: Phrase, pronoun: Pronoun) -> bool:
    """Whether subject and object would name the same person ("ich ... mich", "wir ... mich")."""
    return subject.person == pronoun.person and subject.person != 3


def _nouns(clause: Clause, skip_subject: bool = False) -> Set[Noun]:
    phrases = [*clause.objects, *([] if skip_subject else [clause.subject]), *([clause.place] if clause.place else [])]
    return {phrase.noun for phrase in phrases if isinstance(phrase, NounPhrase)}


def _told_apart(subject: Phrase, phrase: NounPhrase, case: str) -> bool:
    """Whether form or number alone shows which of the two is the subject, whatever their order."""
    if case == "dat" or subject.plural != phrase.plural:
        return True
    if isinstance(subject, Pronoun) and subject.nom != "sie":
        return True
    object_shows = german_phrase(phrase, "nom") != german_phrase(phrase, "acc")
    if isinstance(subject, Pronoun):
        return object_shows
    bare = replace(subject, relative=None)
    return object_shows or german_phrase(bare, "nom") != german_phrase(bare, "acc")


def _frontable(clause: Clause) -> List[str]:
    """Objects that may stand first without being taken for the subject."""
    found = []
    for role, (argument, phrase) in zip(roles(clause), clause.complements()):
        plain = isinstance(phrase, NounPhrase) and phrase.determiner in {name for name, _ in DEFINITE}
        if plain and role != "prep" and _told_apart(clause.subject, phrase, argument.case):  # type: ignore[arg-type]
            found.append(role)
    return found


def _finish(de: str, en: str, end: str = ".") -> Pair:
    # A relative clause at the end of the sentence or before another comma needs no comma of its own.
    de = de.rstrip(",").replace(",,", ",")
    return Pair(de[0].upper() + de[1:] + end, en[0].upper() + en[1:] + end)


def generate(seed: int, sizes: Dict[str, int]) -> Dict[str, List[Pair]]:
    """Splits of the wanted sizes; no sentence of either language stands in two splits, and no pair twice.

    Raises:
        ValueError: if the grammar cannot yield so many.
    """
    generator = Generator(seed)
    splits: Dict[str, List[Pair]] = {}
    seen: Set[str] = set()
    elsewhere: Set[str] = set()
    for name, size in sizes.items():
        pairs: List[Pair] = []
        misses = 0
        while len(pairs) < size:
            pair = generator.sentence()
            # Two German orders of one clause share their English: fine inside a split, a leak across splits.
            if pair.de in seen or pair.en in elsewhere:
                misses += 1
                if misses > 1000:
                    raise ValueError(f"the grammar yields no {size} new sentences for {name}; ask for fewer")
                continue
            misses = 0
            seen.add(pair.de)
            pairs.append(pair)
        elsewhere.update(pair.en for pair in pairs)
        splits[name] = pairs
    return splits
