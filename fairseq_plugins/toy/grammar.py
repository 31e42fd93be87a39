"""One clause, two word orders: structures of the toy corpus and how German and English put them into words.

A :class:`Clause` holds who does what to whom, with tense, negation and adverbials; :func:`german` and
:func:`english` are independent of each other, so what a model has to learn is what they differ in.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, Optional, Sequence, Tuple, Union

from fairseq_plugins.toy.lexicon import DETERMINERS, HABEN, SEIN, WAR, Adjective, Argument, Modal, Noun, Pronoun, Verb

_DER = {
    "m": {"nom": "der", "acc": "den", "dat": "dem"},
    "f": {"nom": "die", "acc": "die", "dat": "der"},
    "n": {"nom": "das", "acc": "das", "dat": "dem"},
    "pl": {"nom": "die", "acc": "die", "dat": "den"},
}
# The strong endings: of determiners like dieser, and of adjectives that no determiner precedes.
_STRONG = {
    "m": {"nom": "er", "acc": "en", "dat": "em"},
    "f": {"nom": "e", "acc": "e", "dat": "er"},
    "n": {"nom": "es", "acc": "es", "dat": "em"},
    "pl": {"nom": "e", "acc": "e", "dat": "en"},
}
_CONTRACTIONS = {"in dem": "im", "in das": "ins"}


@dataclass(frozen=True)
class NounPhrase:
    """Determiner, adjective, noun; ``relative`` is a clause in which the phrase fills the role ``gap``."""

    noun: Noun
    determiner: str = "der"
    adjective: Optional[Adjective] = None
    plural: bool = False
    relative: Optional[Clause] = None
    gap: str = "subject"

    person = 3


Phrase = Union[NounPhrase, Pronoun]


@dataclass(frozen=True)
class Clause:
    """A predicate with its subject and complements; ``adjective`` instead of ``verb`` makes it a copula clause."""

    subject: Phrase
    verb: Optional[Verb] = None
    adjective: Optional[Adjective] = None
    tense: str = "present"
    modal: Optional[Modal] = None
    objects: Tuple[Phrase, ...] = ()
    negated: bool = False
    time: Optional[Tuple[str, str]] = None
    frequency: Optional[Tuple[str, str]] = None
    place: Optional[NounPhrase] = None

    def complements(self) -> List[Tuple[Argument, Phrase]]:
        """The verb's arguments with what fills them."""
        return list(zip(self.verb.arguments, self.objects)) if self.verb else []


@dataclass
class _Words:
    """The parts of a German clause before they are put in order."""

    finite: str
    prefix: str = ""
    final: List[str] = field(default_factory=list)


# ------------------------------------------------------------------ German


def _gender(phrase: NounPhrase) -> str:
    return "pl" if phrase.plural else phrase.noun.gender


def determiner(name: str, gender: str, case: str) -> str:
    """The inflected German determiner; ``gender`` is m, f, n or pl."""
    if name == "der":
        return _DER[gender][case]
    ending = _STRONG[gender][case]
    if name in ("dieser", "jeder"):
        return name[:-2] + ending
    if name == "viele":
        return name[:-1] + ending
    if name in ("zwei", "drei", ""):
        return name
    bare = (gender, case) in (("m", "nom"), ("n", "nom"), ("n", "acc"))
    return name if bare else name + ending


def adjective_ending(name: str, gender: str, case: str) -> str:
    """The ending of an adjective after this determiner: weak, mixed or strong declension."""
    declension = DETERMINERS[name][2]
    if declension == "strong":
        return _STRONG[gender][case]
    if declension == "mixed" and gender != "pl" and (case == "nom" or (case == "acc" and gender != "m")):
        return _STRONG[gender][case]
    if gender != "pl" and (case == "nom" or (case == "acc" and gender != "m")):
        return "e"
    return "en"


def german_phrase(phrase: Phrase, case: str) -> str:
    """A noun phrase or pronoun in a case, with its relative clause."""
    if isinstance(phrase, Pronoun):
        return {"nom": phrase.nom, "acc": phrase.acc, "dat": phrase.dat}[case]
    gender = _gender(phrase)
    words = [determiner(phrase.determiner, gender, case)]
    if phrase.adjective:
        words.append(phrase.adjective.form(adjective_ending(phrase.determiner, gender, case)))
    words.append(phrase.noun.form(case, phrase.plural))
    text = " ".join(word for word in words if word)
    if phrase.relative is not None:
        text += f", {german(phrase.relative, 'relative', gap=phrase.gap, antecedent=phrase)},"
    return text


def _german_prepositional(preposition: str, phrase: Phrase, case: str) -> str:
    text = f"{preposition} {german_phrase(phrase, case)}"
    for full, short in _CONTRACTIONS.items():
        if isinstance(phrase, NounPhrase) and phrase.determiner == "der" and text.startswith(full + " "):
            return short + text[len(full) :]
    return text


def german_place(place: NounPhrase) -> str:
    """The adverbial "at this place"."""
    return _german_prepositional(place.noun.at[0], place, "dat")


def relative_pronoun(antecedent: NounPhrase, case: str) -> str:
    """der, die, das, den, dem, denen."""
    gender = _gender(antecedent)
    return "denen" if (gender, case) == ("pl", "dat") else _DER[gender][case]


def _pick(forms: Sequence[str], phrase: Phrase) -> str:
    return forms[3] if phrase.plural else forms[phrase.person - 1]


def _predicate(clause: Clause) -> _Words:
    if clause.verb is None:
        assert clause.adjective is not None
        return _Words(_pick(WAR if clause.tense == "past" else SEIN, clause.subject), final=[clause.adjective.de])
    verb = clause.verb
    if clause.modal:
        finite = clause.modal.finite(clause.subject.person, clause.subject.plural)
        return _Words(finite, final=[verb.prefix + verb.infinitive])
    if clause.tense == "past":
        auxiliary = SEIN if verb.auxiliary == "sein" else HABEN
        return _Words(_pick(auxiliary, clause.subject), final=[verb.participle])
    return _Words(verb.finite(clause.subject.person, clause.subject.plural), prefix=verb.prefix)


def roles(clause: Clause) -> List[str]:
    """Names of the complements: ``acc``, ``dat`` or, with a preposition, ``prep``."""
    return ["prep" if argument.de else argument.case for argument, _ in clause.complements()]


def german(
    clause: Clause, order: str = "main", front: str = "subject", gap: str = "", antecedent: Optional[NounPhrase] = None
) -> str:
    """The German clause.

    Args:
        clause: what to say.
        order: ``main`` (finite verb second), ``question`` (finite verb first), ``sub`` or ``relative`` (last).
        front: what stands before the finite verb of a main clause: subject, time, place, acc, dat, or a question
            word, which stands for ``gap``.
        gap: the role that a question word or relative pronoun fills.
        antecedent: the phrase that a relative pronoun refers to.
    """
    words = _predicate(clause)
    parts: Dict[str, str] = {"subject": german_phrase(clause.subject, "nom")}
    pronouns: List[str] = []
    nouns: List[str] = []
    prepositional: List[str] = []
    for role, (argument, phrase) in zip(roles(clause), clause.complements()):
        if role == "prep":
            parts[role] = _german_prepositional(argument.de, phrase, argument.case)
            prepositional.append(role)
        else:
            negative = clause.negated and isinstance(phrase, NounPhrase) and phrase.determiner == "kein"
            parts[role] = german_phrase(phrase, argument.case)
            (pronouns if isinstance(phrase, Pronoun) else nouns).append(role)
            parts["kein"] = parts.get("kein", "") or ("kein" if negative else "")
    if clause.time:
        parts["time"] = clause.time[0]
    if clause.frequency:
        parts["frequency"] = clause.frequency[0]
    if clause.place:
        parts["place"] = german_place(clause.place)
    if clause.negated and not parts.get("kein"):
        parts["nicht"] = "nicht"
    middle = ["subject", *pronouns, "time", "frequency", "place", *nouns, "nicht", *prepositional]
    skip = gap or (front if order == "main" else "")
    body = [parts[name] for name in middle if name != skip and parts.get(name)]
    if order == "relative":
        assert antecedent is not None
        case = "nom" if gap == "subject" else gap
        return _join(relative_pronoun(antecedent, case), *body, *words.final, words.prefix + words.finite)
    if order == "sub":
        return _join(*body, *words.final, words.prefix + words.finite)
    tail = [*words.final, words.prefix]
    if order == "question":
        return _join(words.finite, *body, *tail)
    return _join(front if gap or front not in parts else parts[front], words.finite, *body, *tail)


def _join(*words: str) -> str:
    return " ".join(word for word in words if word)


# ------------------------------------------------------------------ English


def english_phrase(phrase: Phrase, role: str) -> str:
    """A noun phrase or pronoun; ``role`` is ``subject`` or anything else."""
    if isinstance(phrase, Pronoun):
        return phrase.en if role == "subject" else phrase.en_object
    singular, plural, _ = DETERMINERS[phrase.determiner]
    rest = ([phrase.adjective.en] if phrase.adjective else []) + [
        phrase.noun.en_pl if phrase.plural else phrase.noun.en_sg
    ]
    article = plural if phrase.plural else singular
    if article == "a" and rest[0][0] in "aeiou":
        article = "an"
    text = _join(article, *rest)
    if phrase.relative is not None:
        human = "who" if phrase.gap == "subject" else "whom"
        text += f" {human if 'person' in phrase.noun.tags else 'that'} {english(phrase.relative, gap=phrase.gap)}"
    return text


def third_singular(base: str) -> str:
    """``look for`` -> ``looks for``; ``tidy`` -> ``tidies``; ``wash`` -> ``washes``; ``go`` -> ``goes``."""
    first, blank, rest = base.partition(" ")
    if first.endswith(("s", "x", "sh", "ch", "o")):
        first += "es"
    elif first.endswith("y") and first[-2] not in "aeiou":
        first = first[:-1] + "ies"
    else:
        first += "s"
    return first + blank + rest


def _be(subject: Phrase, past: bool = False) -> str:
    # You is a plural verb form in English, whoever it means.
    if subject.plural or subject.person == 2:
        return "were" if past else "are"
    if past:
        return "was"
    return "am" if subject.person == 1 else "is"


def _is_third(subject: Phrase) -> bool:
    return subject.person == 3 and not subject.plural


def english_verb(clause: Clause, inverted: bool) -> Tuple[str, str]:
    """(auxiliary, rest of the verb group); the auxiliary is empty in a plain affirmative statement.

    ``inverted``: the subject will stand between them.
    """
    subject, split = clause.subject, inverted or clause.negated
    do = "does" if _is_third(subject) else "do"
    if clause.verb is None:
        assert clause.adjective is not None
        return _be(subject, clause.tense == "past"), clause.adjective.en
    base, past = clause.verb.en, clause.verb.en_past
    if clause.modal:
        modal = clause.modal.en
        if modal in ("can", "should"):
            return modal, base
        if modal == "allowed to":
            return _be(subject), f"allowed to {base}"
        if split:
            return do, f"{modal} {base}"
        if _is_third(subject):
            modal = "has to" if modal == "have to" else third_singular(modal)
        return "", f"{modal} {base}"
    if clause.tense == "past":
        return ("did", base) if split else ("", past)
    if split:
        return do, base
    return "", _third_of_particle(base) if _is_third(subject) else base


def _third_of_particle(base: str) -> str:
    verb, tilde, particle = base.partition("~")
    return third_singular(verb) + tilde + particle


def english(clause: Clause, order: str = "main", front: str = "subject", gap: str = "", word: str = "") -> str:
    """The English clause.

    Args:
        clause: what to say.
        order: ``main`` or ``question`` (auxiliary before the subject, after ``word`` if given).
        front: ``time`` or ``place`` stand first if they do in German; objects never do.
        gap: the role that a question word or relative pronoun fills, left out here.
        word: the question word.
    """
    inverted = order == "question" and gap != "subject"
    auxiliary, rest = english_verb(clause, inverted)
    subject = "" if gap == "subject" else english_phrase(clause.subject, "subject")
    objects: List[str] = []
    particle_last = False
    by_role = list(zip(roles(clause), clause.complements()))
    # The accusative object comes first; the recipient follows it with "to".
    for role, (argument, phrase) in sorted(by_role, key=lambda item: item[0] != "acc"):
        if role != gap:
            objects.append(_join(argument.en, english_phrase(phrase, role)))
            particle_last = particle_last or (isinstance(phrase, Pronoun) and not argument.en)
    verb, _, particle = rest.partition("~")
    verb_group = [verb, objects[0], particle, *objects[1:]] if particle_last else [verb, particle, *objects]
    time = clause.time[1] if clause.time else ""
    place = _join(clause.place.noun.at[1], english_phrase(clause.place, "place")) if clause.place else ""
    frequency = clause.frequency[1] if clause.frequency else ""
    negation = "not" if clause.negated else ""
    before = {"time": time, "place": place}.get(front, "") if order == "main" else ""
    after = [place if front != "place" or order != "main" else "", time if front != "time" or order != "main" else ""]
    if inverted:
        words = [word, auxiliary, subject, negation, frequency, *verb_group, *after]
    else:
        words = [word, before, subject, auxiliary, negation, frequency, *verb_group, *after]
    return _join(*words).replace("can not", "cannot")
