"""The toy corpus: determinism, and German and English grammar checked without the code that wrote them."""

from __future__ import annotations

import hashlib
import re

import pytest

from fairseq_plugins import cli
from fairseq_plugins.text.toy import NOUNS, PRONOUNS, VERBS, Clause, Pair, Phrase, english, generate, german

# fairseq-plugins toy-corpus --out toy && cat toy/{train,valid,test}.{de,en} | sha256sum
GOLDEN = "290102e552174f57a9e9bd4cc2b15d3445ed77cb2cee81b03d91344e93612a1d"
SPLITS = ("train", "valid", "test")
ICH, DU, ER, SIE, WIR, SIE_ALLE = PRONOUNS
CONJUNCTIONS = ["weil", "obwohl", "bevor", "während", "dass"]
RELATIVES = ["der", "die", "das", "den", "dem", "denen"]
PREFIXES = ["an", "ab", "auf", "weg", "ein", "mit", "zu", "nach"]
DETERMINER = "d(er|ie|as|en|em)|(dies|k?ein|mein|unser)(e[mnrs]?)?|im"
#: every finite form
AUXILIARIES = """bin bist ist sind war warst waren habe hast hat haben kann kannst können soll sollst sollen
muss musst müssen will willst wollen weiß weißt wissen glaube glaubst glaubt glauben hoffe hoffst hofft hoffen
sage sagst sagt sagen"""
FINITE = {form for verb in VERBS for form in verb.forms()} | set(AUXILIARIES.split())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The default corpus, written by the command."""
    out = tmp_path_factory.mktemp("toy") / "toy"
    assert cli.main(["toy-corpus", "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def corpus(folder):
    def lines(name):
        return (folder / name).read_bytes().decode("utf-8").split("\n")[:-1]

    return {s: [Pair(d, e) for d, e in zip(lines(f"{s}.de"), lines(f"{s}.en"))] for s in SPLITS}


@pytest.fixture(scope="module")
def clauses(corpus):
    """(words of a German clause, whether it is the first of its sentence, the pair)."""
    pairs = [pair for split in SPLITS for pair in corpus[split]]
    return [
        ((piece if at else piece[0].lower() + piece[1:]).split(), at == 0, pair)
        for pair in pairs
        for at, piece in enumerate(pair.de.rstrip(".?").split(", "))
    ]


def test_default_output_is_the_golden_one(folder, corpus):
    digest = hashlib.sha256()
    for split in SPLITS:
        for language in ("de", "en"):
            digest.update((folder / f"{split}.{language}").read_bytes())
    assert digest.hexdigest() == GOLDEN
    assert sorted(p.name for p in folder.iterdir()) == sorted(f"{s}.{x}" for s in SPLITS for x in ("de", "en"))
    assert {split: len(corpus[split]) for split in SPLITS} == {"train": 20000, "valid": 500, "test": 500}


def test_no_sentence_twice_and_none_in_two_splits(corpus):
    pairs = [pair for split in SPLITS for pair in corpus[split]]
    assert len({pair.de for pair in pairs}) == len(pairs)
    for language in (0, 1):
        train, valid, test = ({pair[language] for pair in corpus[split]} for split in SPLITS)
        assert not (train & valid) | (train & test) | (valid & test)


def test_seed_and_sizes():
    small = generate(1, {"test": 20, "valid": 10, "train": 50})
    assert small == generate(1, {"test": 20, "valid": 10, "train": 50})
    assert small["train"] != generate(2, {"test": 20, "valid": 10, "train": 50})["train"]
    # held-out sets do not move when the training set grows
    larger = generate(1, {"test": 20, "valid": 10, "train": 200})
    assert (larger["test"], larger["valid"], larger["train"][:50]) == (small["test"], small["valid"], small["train"])


def test_command_refuses_bad_sizes_and_places(tmp_path, capsys):
    for bad in ("0", "-3", "many", "1000001"):
        with pytest.raises(SystemExit) as stop:
            cli.main(["toy-corpus", "--out", str(tmp_path / "x"), "--train", bad])
        assert stop.value.code == 2
    (tmp_path / "file").write_text("")
    assert cli.main(["toy-corpus", "--out", str(tmp_path / "file"), "--train", "5", "--valid", "5", "--test", "5"]) == 1
    assert "choose another --out" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_surface_and_vocabulary(corpus):
    for pair in (pair for split in SPLITS for pair in corpus[split]):
        assert re.fullmatch(r"[A-ZÄÖÜ][A-Za-zÄÖÜäöüß]*(,? [A-Za-zÄÖÜäöüß]+)*[.?]", pair.de), pair
        assert re.fullmatch(r"[A-Z][a-z]*(,? [A-Za-z]+)*[.?]", pair.en), pair
        assert pair.de[-1] == pair.en[-1]
        assert not re.search(r"\b[Aa] [aeiou]|\b[Aa]n [^aeiou]|\b([Hh]e|[Ss]he) (do|are|were)\b", pair.en), pair
    for language in (0, 1):
        words = [{w.lower() for pair in corpus[s] for w in re.findall(r"\w+", pair[language])} for s in SPLITS]
        assert 200 < len(words[0]) < 500
        assert not (words[1] | words[2]) - words[0]


def test_the_finite_verb_is_where_german_has_it(clauses):
    checked = {"last": 0, "first": 0, "second": 0}
    whole = {verb.prefix + form for verb in VERBS for form in verb.forms()} | FINITE
    nouns = {form for noun in NOUNS for form in (noun.singular, noun.plural, noun.plural + "n")}
    adverbs = "heute|jetzt|jeden Tag|oft|gestern|letzte Woche|am Abend|morgen|bald"
    phrase = rf"(im|in)? ?(\w+ )?(\w+ )?({'|'.join(sorted(nouns, key=len, reverse=True))})"
    first = re.compile(rf"({adverbs}|ich|du|er|sie|wir|{phrase})(?= |$)")
    for words, begins, pair in clauses:
        if words[0] in CONJUNCTIONS or (words[0] in RELATIVES and not begins):
            kind, verb = "last", words[-1]
        elif re.search(rf", ({'|'.join(RELATIVES)}) ", pair.de):
            continue  # what follows a relative clause may be the rest of any clause
        elif not begins or pair.de.endswith("?"):
            kind, verb = "first", words[0]  # also behind a clause in first place
        else:
            kind, verb = "second", " ".join(words)[first.match(" ".join(words)).end() :].split()[0]
        checked[kind] += 1
        assert verb in (whole if kind == "last" else FINITE), (kind, pair)
    assert all(number > 2000 for number in checked.values()), checked


def test_prefixes_and_participles_close_the_bracket(clauses):
    participles = {verb.participle for verb in VERBS} - FINITE
    prefixes = brackets = 0
    for words, _, pair in clauses:
        if words[-1] in PREFIXES:
            prefixes += 1
            fitting = {form for verb in VERBS if verb.prefix == words[-1] for form in verb.forms()}
            assert fitting & set(re.findall(r"\w+", pair.de.lower())), pair  # a relative clause may stand between
        assert not {"ab", "weg", "nach", "zu"} & set(words[:-1]), pair
        for word in participles & set(words):
            brackets += 1
            assert word == (words[-2] if words[-1] in FINITE - participles else words[-1]), pair
    assert prefixes > 1000
    assert brackets > 3000


def test_determiner_adjective_and_noun_agree(clauses):
    # endings of determiner and adjective as grammar books tabulate them: nominative, accusative, dative
    der = {"m": "der-e den-en dem-en", "f": "die-e der-en", "n": "das-e dem-en", "pl": "die-en den-en"}
    dies = {"m": "er-e en-en em-en", "f": "e-e er-en", "n": "es-e em-en", "pl": "e-en en-en"}
    ein = {"m": "-er en-en em-en", "f": "e-e er-en", "n": "-es em-en", "pl": "e-en en-en"}
    allowed = {gender: set(der[gender].split()) | {"im-en"} for gender in der}
    for gender in der:
        allowed[gender] |= {f"dies{pair}" for pair in dies[gender].split()}
        allowed[gender] |= {
            f"{stem}{pair}" for stem in ("ein", "kein", "mein", "unser") for pair in ein[gender].split()
        }
    genders = {}
    for noun in NOUNS:
        genders.setdefault(noun.singular, set()).add(noun.gender)
        for form in (noun.plural, noun.plural + "n"):
            genders.setdefault(form, set()).add("pl")
    checked = 0
    for words, begins, pair in clauses:
        words = words[not begins and words[0] in RELATIVES :]
        for determiner, adjective, noun in zip(words, words[1:], words[2:]):
            match = re.fullmatch(r"[a-zäöüß]+?(e[nrs]?)", adjective)
            if noun in genders and match and re.fullmatch(DETERMINER, determiner):
                checked += 1
                found = f"{determiner}-{match[1]}"
                assert any(found in allowed[gender] for gender in genders[noun]), (found, pair)
    assert checked > 5000


def noun(word, determiner="der", adjective=("", ""), plural=False, **rest):
    return Phrase(next(n for n in NOUNS if n.singular == word), determiner, adjective, plural, **rest)


def acc(*given, **more):
    return (("acc", noun(*given, **more)),)


def dat(*given, **more):
    return (("dat", noun(*given, **more)),)


def verb(name):
    return next(v for v in VERBS if v.name.replace("|", "") == name)


HUND = noun("Hund", "ein", ("klein", "small"))
SENTENCES = [
    (Clause(noun("Mann"), verb("sehen"), objects=(("acc", HUND),)), "main subject",
     "der Mann sieht einen kleinen Hund", "the man sees a small dog"),
    (Clause(noun("Frau"), verb("sehen"), objects=acc("Hund")), "main acc",
     "den Hund sieht die Frau", "the woman sees the dog"),
    (Clause(ER, verb("anrufen"), objects=acc("Ärztin", "mein"), time=("oft", "often")), "main time",
     "oft ruft er meine Ärztin an", "often he calls my doctor"),
    (Clause(SIE, verb("abholen"), objects=(("acc", WIR),)), "main subject", "sie holt uns ab", "she picks us up"),
    (Clause(SIE_ALLE, verb("abholen"), objects=acc("Sohn", plural=True), tense="past"), "sub subject",
     "sie die Söhne abgeholt haben", "they picked up the sons"),
    (Clause(noun("Kind"), verb("einschlafen"), tense="past", time=("gestern", "yesterday")), "main subject",
     "das Kind ist gestern eingeschlafen", "the child fell asleep yesterday"),
    (Clause(ER, verb("aufstehen"), tense="modal", modal=2, negated=True, time=("heute", "today")), "main time",
     "heute muss er nicht aufstehen", "today he does not have to get up"),
    (Clause(DU, verb("aufräumen"), tense="modal", modal=3, objects=acc("Küche")), "question subject",
     "willst du die Küche aufräumen", "do you want to tidy up the kitchen"),
    (Clause(WIR, verb("kaufen"), objects=acc("Ei", "kein", plural=True)), "main subject",
     "wir kaufen keine Eier", "we buy no eggs"),
    (Clause(noun("Mann"), verb("geben"), objects=dat("Kind") + acc("Apfel", "ein", ("rot", "red"))),
     "main subject", "der Mann gibt dem Kind einen roten Apfel", "the man gives a red apple to the child"),
    (Clause(noun("Freund", "mein", ("alt", "old"), True), verb("helfen"), objects=dat("Gast", "unser", plural=True)),
     "main dat", "unseren Gästen helfen meine alten Freunde", "my old friends help our guests"),
    (Clause(noun("Hund"), verb("nachlaufen"), objects=(("dat", DU),)), "main subject",
     "der Hund läuft dir nach", "the dog runs after you"),
    (Clause(noun("Nachbarin", "dieser"), adjective=("krank", "sick"), negated=True), "main subject",
     "diese Nachbarin ist nicht krank", "this neighbour is not sick"),
    (Clause(noun("Mann", relative=Clause(noun("Mann"), verb("anrufen"), objects=acc("Frau"))), verb("lachen")),
     "main subject", "der Mann, der die Frau anruft, lacht", "the man who calls the woman laughs"),
    (Clause(noun("Hund", relative=Clause(ICH, verb("sehen"), objects=acc("Hund")), role="acc"), verb("schlafen")),
     "main subject", "der Hund, den ich sehe, schläft", "the dog that I see sleeps"),
    (Clause(noun("Kind", plural=True, relative=Clause(noun("Frau"), verb("helfen"), objects=dat("Kind")), role="dat"),
            verb("arbeiten"), place=noun("Garten", adjective=("schön", "beautiful"))), "main place",
     "im schönen Garten arbeiten die Kinder, denen die Frau hilft,",
     "in the beautiful garden the children whom the woman helps work"),
]  # fmt: skip


@pytest.mark.parametrize("case", SENTENCES, ids=[case[2] for case in SENTENCES])
def test_proof_read_sentence(case):
    clause, order, de, en = case
    order, front = order.split()
    assert german(clause, order, front) == de
    assert english(clause, order == "question", front) == en
