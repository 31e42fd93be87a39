"""The toy corpus: German and English sentences from one small grammar, so that a model has something to learn.

A :class:`Clause` holds who does what to whom; :func:`german` and :func:`english` put it into words independently of
each other. What differs between them is what a model must learn: case and agreement, the verb in second or last
place, separable prefixes, perfect and modal brackets, negation, do-support. Every German word has one English
rendering, so that translation is a function. The same seed gives the same corpus on every machine.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple, TypeVar

from fairseq_plugins.errors import UserError

T = TypeVar("T")

# Kinds of nouns: p person, a animal, t thing, r what is read, f food, w where one can be.
_NOUNS = """
Mann Männer m man men p, Frau Frauen f woman women p, Kind Kinder n child children p, Lehrer Lehrer m teacher teachers
p, Ärztin Ärztinnen f doctor doctors p, Bruder Brüder m brother brothers p, Schwester Schwestern f sister sisters p,
Freund Freunde m friend friends p, Gast Gäste m guest guests p, Mädchen Mädchen n girl girls p, Sohn Söhne m son sons p,
Tochter Töchter f daughter daughters p, Nachbarin Nachbarinnen f neighbour neighbours p, Koch Köche m cook cooks p, Hund
Hunde m dog dogs a, Katze Katzen f cat cats a, Pferd Pferde n horse horses a, Vogel Vögel m bird birds a, Buch Bücher n
book books tr, Brief Briefe m letter letters tr, Zeitung Zeitungen f newspaper newspapers tr, Uhr Uhren f watch watches
t, Tisch Tische m table tables t, Lampe Lampen f lamp lamps t, Stuhl Stühle m chair chairs t, Tasche Taschen f bag bags
t, Bild Bilder n picture pictures t, Hemd Hemden n shirt shirts t, Apfel Äpfel m apple apples f, Kuchen Kuchen m cake
cakes f, Suppe Suppen f soup soups f, Ei Eier n egg eggs f, Haus Häuser n house houses w, Garten Gärten m garden gardens
w, Schule Schulen f school schools w, Stadt Städte f city cities w, Küche Küchen f kitchen kitchens w, Park Parks m park
parks w, Zimmer Zimmer n room rooms w
"""
# German, English, the kinds of nouns that it goes with.
_ADJECTIVES = """
groß big patfw, klein small patfw, alt old patw, neu new tw, jung young pa, schön beautiful patw, stark strong pa,
hungrig hungry pa, krank sick pa, rot red tf, schwer heavy t, frisch fresh f, warm warm f, ruhig quiet paw, nett kind p
"""
# Prefix|infinitive, du, er, participle, auxiliary, English, past, kinds of subjects, case of the object and its kinds;
# "to" stands for a dative receiver besides, "~" before an English particle that follows an object pronoun.
_VERBS = """
sehen siehst sieht gesehen haben see saw pa acc patf, suchen suchst sucht gesucht haben look_for looked_for p acc pat,
finden findest findet gefunden haben find found pa acc ptf, kaufen kaufst kauft gekauft haben buy bought p acc tf, lesen
liest liest gelesen haben read read p acc r, essen isst isst gegessen haben eat ate pa acc f, tragen trägst trägt
getragen haben carry carried p acc t, waschen wäschst wäscht gewaschen haben wash washed p acc pa, besuchen besuchst
besucht besucht haben visit visited p acc pw, malen malst malt gemalt haben paint painted p acc patw, vergessen vergisst
vergisst vergessen haben forget forgot p acc pt, bezahlen bezahlst bezahlt bezahlt haben pay_for paid_for p acc tf,
helfen hilfst hilft geholfen haben help helped p dat pa, danken dankst dankt gedankt haben thank thanked p dat p, folgen
folgst folgt gefolgt sein follow followed pa dat pa, an|rufen rufst ruft angerufen haben call called p acc p, ab|holen
holst holt abgeholt haben pick~up picked~up p acc pt, auf|räumen räumst räumt aufgeräumt haben tidy~up tidied~up p acc
w, weg|werfen wirfst wirft weggeworfen haben throw~away threw~away p acc tf, ein|laden lädst lädt eingeladen haben
invite invited p acc p, mit|bringen bringst bringt mitgebracht haben bring~along brought~along p acc ptf, zu|hören hörst
hört zugehört haben listen_to listened_to p dat p, nach|laufen läufst läuft nachgelaufen sein run_after ran_after pa dat
pa, geben gibst gibt gegeben haben give gave p to tf, zeigen zeigst zeigt gezeigt haben show showed p to patf, schicken
schickst schickt geschickt haben send sent p to tf, schlafen schläfst schläft geschlafen haben sleep slept pa - -,
lachen lachst lacht gelacht haben laugh laughed p - -, arbeiten arbeitest arbeitet gearbeitet haben work worked p - -,
auf|stehen stehst steht aufgestanden sein get_up got_up p - -, ein|schlafen schläfst schläft eingeschlafen sein
fall_asleep fell_asleep pa - -, an|kommen kommst kommt angekommen sein arrive arrived p - -
"""
_DER = {"m": ("der", "den", "dem"), "f": ("die", "die", "der"), "n": ("das", "das", "dem"), "pl": ("die", "die", "den")}
_ENDINGS = {"m": ("er", "en", "em"), "f": ("e", "e", "er"), "n": ("es", "es", "em"), "pl": ("e", "e", "en")}
_CASES = ("nom", "acc", "dat")
_ARE, _WERE = ("am", "are", "is", "are"), ("was", "were", "was", "were")
_SEIN, _WAR, _HABEN = ("bin", "bist", "ist", "sind"), ("war", "warst", "war", "waren"), ("habe", "hast", "hat", "haben")
_ARTICLES = {"der": "the", "dieser": "this", "mein": "my", "unser": "our", "ein": "a", "kein": "no"}
_MODALS = (
    (("kann", "kannst", "kann", "können"), "can"),
    (("soll", "sollst", "soll", "sollen"), "should"),
    (("muss", "musst", "muss", "müssen"), "have to"),
    (("will", "willst", "will", "wollen"), "want to"),
)
_TIMES = {
    "present": (("heute", "today"), ("jetzt", "now"), ("jeden Tag", "every day"), ("oft", "often")),
    "past": (("gestern", "yesterday"), ("letzte Woche", "last week"), ("am Abend", "in the evening")),
    "modal": (("morgen", "tomorrow"), ("bald", "soon"), ("heute", "today")),
}
_CONJUNCTIONS = (("weil", "because"), ("obwohl", "although"), ("bevor", "before"), ("während", "while"))
_REPORTS = (
    (("weiß", "weißt", "weiß", "wissen"), "know"),
    (("glaube", "glaubst", "glaubt", "glauben"), "believe"),
    (("hoffe", "hoffst", "hofft", "hoffen"), "hope"),
    (("sage", "sagst", "sagt", "sagen"), "say"),
)


class Pair(NamedTuple):
    """A sentence in both languages."""

    de: str
    en: str


class Noun(NamedTuple):
    """A noun with its gender, both plurals and its kinds."""

    singular: str
    plural: str
    gender: str
    en: str
    en_plural: str
    kinds: str


class Verb(NamedTuple):
    """A verb's forms, the kinds of its subjects, the case (``acc``, ``dat``, ``to``, ``-``) and kinds of its object."""

    name: str
    du: str
    er: str
    participle: str
    auxiliary: str
    en: str
    en_past: str
    subjects: str
    case: str
    objects: str

    @property
    def prefix(self) -> str:
        return self.name.rpartition("|")[0]

    def forms(self) -> tuple[str, str, str, str]:
        """The present, without the prefix: ich, du, er, wir."""
        infinitive = self.name.rpartition("|")[2]
        return infinitive.removesuffix("n"), self.du, self.er, infinitive


@dataclass(frozen=True)
class Phrase:
    """A pronoun or a noun phrase; ``relative`` is a clause whose missing ``role`` the phrase fills."""

    noun: Noun | None = None
    determiner: str = "der"
    adjective: tuple[str, str] = ("", "")
    plural: bool = False
    person: int = 3
    pronoun: tuple[str, ...] = ()
    relative: Clause | None = None
    role: str = "subject"

    @property
    def form(self) -> int:
        """Of a verb's four forms the one that agrees with it."""
        return 3 if self.plural else self.person - 1

    @property
    def gender(self) -> str:
        """m, f, n or pl."""
        return self.noun.gender if self.noun and not self.plural else "pl"


@dataclass(frozen=True)
class Clause:
    """Who does what to whom; without a verb the subject is as the adjective says."""

    subject: Phrase
    verb: Verb | None = None
    adjective: tuple[str, str] = ("", "")
    tense: str = "present"
    modal: int = 0
    objects: tuple[tuple[str, Phrase], ...] = ()
    negated: bool = False
    time: tuple[str, str] = ("", "")
    place: Phrase | None = None


def _rows(table: str) -> list[list[str]]:
    return [entry.split() for entry in table.split(",")]


NOUNS = [Noun(*row) for row in _rows(_NOUNS)]
VERBS = [Verb(*row) for row in _rows(_VERBS)]
#: nominative, accusative, dative; English subject and object. Object forms that mean two things are left out.
PRONOUNS = [
    Phrase(pronoun=("ich", "mich", "mir", "I", "me"), person=1),
    Phrase(pronoun=("du", "dich", "dir", "you", "you"), person=2),
    Phrase(pronoun=("er", "ihn", "ihm", "he", "him")),
    Phrase(pronoun=("sie", "", "", "she", "")),
    Phrase(pronoun=("wir", "uns", "uns", "we", "us"), person=1, plural=True),
    Phrase(pronoun=("sie", "", "", "they", ""), plural=True),
]


@cache
def nouns_of(kinds: str) -> list[Noun]:
    """The nouns of one of the kinds."""
    return [noun for noun in NOUNS if set(noun.kinds) & set(kinds)]


@cache
def adjectives_of(kinds: str) -> list[tuple[str, str]]:
    """The adjectives, German and English, that go with one of the kinds."""
    return [(de, en) for de, en, of in _rows(_ADJECTIVES) if set(of) & set(kinds)]


def _join(*words: str) -> str:
    return " ".join(word for word in words if word)


def german_phrase(phrase: Phrase, case: str) -> str:
    """A pronoun or noun phrase in a case, with its relative clause."""
    at = _CASES.index(case)
    if phrase.noun is None:
        return phrase.pronoun[at]
    gender = phrase.gender
    direct = at == 0 or (at == 1 and gender != "m")  # the cases in which adjectives tell less or more than "en"
    if phrase.determiner == "der":
        article = _DER[gender][at]
    elif phrase.determiner == "dieser":
        article = "dies" + _ENDINGS[gender][at]
    else:  # ein, kein, mein, unser: no ending where the adjective shows the gender
        article = phrase.determiner + ("" if direct and gender in "mn" else _ENDINGS[gender][at])
    strong = phrase.determiner not in ("der", "dieser") and direct and gender != "pl"
    ending = _ENDINGS[gender][at] if strong else "e" if direct and gender != "pl" else "en"
    adjective = phrase.adjective[0] and phrase.adjective[0] + ending
    noun = phrase.noun.singular if not phrase.plural else phrase.noun.plural
    if phrase.plural and case == "dat" and noun[-1] not in "ns":
        noun += "n"
    relative = phrase.relative and f", {german(phrase.relative, 'relative', antecedent=phrase)},"
    return _join(article, adjective, noun) + (relative or "")


def german(clause: Clause, order: str = "main", front: str = "subject", antecedent: Phrase | None = None) -> str:
    """The German clause.

    Args:
        order: ``main`` (finite verb second), ``question`` (first), ``sub`` or ``relative`` (last).
        front: what stands first in a main clause: ``subject``, ``time``, ``place``, ``acc`` or ``dat``.
        antecedent: what a relative pronoun stands for.
    """
    form, verb, prefix = clause.subject.form, clause.verb, ""
    if verb is None:
        finite, last = (_WAR if clause.tense == "past" else _SEIN)[form], clause.adjective[0]
    elif clause.tense == "modal":
        finite, last = _MODALS[clause.modal][0][form], verb.name.replace("|", "")
    elif clause.tense == "past":
        finite, last = (_SEIN if verb.auxiliary == "sein" else _HABEN)[form], verb.participle
    else:
        finite, last, prefix = verb.forms()[form], "", verb.prefix
    parts = {"subject": german_phrase(clause.subject, "nom"), "time": clause.time[0]}
    parts.update({case: german_phrase(phrase, case) for case, phrase in clause.objects})
    parts["place"] = _join("in", german_phrase(clause.place, "dat")).replace("in dem", "im") if clause.place else ""
    parts["nicht"] = "nicht" if clause.negated else ""
    pronouns = [case for case, phrase in clause.objects if phrase.noun is None]
    middle = ["subject", *pronouns, "time", *[c for c in ("dat", "acc") if c in parts and c not in pronouns], "place"]
    middle.insert(-1 if clause.place else len(middle), "nicht")
    if order == "relative":
        assert antecedent
        gender = antecedent.gender
        case = "nom" if antecedent.role == "subject" else antecedent.role
        pronoun = "denen" if (gender, case) == ("pl", "dat") else _DER[gender][_CASES.index(case)]
        body = [parts[name] for name in middle if name != antecedent.role]
        return _join(pronoun, *body, last, prefix + finite)
    if order == "sub":
        return _join(*(parts[name] for name in middle), last, prefix + finite)
    body = [parts[name] for name in middle if order == "question" or name != front]
    return _join("" if order == "question" else parts[front], finite, *body, last, prefix)


def english_phrase(phrase: Phrase, subject: bool = False) -> str:
    """A pronoun or noun phrase."""
    if phrase.noun is None:
        return phrase.pronoun[3 if subject else 4]
    article = _ARTICLES[phrase.determiner]
    if phrase.plural and article == "this":
        article = "these"
    noun = phrase.noun.en_plural if phrase.plural else phrase.noun.en
    text = _join(phrase.adjective[1], noun)
    if article == "a" and text[0] in "aeiou":
        article = "an"
    relative = ""
    if phrase.relative is not None:
        person = "p" in phrase.noun.kinds
        pronoun = ("who" if phrase.role == "subject" else "whom") if person else "that"
        relative = f"{pronoun} {english(phrase.relative, gap=phrase.role)}"
    return _join(article, text, relative)


def english(clause: Clause, question: bool = False, front: str = "", gap: str = "") -> str:
    """The English clause; ``front`` is ``time`` or ``place``, ``gap`` what a relative pronoun stands for."""
    subject, third = clause.subject, clause.subject.form == 2
    be = (_WERE if clause.tense == "past" else _ARE)[subject.form]
    helper, group = "", ""
    if clause.verb is None:
        helper, group = be, clause.adjective[1]
    else:
        group = clause.verb.en
        modal = _MODALS[clause.modal][1] if clause.tense == "modal" else ""
        if modal in ("can", "should"):
            helper = modal
        elif question or clause.negated:
            helper = "did" if clause.tense == "past" else "does" if third else "do"
            group = _join(modal, group)
        elif clause.tense == "past":
            group = clause.verb.en_past
        elif modal:
            group = _join(third_singular(modal) if third else modal, group)
        elif third:
            group = third_singular(group)
    verb, _, particle = group.replace("_", " ").partition("~")
    # the accusative comes first, a receiver follows it with "to"
    roles = sorted(clause.objects, key=lambda item: item[0] != "acc")
    to = "to " if len(roles) > 1 else ""
    texts = [(to if role == "dat" else "") + english_phrase(phrase) for role, phrase in roles if role != gap]
    pronoun = bool(roles) and roles[0][1].noun is None
    objects = [*texts[:1], particle, *texts[1:]] if pronoun else [particle, *texts]
    place = _join("in", english_phrase(clause.place)) if clause.place else ""
    first = {"time": clause.time[1], "place": place}.get(front, "")
    who = "" if gap == "subject" else english_phrase(subject, subject=True)
    begin = [helper, who] if question else [first, who, helper]
    rest = [place if front != "place" else "", clause.time[1] if front != "time" else ""]
    if gap == "dat" and to:
        objects.append("to")
    return _join(*begin, "not" if clause.negated else "", verb, *objects, *rest).replace("can not", "cannot")


def third_singular(group: str) -> str:
    """``look_for`` -> ``looks_for``; ``tidy~up`` -> ``tidies~up``; ``have to`` -> ``has to``."""
    at = min((group.index(mark) for mark in "_~ " if mark in group), default=len(group))
    word, rest = group[:at], group[at:]
    if word == "have":
        return "has" + rest
    if word.endswith(("s", "sh", "ch")):
        return word + "es" + rest
    return (word[:-1] + "ies" if word[-1] == "y" and word[-2] not in "aeiou" else word + "s") + rest


class Generator:
    """Draws sentence pairs; every choice is an index made from ``Random.random()``, which Python keeps stable."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def chance(self, probability: float) -> bool:
        return self._random.random() < probability

    def one(self, items: Sequence[T]) -> T:
        return items[int(self._random.random() * len(items))]

    def phrase(self, kinds: str, determiners: str = "der der ein dieser mein unser") -> Phrase:
        """A noun phrase of one of the kinds."""
        noun, plural = self.one(nouns_of(kinds)), self.chance(0.3)
        adjective = self.one(adjectives_of(noun.kinds)) if self.chance(0.35) else ("", "")
        determiner = self.one([name for name in determiners.split() if not (plural and name == "ein")])
        return Phrase(noun, determiner, adjective, plural)

    def clause(self, tense: str = "", subject: Phrase | None = None, simple: bool = False) -> Clause:
        """A clause of random words; a simple one has neither negation nor adverbials."""
        able = set(subject.noun.kinds if subject and subject.noun else "pa")
        verb = self.one([verb for verb in VERBS if able & set(verb.subjects)])
        if subject is None:
            subject = self.one(PRONOUNS) if self.chance(0.35) else self.phrase(verb.subjects)
        objects: list[tuple[str, Phrase]] = []
        for case in {"-": (), "to": ("dat", "acc")}.get(verb.case, (verb.case,)):
            receiver = verb.case == "to" and case == "dat"
            kinds = "p" if receiver else verb.objects
            if "p" in kinds and (receiver or verb.case != "to") and self.chance(0.25):
                others = [p for p in PRONOUNS if p.pronoun[4] and (p.person == 3 or p.person != subject.person)]
                objects.append((case, self.one(others)))
            else:
                objects.append((case, self.phrase(kinds)))
        tense = tense or self.one(("present", "present", "past", "modal"))
        clause = Clause(subject, verb, tense=tense, modal=int(4 * self._random.random()), objects=tuple(objects))
        if simple:
            return clause
        if self.chance(0.4):
            clause = replace(clause, time=self.one(_TIMES[tense]))
        if self.chance(0.2) and "w" not in verb.objects:
            clause = replace(clause, place=replace(self.phrase("w", "der der dieser"), plural=False))
        if self.chance(0.2):
            case, phrase = objects[-1] if objects else ("", PRONOUNS[0])
            if phrase.determiner == "ein" and phrase.noun is not None:
                return replace(clause, objects=(*objects[:-1], (case, replace(phrase, determiner="kein"))))
            return replace(clause, negated=True)
        return clause

    def related(self, phrase: Phrase) -> Phrase:
        """The phrase with a relative clause, in which case or position tells what it is."""
        if phrase.noun is None or phrase.determiner == "kein":
            return phrase
        if set(phrase.noun.kinds) & set("pa") and self.chance(0.6):
            return replace(phrase, relative=self.clause(subject=replace(phrase, determiner="der"), simple=True))
        for _ in range(30):
            clause = self.clause(simple=True)
            fits = clause.verb is not None and set(clause.verb.objects) & set(phrase.noun.kinds)
            marked = clause.verb is not None and (clause.verb.case == "dat" or _shows_accusative(phrase))
            if len(clause.objects) == 1 and fits and marked and clause.subject.noun != phrase.noun:
                case = clause.objects[0][0]
                return replace(phrase, relative=replace(clause, objects=((case, phrase),)), role=case)
        return phrase

    def sentence(self) -> Pair:
        """One sentence pair of a random kind."""
        kind = self._random.random()
        if kind < 0.3:
            clause = self.clause()
            fronts = ["subject"] + ["time"] * bool(clause.time[0]) + ["place"] * bool(clause.place)
            fronts += [
                case for case, phrase in clause.objects if phrase.noun and (case == "dat" or _shows_accusative(phrase))
            ]
            front = self.one(fronts)
            return _finish(german(clause, front=front), english(clause, front=front))
        if kind < 0.42:
            clause = self.clause()
            return _finish(german(clause, "question"), english(clause, question=True), "?")
        if kind < 0.5:
            subject = self.one(PRONOUNS) if self.chance(0.3) else replace(self.phrase("patfw"), adjective=("", ""))
            adjective = self.one(adjectives_of(subject.noun.kinds if subject.noun else "p"))
            clause = Clause(subject, None, adjective, self.one(("present", "past")), negated=self.chance(0.3))
            return _finish(german(clause), english(clause))
        if kind < 0.68:
            clause = self.clause()
            if self.chance(0.5) or not clause.objects:
                clause = replace(clause, subject=self.related(clause.subject))
            else:
                case, phrase = clause.objects[-1]
                clause = replace(clause, objects=(*clause.objects[:-1], (case, self.related(phrase))), place=None)
            return _finish(german(clause), english(clause))
        if kind < 0.84:
            de, en = self.one(_CONJUNCTIONS)
            tense = self.one(("present", "past"))
            main, sub = self.clause(tense), self.clause(tense, simple=self.chance(0.5))
            if self.chance(0.5):
                german_pair = f"{de} {german(sub, 'sub')}, {german(main, 'question')}"
                return _finish(german_pair, f"{en} {english(sub)}, {english(main)}")
            return _finish(f"{german(main)}, {de} {german(sub, 'sub')}", f"{english(main)} {en} {english(sub)}")
        forms, verb = self.one(_REPORTS)
        who = self.one(PRONOUNS) if self.chance(0.5) else self.phrase("p")
        clause = self.clause()
        says = third_singular(verb) if who.form == 2 else verb
        return _finish(
            f"{german_phrase(who, 'nom')} {forms[who.form]}, dass {german(clause, 'sub')}",
            f"{english_phrase(who, subject=True)} {says} that {english(clause)}",
        )


def _shows_accusative(phrase: Phrase) -> bool:
    """Whether the phrase itself tells that it is no subject."""
    return phrase.noun is not None and phrase.noun.gender == "m" and not phrase.plural


def _finish(de: str, en: str, end: str = ".") -> Pair:
    de = de.rstrip(",").replace(",,", ",")  # a relative clause before another comma or the end brings no comma
    return Pair(de[0].upper() + de[1:] + end, en[0].upper() + en[1:] + end)


def generate(seed: int, sizes: dict[str, int]) -> dict[str, list[Pair]]:
    """Splits of the wanted sizes; no sentence of either language stands in two splits, and no pair twice.

    Raises:
        UserError: the grammar does not yield so many.
    """
    generator = Generator(seed)
    splits: dict[str, list[Pair]] = {}
    seen: set[str] = set()
    elsewhere: set[str] = set()
    for name, size in sizes.items():
        pairs: list[Pair] = []
        misses = 0
        while len(pairs) < size:
            pair = generator.sentence()
            # two German orders of one clause share their English: fine inside a split, a leak across splits
            if pair.de in seen or pair.en in elsewhere:
                misses += 1
                if misses > 1000:
                    raise UserError(f"the grammar yields no {size} new sentences for {name}; ask for fewer")
                continue
            misses = 0
            seen.add(pair.de)
            pairs.append(pair)
        elsewhere.update(pair.en for pair in pairs)
        splits[name] = pairs
    return splits
