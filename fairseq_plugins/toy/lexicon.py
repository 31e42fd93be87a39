"""The words of the toy corpus: one English rendering for every German word, so that translation is a function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, FrozenSet, Tuple


@dataclass(frozen=True, eq=False)
class Noun:
    """A noun with its gender and both plurals; ``tags`` say what it can be or undergo."""

    sg: str
    pl: str
    gender: str
    en_sg: str
    en_pl: str
    tags: FrozenSet[str]
    #: Preposition for "at this place", German and English; empty if it is no place.
    at: Tuple[str, str] = ("", "")

    def form(self, case: str, plural: bool) -> str:
        """The inflected German noun."""
        if plural:
            return self.pl + "n" if case == "dat" and self.pl[-1] not in "ns" else self.pl
        # The one weak masculine of the lexicon takes -n in every case but the nominative.
        return self.sg + "n" if self.sg == "Junge" and case != "nom" else self.sg


@dataclass(frozen=True)
class Pronoun:
    """A personal pronoun; an empty object form is one that would be ambiguous (sie: her, them)."""

    nom: str
    acc: str
    dat: str
    en: str
    en_object: str
    person: int
    plural: bool


@dataclass(frozen=True, eq=False)
class Adjective:
    """An adjective; ``tags`` are those of the nouns it goes with."""

    de: str
    en: str
    tags: FrozenSet[str]

    def form(self, ending: str) -> str:
        """The inflected German adjective."""
        return self.de.rstrip("e") + ending


@dataclass(frozen=True)
class Argument:
    """A complement of a verb: its case, its prepositions if any, and the tags of the nouns that can fill it."""

    case: str
    tags: FrozenSet[str]
    de: str = ""
    en: str = ""


@dataclass(frozen=True, eq=False)
class Verb:
    """A verb. ``infinitive`` is without its separable ``prefix``; ``en`` is ``base`` or ``base~particle``."""

    infinitive: str
    prefix: str
    du: str
    er: str
    participle: str
    auxiliary: str
    en: str
    en_past: str
    subject: FrozenSet[str]
    arguments: Tuple[Argument, ...] = ()
    #: Whether an adverbial of place makes sense beside it.
    local: bool = True

    def finite(self, person: int, plural: bool) -> str:
        """The present form, without the prefix."""
        if plural:
            return self.infinitive
        return (self.infinitive[:-1], self.du, self.er)[person - 1]


@dataclass(frozen=True, eq=False)
class Modal:
    """A modal verb; ``en`` names its English pattern (see grammar.english_verb)."""

    infinitive: str
    sg: Tuple[str, str, str]
    en: str

    def finite(self, person: int, plural: bool) -> str:
        """The present form."""
        return self.infinitive if plural else self.sg[person - 1]


def _tags(words: str) -> FrozenSet[str]:
    return frozenset(words.split())


_IN, _ON, _AT = ("in", "in"), ("auf", "on"), ("auf", "at")
# Kinship and the like take a possessive; "mein Mann" would be "my husband".
_OWN = "person adult own"

NOUNS = (
    Noun("Mann", "Männer", "m", "man", "men", _tags("person adult")),
    Noun("Frau", "Frauen", "f", "woman", "women", _tags("person adult")),
    Noun("Kind", "Kinder", "n", "child", "children", _tags("person youth")),
    Noun("Junge", "Jungen", "m", "boy", "boys", _tags("person")),
    Noun("Mädchen", "Mädchen", "n", "girl", "girls", _tags("person youth")),
    Noun("Lehrer", "Lehrer", "m", "teacher", "teachers", _tags(_OWN)),
    Noun("Ärztin", "Ärztinnen", "f", "doctor", "doctors", _tags(_OWN)),
    Noun("Nachbarin", "Nachbarinnen", "f", "neighbour", "neighbours", _tags(_OWN)),
    Noun("Bruder", "Brüder", "m", "brother", "brothers", _tags(_OWN)),
    Noun("Schwester", "Schwestern", "f", "sister", "sisters", _tags(_OWN)),
    Noun("Freund", "Freunde", "m", "friend", "friends", _tags(_OWN)),
    Noun("Tante", "Tanten", "f", "aunt", "aunts", _tags(_OWN)),
    Noun("Onkel", "Onkel", "m", "uncle", "uncles", _tags(_OWN)),
    Noun("Gast", "Gäste", "m", "guest", "guests", _tags(_OWN)),
    Noun("Hund", "Hunde", "m", "dog", "dogs", _tags("animal own washable")),
    Noun("Katze", "Katzen", "f", "cat", "cats", _tags("animal own")),
    Noun("Pferd", "Pferde", "n", "horse", "horses", _tags("animal own washable")),
    Noun("Vogel", "Vögel", "m", "bird", "birds", _tags("animal own")),
    Noun("Kuh", "Kühe", "f", "cow", "cows", _tags("animal own")),
    Noun("Buch", "Bücher", "n", "book", "books", _tags("thing own portable readable")),
    Noun("Brief", "Briefe", "m", "letter", "letters", _tags("thing own portable readable written")),
    Noun("Zeitung", "Zeitungen", "f", "newspaper", "newspapers", _tags("thing own portable readable")),
    Noun("Bild", "Bilder", "n", "picture", "pictures", _tags("thing own portable")),
    Noun("Ball", "Bälle", "m", "ball", "balls", _tags("thing own portable")),
    Noun("Tasche", "Taschen", "f", "bag", "bags", _tags("thing own portable")),
    Noun("Hut", "Hüte", "m", "hat", "hats", _tags("thing own portable")),
    Noun("Uhr", "Uhren", "f", "watch", "watches", _tags("thing own portable fixable")),
    Noun("Lampe", "Lampen", "f", "lamp", "lamps", _tags("thing own portable fixable")),
    Noun("Stuhl", "Stühle", "m", "chair", "chairs", _tags("thing own portable fixable")),
    Noun("Messer", "Messer", "n", "knife", "knives", _tags("thing own portable washable")),
    Noun("Fahrrad", "Fahrräder", "n", "bicycle", "bicycles", _tags("thing own fixable washable")),
    Noun("Auto", "Autos", "n", "car", "cars", _tags("thing own fixable washable")),
    Noun("Tür", "Türen", "f", "door", "doors", _tags("thing openable fixable")),
    Noun("Fenster", "Fenster", "n", "window", "windows", _tags("thing openable")),
    Noun("Koffer", "Koffer", "m", "suitcase", "suitcases", _tags("thing own portable openable")),
    Noun("Apfel", "Äpfel", "m", "apple", "apples", _tags("food own washable")),
    Noun("Birne", "Birnen", "f", "pear", "pears", _tags("food own washable")),
    Noun("Ei", "Eier", "n", "egg", "eggs", _tags("food own")),
    Noun("Kuchen", "Kuchen", "m", "cake", "cakes", _tags("food own")),
    Noun("Garten", "Gärten", "m", "garden", "gardens", _tags("place own"), _IN),
    Noun("Küche", "Küchen", "f", "kitchen", "kitchens", _tags("place own room"), _IN),
    Noun("Zimmer", "Zimmer", "n", "room", "rooms", _tags("place own room"), _IN),
    Noun("Büro", "Büros", "n", "office", "offices", _tags("place own room"), _IN),
    Noun("Haus", "Häuser", "n", "house", "houses", _tags("place own"), _IN),
    Noun("Schule", "Schulen", "f", "school", "schools", _tags("place own"), _IN),
    Noun("Wald", "Wälder", "m", "forest", "forests", _tags("place"), _IN),
    Noun("Stadt", "Städte", "f", "city", "cities", _tags("place"), _IN),
    Noun("Dorf", "Dörfer", "n", "village", "villages", _tags("place"), _IN),
    Noun("Markt", "Märkte", "m", "market", "markets", _tags("spot"), _AT),
    Noun("Straße", "Straßen", "f", "street", "streets", _tags("spot"), _ON),
    Noun("Dach", "Dächer", "n", "roof", "roofs", _tags("spot"), _ON),
)

ICH = Pronoun("ich", "mich", "mir", "I", "me", 1, False)
DU = Pronoun("du", "dich", "dir", "you", "you", 2, False)
ER = Pronoun("er", "ihn", "ihm", "he", "him", 3, False)
SIE = Pronoun("sie", "", "ihr", "she", "her", 3, False)
WIR = Pronoun("wir", "uns", "uns", "we", "us", 1, True)
SIE_ALLE = Pronoun("sie", "", "ihnen", "they", "them", 3, True)
PRONOUNS = (ICH, DU, ER, SIE, WIR, SIE_ALLE)

ADJECTIVES = (
    Adjective("alt", "old", _tags("adult animal thing place")),
    Adjective("jung", "young", _tags("adult youth animal")),
    Adjective("freundlich", "friendly", _tags("person")),
    Adjective("klug", "clever", _tags("person animal")),
    Adjective("müde", "tired", _tags("person animal")),
    Adjective("krank", "sick", _tags("person animal")),
    Adjective("glücklich", "happy", _tags("person")),
    Adjective("klein", "small", _tags("animal thing food place spot")),
    Adjective("groß", "big", _tags("animal thing food place spot")),
    Adjective("schwarz", "black", _tags("animal thing")),
    Adjective("weiß", "white", _tags("animal thing")),
    Adjective("rot", "red", _tags("thing")),
    Adjective("neu", "new", _tags("thing place")),
    Adjective("schön", "beautiful", _tags("thing place")),
    Adjective("schwer", "heavy", _tags("portable")),
    Adjective("frisch", "fresh", _tags("food")),
    Adjective("ruhig", "quiet", _tags("place spot")),
)

# A line is a verb: prefix+infinitive; du-form, er-form, participle; auxiliary of the perfect; English base and past, a
# particle after ~; who can do it; the frame of its complements; "fixed" where no adverbial of place fits.
_VERB_TABLE = """
schlafen     ; schläfst schläft geschlafen       ; haben ; sleep        slept        ; alive ;
lachen       ; lachst lacht gelacht              ; haben ; laugh        laughed      ; person;
singen       ; singst singt gesungen             ; haben ; sing         sang         ; person;
arbeiten     ; arbeitest arbeitet gearbeitet     ; haben ; work         worked       ; person;
laufen       ; läufst läuft gelaufen             ; sein  ; run          ran          ; alive ;
auf+stehen   ; stehst steht aufgestanden         ; sein  ; get~up       got~up       ; person;    ; fixed
auf+wachen   ; wachst wacht aufgewacht           ; sein  ; wake~up      woke~up      ; alive ;
ein+schlafen ; schläfst schläft eingeschlafen    ; sein  ; fall~asleep  fell~asleep  ; alive ;
an+kommen    ; kommst kommt angekommen           ; sein  ; arrive       arrived      ; person;
zurück+kommen; kommst kommt zurückgekommen       ; sein  ; come~back    came~back    ; alive ;    ; fixed
ein+kaufen   ; kaufst kauft eingekauft           ; haben ; go~shopping  went~shopping; person;    ; fixed
sehen        ; siehst sieht gesehen              ; haben ; see          saw          ; alive ; acc visible
hören        ; hörst hört gehört                 ; haben ; hear         heard        ; alive ; acc alive
suchen       ; suchst sucht gesucht              ; haben ; look_for     looked_for   ; alive ; acc visible
finden       ; findest findet gefunden           ; haben ; find         found        ; alive ; acc visible
kaufen       ; kaufst kauft gekauft              ; haben ; buy          bought       ; person; acc goods
verkaufen    ; verkaufst verkauft verkauft       ; haben ; sell         sold         ; person; acc goods
lesen        ; liest liest gelesen               ; haben ; read         read         ; person; acc readable
schreiben    ; schreibst schreibt geschrieben    ; haben ; write        wrote        ; person; acc written
essen        ; isst isst gegessen                ; haben ; eat          ate          ; person; acc food
malen        ; malst malt gemalt                 ; haben ; paint        painted      ; person; acc alive
tragen       ; trägst trägt getragen             ; haben ; carry        carried      ; person; acc portable
waschen      ; wäschst wäscht gewaschen          ; haben ; wash         washed       ; person; acc washable
reparieren   ; reparierst repariert repariert    ; haben ; repair       repaired     ; person; acc fixable
besuchen     ; besuchst besucht besucht          ; haben ; visit        visited      ; person; acc person
treffen      ; triffst trifft getroffen          ; haben ; meet         met          ; person; acc person
fragen       ; fragst fragt gefragt              ; haben ; ask          asked        ; person; acc person
lieben       ; liebst liebt geliebt              ; haben ; love         loved        ; person; acc alive; fixed
vergessen    ; vergisst vergisst vergessen       ; haben ; forget       forgot       ; person; acc movable
an+rufen     ; rufst ruft angerufen              ; haben ; call         called       ; person; acc person
ein+laden    ; lädst lädt eingeladen             ; haben ; invite       invited      ; person; acc person; fixed
ab+holen     ; holst holt abgeholt               ; haben ; pick~up      picked~up    ; person; acc person
auf+machen   ; machst macht aufgemacht           ; haben ; open         opened       ; person; acc openable
zu+machen    ; machst macht zugemacht            ; haben ; close        closed       ; person; acc openable
mit+bringen  ; bringst bringt mitgebracht        ; haben ; bring~along  brought~along; person; acc movable; fixed
auf+räumen   ; räumst räumt aufgeräumt           ; haben ; tidy~up      tidied~up    ; person; acc room; fixed
ein+packen   ; packst packt eingepackt           ; haben ; pack         packed       ; person; acc portable
weg+werfen   ; wirfst wirft weggeworfen          ; haben ; throw~away   threw~away   ; person; acc movable
an+sehen     ; siehst sieht angesehen            ; haben ; look_at      looked_at    ; alive ; acc visible
helfen       ; hilfst hilft geholfen             ; haben ; help         helped       ; person; dat person
danken       ; dankst dankt gedankt              ; haben ; thank        thanked      ; person; dat person
antworten    ; antwortest antwortet geantwortet  ; haben ; answer       answered     ; person; dat person
folgen       ; folgst folgt gefolgt              ; sein  ; follow       followed     ; alive ; dat alive
zu+hören     ; hörst hört zugehört               ; haben ; listen_to    listened_to  ; person; dat person
nach+laufen  ; läufst läuft nachgelaufen         ; sein  ; run_after    ran_after    ; alive ; dat alive
geben        ; gibst gibt gegeben                ; haben ; give         gave         ; person; to movable
zeigen       ; zeigst zeigt gezeigt              ; haben ; show         showed       ; person; to showable
bringen      ; bringst bringt gebracht           ; haben ; bring        brought      ; person; to movable; fixed
schicken     ; schickst schickt geschickt        ; haben ; send         sent         ; person; to portable; fixed
vor+lesen    ; liest liest vorgelesen            ; haben ; read         read         ; person; to readable
zurück+geben ; gibst gibt zurückgegeben          ; haben ; give~back    gave~back    ; person; to portable
warten       ; wartest wartet gewartet           ; haben ; wait         waited       ; person; auf:acc:for person
denken       ; denkst denkt gedacht              ; haben ; think        thought      ; person; an:acc:of alive
spielen      ; spielst spielt gespielt           ; haben ; play         played       ; person; mit:dat:with alive
tanzen       ; tanzt tanzt getanzt               ; haben ; dance        danced       ; person; mit:dat:with person
sprechen     ; sprichst spricht gesprochen       ; haben ; speak        spoke        ; person; mit:dat:with person
kochen       ; kochst kocht gekocht              ; haben ; cook         cooked       ; person; für:acc:for person
gehen        ; gehst geht gegangen               ; sein  ; go           went         ; person; in:acc:into place; fixed
kommen       ; kommst kommt gekommen             ; sein  ; come         came         ; alive ; in:acc:into place; fixed
zurück+gehen ; gehst geht zurückgegangen         ; sein  ; go~back      went~back    ; person; in:acc:into place; fixed
"""

#: Groups of noun tags that verbs and adjectives choose from.
GROUPS = {
    "alive": _tags("person animal"),
    "visible": _tags("person animal thing food"),
    "showable": _tags("animal thing food"),
    "movable": _tags("portable food"),
    "goods": _tags("portable fixable food"),
}


def _arguments(frame: str) -> Tuple[Argument, ...]:
    if not frame:
        return ()
    kind, group = frame.split()
    tags = GROUPS.get(group, _tags(group))
    if kind == "to":
        return Argument("dat", _tags("person"), "", "to"), Argument("acc", tags)
    if ":" in kind:
        german, case, english = kind.split(":")
        return (Argument(case, tags, german, english),)
    return (Argument(kind, tags),)


def _verb(line: str) -> Verb:
    columns = [column.strip() for column in line.split(";")]
    prefix, _, infinitive = columns[0].rpartition("+")
    du, er, participle = columns[1].split()
    base, past = (english.replace("_", " ") for english in columns[3].split())
    return Verb(
        infinitive,
        prefix,
        du,
        er,
        participle,
        columns[2],
        base,
        past,
        GROUPS.get(columns[4], _tags(columns[4])),
        _arguments(columns[5]),
        columns[-1] != "fixed",
    )


VERBS = tuple(_verb(line) for line in _VERB_TABLE.strip().split("\n"))

MODALS = (
    Modal("können", ("kann", "kannst", "kann"), "can"),
    Modal("sollen", ("soll", "sollst", "soll"), "should"),
    Modal("wollen", ("will", "willst", "will"), "want to"),
    Modal("müssen", ("muss", "musst", "muss"), "have to"),
    Modal("dürfen", ("darf", "darfst", "darf"), "allowed to"),
)

HABEN = ("habe", "hast", "hat", "haben")
SEIN = ("bin", "bist", "ist", "sind")
WAR = ("war", "warst", "war", "waren")

#: Verbs that take a clause: forms as in Verb, conjunctions they go with; with ``ob`` wissen must be negated.
MATRIX = (
    ("weiß", "weißt", "weiß", "wissen", "know", "dass"),
    ("weiß", "weißt", "weiß", "wissen", "know", "ob"),
    ("glaube", "glaubst", "glaubt", "glauben", "believe", "dass"),
    ("hoffe", "hoffst", "hofft", "hoffen", "hope", "dass"),
    ("sage", "sagst", "sagt", "sagen", "say", "dass"),
    ("frage", "fragst", "fragt", "fragen", "ask", "ob"),
)

#: Adverbials of time by tense: German, English.
TIMES: Dict[str, Tuple[Tuple[str, str], ...]] = {
    "present": (
        ("jeden Tag", "every day"),
        ("jeden Morgen", "every morning"),
        ("am Abend", "in the evening"),
        ("am Wochenende", "at the weekend"),
        ("im Sommer", "in summer"),
    ),
    "past": (
        ("gestern", "yesterday"),
        ("heute Morgen", "this morning"),
        ("am Montag", "on Monday"),
        ("letzte Woche", "last week"),
        ("vor zwei Tagen", "two days ago"),
    ),
    "modal": (
        ("heute", "today"),
        ("morgen", "tomorrow"),
        ("heute Abend", "this evening"),
        ("am Montag", "on Monday"),
        ("nächste Woche", "next week"),
    ),
}

#: Adverbs of frequency, which stand before the English verb.
FREQUENCIES = (("oft", "often"), ("immer", "always"), ("selten", "rarely"), ("manchmal", "sometimes"))

#: Subordinating conjunctions between clauses: German, English.
CONJUNCTIONS = (("weil", "because"), ("obwohl", "although"), ("wenn", "when"))

#: Determiners: German stem, English singular, English plural, declension (see grammar.determiner).
DETERMINERS = {
    "der": ("the", "the", "weak"),
    "dieser": ("this", "these", "weak"),
    "jeder": ("every", "", "weak"),
    "ein": ("a", "", "mixed"),
    "kein": ("a", "any", "mixed"),
    "mein": ("my", "my", "mixed"),
    "sein": ("his", "his", "mixed"),
    "unser": ("our", "our", "mixed"),
    "viele": ("", "many", "strong"),
    "zwei": ("", "two", "strong"),
    "drei": ("", "three", "strong"),
    "": ("", "", "strong"),
}
