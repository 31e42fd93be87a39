"""Readers, checks and cleaning of parallel text, and their two commands."""

from __future__ import annotations

import gzip
import re
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairseq_plugins import cli
from fairseq_plugins.lines import CorpusError
from fairseq_plugins.text.cleaning import CleaningReport, HeldOut, aligned, stream_clean
from fairseq_plugins.text.reading import Sentence, decode_lines, stream_corpus

DEVTEST = Path(__file__).resolve().parents[3] / "shared" / "data" / "iwslt17-en-de-devtest"

_TAGS = """<url>http://example.org/talks/one</url>
<keywords>talks, gardens</keywords>
<speaker>Q & A</speaker>
<talkid>1</talkid>
<title>Ein Garten</title>
<description>Über Gärten & Bäume.</description>
{extra}Äpfel & Birnen reifen.
 Wir ernten <b>sie</b> im Herbst.
<url>http://example.org/talks/two</url>
<talkid>2</talkid>
Fünf &amp; sechs.
"""


def read_corpus(path, *arguments, **options):
    return list(stream_corpus(path, *arguments, **options))


def check_parallel(*sides):
    for _ in aligned(*sides):
        pass


def clean(pairs, *arguments, **options):
    report = CleaningReport()
    return list(stream_clean(pairs, report, *arguments, **options)), report


def overlap(train, held_out):
    held = HeldOut(held_out)
    list(stream_clean(train, CleaningReport(), held_out=[held]))
    return held.counts()


def _tags(extra: str = "") -> str:
    return _TAGS.format(extra=extra, blank=" ")


XML = """<?xml version="1.0" encoding="UTF-8"?>
<mteval>
<refset setid="own" srclang="english" trglang="german" refid="ref">
<doc docid="1" genre="lectures">
 <url>http://example.org</url>
 <title>Ein Titel &amp; mehr</title>
<seg id="1">  Äpfel &amp; Birnen &lt;reif&gt;.  </seg>
<seg id="2">Zwei</seg>
</doc>
<doc docid="2" genre="lectures">
<seg id="1">Über
mehrere Zeilen. </seg>
</doc>
</refset>
</mteval>
"""


def _file(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_bytes(text.encode("utf-8"))
    return path


def _texts(sentences: list[Sentence]) -> list[str]:
    return [s.text for s in sentences]


# ------------------------------------------------------------------ readers


def test_tags_keep_sentences_and_leave_entities_alone(tmp_path: Path) -> None:
    """The training files have no root element and no entities: & is text, and so is a literal &amp;."""
    found = read_corpus(_file(tmp_path, "train.tags.de-en.de", _tags()))
    assert _texts(found) == ["Äpfel & Birnen reifen.", "Wir ernten <b>sie</b> im Herbst.", "Fünf &amp; sechs."]
    assert [s.talk for s in found] == [1, 1, 2]
    assert [s.line for s in found] == [7, 8, 11]


def test_tags_that_only_one_side_has_do_not_shift_it(tmp_path: Path) -> None:
    plain = read_corpus(_file(tmp_path, "a", _tags()))
    extra = read_corpus(
        _file(tmp_path, "b", _tags('<reviewer href="x">R</reviewer>\n<translator href="x">T</translator>\n'))
    )
    assert _texts(plain) == _texts(extra)
    check_parallel(plain, extra, "a", "b")


def test_xml_takes_segments_and_resolves_entities(tmp_path: Path) -> None:
    found = read_corpus(_file(tmp_path, "x.xml", XML))
    assert _texts(found) == ["Äpfel & Birnen <reif>.", "Zwei", "Über mehrere Zeilen."]
    assert [s.line for s in found] == [7, 8, 11]
    assert [s.talk for s in found] == [1, 1, 2]


def test_gzip_and_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(gzip.compress("\ufeffErste Zeile\nZweite".encode()))
    assert _texts(read_corpus(path)) == ["Erste Zeile", "Zweite"]


def test_plain_lines_are_kept_as_they_are(tmp_path: Path) -> None:
    text = "  zwei Blanke \tund\u00a0mehr \n<3 ist kein Tag\n"
    assert _texts(read_corpus(_file(tmp_path, "a", text))) == text.split("\n")[:-1]


@pytest.mark.skipif(not DEVTEST.is_dir(), reason=f"the official development and test files are not in {DEVTEST}")
@pytest.mark.parametrize("name", ["dev2010", "tst2010", "tst2011", "tst2012", "tst2013", "tst2014", "tst2015"])
def test_official_files(name: str) -> None:
    sides = []
    for language in ("de", "en"):
        sides.append(read_corpus(DEVTEST / "xml" / f"IWSLT17.TED.{name}.en-de.{language}.xml.gz"))
        text = gzip.decompress((DEVTEST / "txt" / f"{name}.{language}.gz").read_bytes()).decode("utf-8")
        # The text files were cut from the XML as it stands.
        for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&amp;", "&")):
            text = text.replace(entity, character)
        assert _texts(sides[-1]) == text.split("\n")[:-1]
    check_parallel(sides[0], sides[1], "de", "en")


_WORDS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=30
).filter(lambda text: text.strip() == text)


@settings(max_examples=50, deadline=None)
@given(st.lists(_WORDS, min_size=1, max_size=20))
def test_any_text_survives_all_three_layouts(sentences: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        body = "".join(f'<seg id="{i}"> {escape(s)}  </seg>\n' for i, s in enumerate(sentences))
        xml = f"<?xml version='1.0' encoding='UTF-8'?><mteval><srcset><doc>\n{body}</doc></srcset></mteval>"
        assert _texts(read_corpus(_file(folder, "x", xml))) == sentences
        plain = [s for s in sentences if not s.startswith(("<", "\ufeff"))] or ["a"]
        assert _texts(read_corpus(_file(folder, "p", "\n".join(plain) + "\n"), "plain")) == plain
        tagged = "".join(f"<url>u</url>\n<title>t</title>\n{s}\n" for s in plain)
        assert _texts(read_corpus(_file(folder, "t", tagged))) == plain


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_with_file_and_line(data: bytes) -> None:
    try:
        lines = decode_lines(data, "some.file")
    except CorpusError as error:
        refusal = str(error)
    else:
        # What is accepted has the same lines for every reader of the chain.
        joined = "".join(line + "\n" for line in lines)
        assert joined.splitlines() == lines
        text = data.decode("utf-8-sig")
        assert joined == (text if text.endswith("\n") or not text else text + "\n")
        return
    place = re.match(r"some\.file:(\d+): ", refusal)
    assert place
    assert 1 <= int(place[1]) <= data.count(b"\n") + 1


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"gut\nschlecht \xff\n", ":2: byte 0xff at column 10 is not UTF-8"),
        (b"gut\r\nauch\r\n", ":1: the line ends in CR LF"),
        (b"a\rb\n", ":1: control or line-separator character U+000D at column 2"),
        (b"a\n\0b\n", ":2: control or line-separator character U+0000"),
        ("a\nb\u2028c\n".encode(), ":2: control or line-separator character U+2028"),
        ("a\nb\u0085c\n".encode(), ":2: control or line-separator character U+0085"),
        (b"a\x0cb\n", ":1: control or line-separator character U+000C"),
        (b"", ": the file is empty"),
        (b"\n \n", ": the file is empty"),
        (gzip.compress(b"a\nb\n", mtime=0)[:-6], ": the gzip file is damaged"),
        (XML.encode()[:-40], ":12: the XML is not well-formed"),
        (XML.replace("</seg>", "</sag>", 1).encode(), ":7: the XML is not well-formed"),
        (XML.replace("<mteval>", '<!DOCTYPE m [<!ENTITY a "b">]>\n<mteval>').encode(), ":2: a DOCTYPE"),
        (XML.replace("Zwei", "<seg id='9'>Z</seg>").encode(), ":8: <seg> inside <seg>"),
        (XML.replace("Zwei", "Z\u2028wei").encode(), ":8: control or line-separator character U+2028"),
        (XML.encode().replace(b"Zwei", b"Zw\xe4i"), ":8: byte 0xe4"),
        (b"<url>x</url>\n<title>t</title>\n", ": the file holds no sentence"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, data: bytes, expected: str, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.de"
    path.write_bytes(data)
    with pytest.raises(CorpusError) as error:
        read_corpus(path)
    assert f"{path}{expected}" in str(error.value)
    assert cli.main(["read-corpus", str(path), "--output", str(tmp_path / "out")]) == 1
    out = capfd.readouterr()
    assert out.out == ""
    assert out.err == f"read-corpus: error: {error.value}\n"
    assert [p.name for p in tmp_path.iterdir()] == ["bad.de"]


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no such file"):
        read_corpus(tmp_path / "nothing")
    with pytest.raises(CorpusError, match="cannot be read"):
        read_corpus(tmp_path)


def test_repair_puts_blanks(tmp_path: Path) -> None:
    path = _file(tmp_path, "a", "x\u2028y\r\nz\x00\n")
    assert _texts(read_corpus(path, repair=True)) == ["x y", "z "]
    path = _file(tmp_path, "b", XML.replace("Zwei", "Z\u2028wei"))
    assert _texts(read_corpus(path, repair=True))[1] == "Z wei"


def _sentences(*texts: str, talks: tuple[int, ...] = ()) -> list[Sentence]:
    return [Sentence(t, 10 + i, talks[i] if talks else 0) for i, t in enumerate(texts)]


def test_unequal_counts_name_the_line() -> None:
    with pytest.raises(CorpusError) as error:
        check_parallel(_sentences("a", "b", "c"), _sentences("A", "B"), "x.de", "x.en")
    assert "x.de has 3 lines but x.en has 2: x.en ends where x.de:12 goes on" in str(error.value)


def test_unequal_talks_name_the_talk() -> None:
    """Equal totals hide a shift that the talks show."""
    left, right = _sentences("a", "b", "c", talks=(1, 1, 2)), _sentences("A", "B", "C", talks=(1, 2, 2))
    with pytest.raises(CorpusError) as error:
        check_parallel(left, right, "x.de", "x.en")
    assert "x.de:10: talk 1 has 2 sentences here and 1 in x.en" in str(error.value)


@pytest.mark.parametrize(
    ("left", "right", "empty", "fails_at"),
    [
        ("a| |c", "A|B|C", "none", "x.de:11"),
        ("a|b|c", "A|B|", "none", "x.en:12"),
        ("a||c", "A||C", "none", "x.de:11"),
        ("a||c", "A||C", "both", ""),
        ("a||c", "A|B|C", "both", "x.de:11"),
        ("a||c", "A|B|C", "any", ""),
    ],
)
def test_empty_lines(left: str, right: str, empty: str, fails_at: str) -> None:
    sides = _sentences(*left.split("|")), _sentences(*right.split("|"))
    if not fails_at:
        check_parallel(*sides, "x.de", "x.en", empty)
        return
    with pytest.raises(CorpusError, match=f"^{fails_at}: the line is empty"):
        check_parallel(*sides, "x.de", "x.en", empty)


# ------------------------------------------------------------------ cleaning


def test_clean_says_what_it_dropped() -> None:
    pairs = [
        ("a b c", "A B"),  # 3 : 2 is just inside 1.5
        ("a b c d", "A B"),
        ("", "A"),
        ("", ""),
        ("a", "A"),
        ("a  b c", "A B"),  # the first one with another blank
        (" ".join("abcdef"), " ".join("ABCDEF")),
    ]
    kept, report = clean(pairs, minimum=2, maximum=5, ratio=1.5, drop_duplicates=True)
    assert kept == [("a b c", "A B")]
    assert report.dropped == {"empty": 2, "too short": 1, "too long": 1, "ratio": 1, "duplicate": 1}
    assert (report.total, report.kept) == (7, 1)
    assert report.lines()[0] == "pairs: 7"
    assert len(clean(pairs, minimum=2, maximum=5)[0]) == 2


_TOKENS = st.lists(st.sampled_from("abc"), max_size=12).map(" ".join)


@given(
    st.lists(st.tuples(_TOKENS, _TOKENS), max_size=30),
    st.integers(1, 4),
    st.integers(4, 12),
    st.floats(1, 4),
    st.booleans(),
)
def test_clean_keeps_exactly_what_it_promises(
    pairs: list[tuple[str, str]], low: int, high: int, ratio: float, unique: bool
) -> None:
    kept, report = clean(pairs, low, high, ratio, unique)

    def good(pair: tuple[str, str]) -> bool:
        a, b = (len(side.split()) for side in pair)
        return low <= a <= high and low <= b <= high and a <= ratio * b and b <= ratio * a

    wanted = [pair for pair in pairs if good(pair)]
    assert kept == (list(dict.fromkeys(wanted)) if unique else wanted)
    assert report.kept + sum(report.dropped.values()) == report.total == len(pairs)


def test_overlap() -> None:
    train = [("a", "A"), ("b", "B"), ("b", "X")]
    assert overlap(train, [("a", "A"), ("b", "Y"), ("z", "X"), ("q", "Q")]) == {"source": 2, "target": 2, "pair": 1}


# ------------------------------------------------------------------ commands


def test_read_corpus_command(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    xml = _file(tmp_path, "x.xml", XML)
    assert cli.main(["read-corpus", str(xml)]) == 0
    assert capfdbinary.readouterr().out.decode() == "Äpfel & Birnen <reif>.\nZwei\nÜber mehrere Zeilen.\n"
    tags = _file(tmp_path, "t", _tags())
    out = [tmp_path / "a", tmp_path / "b"]
    assert cli.main(["read-corpus", "--parallel", str(xml), str(tags), "--output", *map(str, out)]) == 0
    assert out[1].read_text(encoding="utf-8").count("\n") == 3
    for bad in (["--parallel", str(xml)], [str(xml), "--output", "a", "b"]):
        assert cli.main(["read-corpus", *bad]) == 1


def test_read_corpus_command_leaves_empty_training_lines_to_cleaning(tmp_path: Path) -> None:
    de, en = _file(tmp_path, "de", "a\n\nc\n"), _file(tmp_path, "en", "A\n\nC\n")
    half = _file(tmp_path, "half", "A\nB\nC\n")
    assert cli.main(["read-corpus", "--parallel", str(de), str(en), "--output", "x", "y"]) == 1
    assert cli.main(["read-corpus", "--parallel", "--training", "1", str(de), str(en)]) == 0
    assert cli.main(["read-corpus", "--parallel", "--training", "1", str(de), str(half)]) == 1
    assert cli.main(["read-corpus", "--parallel", "--training", "1", "--drop-empty", str(de), str(half)]) == 0
    # The second pair is not training text.
    two = ["--parallel", "--training", "1", "--drop-empty", str(de), str(half), str(de), str(half)]
    assert cli.main(["read-corpus", *two]) == 1


def test_clean_corpus_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    de, en = _file(tmp_path, "de", "a b\na b c d\n\nx\n"), _file(tmp_path, "en", "A B\nA\nB\nX\n")
    report, out = tmp_path / "report", [tmp_path / "o.de", tmp_path / "o.en"]
    arguments = ["clean-corpus", str(de), str(en), "--output", *map(str, out), "--report", str(report)]
    assert cli.main([*arguments, "--held-out", "valid", str(de), str(en)]) == 0
    assert out[0].read_text() == "a b\nx\n"
    assert out[1].read_text() == "A B\nX\n"
    text = report.read_text()
    assert capsys.readouterr().err == text
    assert "dropped, empty: 1\n" in text
    assert "dropped, ratio: 1\n" in text
    assert "valid sentences that also stand in the training text: 4 by source, 4 by target, 4 by pair\n" in text
    for path in (*out, report):
        path.unlink()
    assert cli.main([*arguments, "--min", "9"]) == 1
    assert "no pair is left of 4" in capsys.readouterr().err
    assert not any(path.exists() for path in (*out, report))
    _file(tmp_path, "en", "A\n")
    assert cli.main(arguments) == 1
    assert "has 4 lines but" in capsys.readouterr().err


# ------------------------------------------------------------------ WMT's files and large text

SGM = """<refset setid="newstest2014" srclang="any" trglang="de">
<doc sysid="ref" docid="one" genre="news" origlang="en">
<hl>
<seg id="1">Kaffee &amp; Kuchen bei Müller & Sohn &lt;neu&gt; &#x41;&#66;</seg>
</hl>
<p>
<SEG id="2">  AT&T, &quot;R&D&quot; und
zwei Zeilen </SEG>
</p>
</doc>
<DOC docid="two">
<seg id="1">&unknown; &#xD800;</seg>
</DOC>
</refset>
"""


def test_sgm_takes_segments_and_leaves_what_is_no_entity(tmp_path: Path) -> None:
    found = read_corpus(_file(tmp_path, "newstest2014-deen-ref.de.sgm", SGM))
    assert _texts(found) == [
        "Kaffee & Kuchen bei Müller & Sohn <neu> AB",
        'AT&T, "R&D" und zwei Zeilen',
        "&unknown; &#xD800;",
    ]
    assert [s.line for s in found] == [4, 7, 12]
    assert [s.talk for s in found] == [1, 1, 2]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda text: text[: text.index("</SEG>")], ":7: this <seg> has no end"),
        (lambda text: text[: text.index("</refset>")], ":13: the file is cut off"),
        (lambda text: text.replace("</seg>", "", 1), ":7: <seg> where none may stand"),
        (lambda text: text.replace("<seg id", "<sag id", 1), ":4: </seg> where none may stand"),
        (lambda text: text.replace("<DOC", "&#x85;<DOC").replace("&unknown;", "&#x85;"), ":12: control or line-sep"),
        (lambda text: text.replace("Sohn", "So&#10;hn"), ":4: control or line-separator character U+000A"),
        (lambda text: text.replace("Sohn", "So\rhn"), ":4: control or line-separator character U+000D"),
        (lambda text: "<srcset setid='x'>\n</srcset>\n", ": the file holds no sentence"),
    ],
)
def test_bad_sgm_is_refused(change: Callable[[str], str], expected: str, tmp_path: Path) -> None:
    path = _file(tmp_path, "bad.sgm", change(SGM))
    with pytest.raises(CorpusError) as error:
        read_corpus(path)
    assert f"{path}{expected}" in str(error.value)


def test_titles_are_sentences_on_request(tmp_path: Path) -> None:
    path = _file(tmp_path, "t", _tags())
    assert _texts(list(stream_corpus(path, titles=True))) == [
        "Ein Garten",
        "Über Gärten & Bäume.",
        *_texts(read_corpus(path)),
    ]


def test_reading_holds_no_more_than_a_line(tmp_path: Path) -> None:
    """Of text, compressed or not, the memory does not grow with the file."""
    line = ("Äpfel und Birnen reifen im Garten. " * 5).encode()
    peaks = []
    for count in (2_000, 20_000):
        data = (line + b"\n") * count
        for content in (data, gzip.compress(data, 1)):
            path = tmp_path / "a"
            path.write_bytes(content)
            tracemalloc.start()
            assert sum(1 for _ in stream_corpus(path)) == count
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert max(peaks) < 1_000_000 < len(line) * 20_000 / 3


def test_aligned_tells_the_worst_first() -> None:
    """Sides of other lengths matter more than an empty line before that; what is right before both is given."""
    left, right = _sentences("a", "", "c", "d"), _sentences("A", "B", "C")
    pairs = aligned(left, right, "x.de", "x.en")
    assert next(pairs)[1].text == "A"
    with pytest.raises(CorpusError, match=r"x\.en ends where x\.de:13 goes on"):
        next(pairs)
    pairs = aligned(left[:3], right, "x.de", "x.en")
    next(pairs)
    with pytest.raises(CorpusError, match=r"^x\.de:11: the line is empty"):
        next(pairs)


_PAIRS = st.lists(st.tuples(_TOKENS, _TOKENS), max_size=20)


@given(_PAIRS, _PAIRS, st.integers(0, 4))
def test_held_out_pairs_are_counted_and_dropped(
    train: list[tuple[str, str]], held_out: list[tuple[str, str]], drop_from: int
) -> None:
    held, report = HeldOut(held_out, drop_from), CleaningReport()
    kept = list(stream_clean(train, report, maximum=99, ratio=99, held_out=[held]))
    assert held.counts() == {
        "source": sum(a in [s for s, _ in train] for a, _ in held_out),
        "target": sum(b in [t for _, t in train] for _, b in held_out),
        "pair": sum(pair in train for pair in held_out),
    }

    def leaked(pair: tuple[str, str]) -> bool:
        return any(
            side in [other[i] for other in held_out] and len(side.split()) >= drop_from for i, side in enumerate(pair)
        )

    whole = [pair for pair in train if all(pair)]
    assert kept == [pair for pair in whole if not (drop_from and leaked(pair))]
    assert report.dropped.get("in a held-out set", 0) == len(whole) - len(kept)
    assert ("in a held-out set" in report.dropped) == bool(drop_from)


def test_read_corpus_command_joins_training_pairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, count in enumerate((3, 2, 1)):
        for side in ("de", "en"):
            _file(tmp_path, f"{number}.{side}", "".join(f"{side} {number} {i}\n" for i in range(count)))
    paths = [str(tmp_path / f"{number}.{side}") for number in range(3) for side in ("de", "en")]
    out = [str(tmp_path / name) for name in ("train.de", "train.en", "dev.de", "dev.en")]
    command = ["read-corpus", "--parallel", "--join", "--training", "2", *paths, "--output"]
    assert cli.main([*command, *out]) == 0
    assert (tmp_path / "train.en").read_text() == "en 0 0\nen 0 1\nen 0 2\nen 1 0\nen 1 1\n"
    assert (tmp_path / "dev.de").read_text() == "de 2 0\n"
    assert f"{paths[2]}: 2 pairs\n" in capsys.readouterr().err
    assert cli.main([*command, *out[:2]]) == 1
    assert "--output needs 4 names" in capsys.readouterr().err
    assert cli.main(["read-corpus", "--parallel", "--join", "--training", "4", *paths]) == 1
    assert cli.main(["read-corpus", "--join", "--training", "2", *paths]) == 1


def test_clean_corpus_command_sets_pairs_apart_and_drops_held_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    de = _file(tmp_path, "de", "".join(f"a b {i}\n" for i in range(10)))
    en = _file(tmp_path, "en", "".join(f"A B {i}\n" for i in range(10)))
    held = [_file(tmp_path, "h.de", "x\na b 4\n"), _file(tmp_path, "h.en", "A B 0\nY\n")]
    out = [tmp_path / name for name in ("o.de", "o.en", "v.de", "v.en")]
    command = ["clean-corpus", str(de), str(en), "--output", *map(str, out[:2])]
    command += ["--held-out", "test", *map(str, held), "--drop-held-out", "3"]
    assert cli.main([*command, "--split", "3", *map(str, out[2:])]) == 0
    assert out[2].read_text() == "a b 3\na b 7\n"
    assert out[1].read_text() == "".join(f"A B {i}\n" for i in (1, 2, 5, 6, 8, 9))
    text = capsys.readouterr().err
    assert "dropped, in a held-out set: 2\nkept: 8\nof these set apart, one of 3: 2\n" in text
    assert "test sentences that also stand in the training text: 1 by source, 1 by target, 0 by pair\n" in text
    for wrong in ("1", "x"):
        assert cli.main([*command, "--split", wrong, *map(str, out[2:])]) == 1
        assert "--split needs --output, and a number of at least 2" in capsys.readouterr().err
