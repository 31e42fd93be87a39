"""The report of a study: its files as they are, and its page in a real browser."""

import copy
import difflib
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import browser
import pytest
from pipeline_tools import ROOT
from study_results import study_results, study_times

from fairseq_plugins.report.page.marks import Figure
from fairseq_plugins.report.page.palette import series
from fairseq_plugins.report.page.scales import Scale, apart, ticks
from fairseq_plugins.report.page.svg import as_file
from fairseq_plugins.report.page.words import pieces
from fairseq_plugins.report.page.write import write_report

HOSTILE = "[*]</script><script>document.title='taken'</script><b>bold</b> & \u202eright to left $x_1$ | \x07 100 %"
LONG = "an-attention-whose-name-goes-on-and-on-and-on-until-nobody-reads-it-any-more"


def hostile():
    """Names and sentences that would break out, a variant without a metric, one without curves."""
    sentence = ("שלום " + HOSTILE, HOSTILE, HOSTILE + " one two", "two one " + HOSTILE)
    results = study_results(names=["baseline", HOSTILE, LONG], sentences=[sentence], seeds=2, missing=False)
    del results["variants"][2]["scores"]["TER"], results["variants"][2]["against_baseline"]["TER"]
    results["variants"][2]["curves"] = []
    for key in ("title", "question"):
        results[key] = HOSTILE
    results["verdict"]["headline"] = HOSTILE
    results["missing"] = [{"variant": "gone", "seed": 3, "reason": HOSTILE, "last_lines": [HOSTILE] * 2}]
    return results


def odd():
    """All that may be null: what diverged, what nobody chose, a variant of which no run is left."""
    results = study_results(variants=3, seeds=3, missing=False)
    gone = results["variants"][2]
    nothing = {"per_seed": [], "mean": None, "deviation": None}
    gone.update(seeds=[], curves=[], runs=[], scores={}, validation=nothing, length_ratio=None, operations=None)
    gone.update(against_baseline=None, why_no_test="no run is left")
    results["variants"][0]["curves"][0]["points"][3][1] = None
    test = results["variants"][1]["against_baseline"]["BLEU"]
    test.update(detectable=None, shares=None, seeds_for_half=None, df=None)
    results["analysis"]["source_length"]["variants"]["neuralqkv"][2] = None
    first, second, _ = results["tuning"]["variants"]
    first["trials"][0].update(loss=None, per_seed=[None, None])
    for trial in second["trials"]:
        trial["chosen"] = False
    second["length_penalty"] = None
    results["tuning"]["variants"].append({**first, "name": "a variant that was dropped"})
    results["provenance"]["machine"].update(processor=None, gpus=[])
    results["provenance"].update(commit=None, threads=None)
    return results


#: name -> results and whether they have times
CASES = {
    "odd": (odd, False),
    "translation": (study_results, True),
    "masked_lm": (lambda: study_results("masked_lm", 4, analysis=True, missing=False), False),
    "glue": (lambda: study_results("glue", 4, tuning=False), True),
    "one_seed": (lambda: study_results("language_modeling", seeds=1, tuning=False, budget=False), True),
    "bare": (lambda: study_results(variants=2, tuning=False, analysis=False, points=0, missing=False), False),
    "many": (lambda: study_results(variants=13, seeds=20, points=20), True),
    "hostile": (hostile, True),
}


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """Name of a case -> its results and folder, without PDFs, which take the longest."""
    written = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "matplotlib", None)
        for name, (make, timed) in CASES.items():
            results, folder = make(), tmp_path_factory.mktemp(name)
            write_report(results, study_times(results) if timed else None, folder)
            written[name] = results, folder
    return written


class Visible(HTMLParser):
    """The text of a page, and the attributes of its elements."""

    def __init__(self, page):
        super().__init__()
        self.words, self.elements, self.hidden = [], [], 0
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.hidden += tag in ("script", "style")

    def handle_endtag(self, tag):
        self.hidden -= tag in ("script", "style")

    def handle_data(self, data):
        if not self.hidden:
            self.words.append(data)


def fixed(value, digits, sign=False):
    """As Python formats it, with a true minus."""
    return f"{value:{'+' if sign else ''}.{digits}f}".replace("-", "\N{MINUS SIGN}")


def numbers(results):
    """What the tables of scores and differences must say."""
    digits = {metric["name"]: metric["digits"] for metric in results["metrics"]}
    for model in results["variants"]:
        yield f"{model['parameters']:,}"
        for metric, scores in model["scores"].items():
            yield fixed(scores["mean"], digits[metric])
            if scores["deviation"] is not None:
                yield f"± {fixed(scores['deviation'], digits[metric])}"
        for metric, test in (model["against_baseline"] or {}).items():
            if round(test["difference"], digits[metric]):
                yield fixed(test["difference"], digits[metric], True)
            yield "< 0.001" if test["p_holm"] < 0.001 else f"{test['p_holm']:.3f}"


def test_files_are_there(reports):
    results, folder = reports["translation"]
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    figures = ("differences", "seeds", "curves", "word_frequency", "source_length", "tuning", "length_penalty")
    assert found == {
        *("report.html", "report.md", "report.tex", "results.csv", "results.json", "times.json", "times.md"),
        *(f"figures/{name}.svg" for name in figures),
    }
    assert json.loads((folder / "results.json").read_text()) == results
    assert {path.name for path in (reports["bare"][1] / "figures").iterdir()} == {"differences.svg", "seeds.svg"}
    assert not (reports["bare"][1] / "times.json").exists()


def test_without_matplotlib_there_is_a_remark(tmp_path, capsys, monkeypatch):
    """Nor are the results changed."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    results = study_results(variants=2, tuning=False, analysis=False, points=3)
    before = copy.deepcopy(results)
    files = write_report(results, None, tmp_path)
    assert "pip install matplotlib" in capsys.readouterr().err
    assert all(path.is_file() and path.suffix != ".pdf" for path in files)
    assert results == before


def test_equal_results_give_equal_bytes(tmp_path):
    """In another process, under another hash seed and with other times: all but the times, and their section."""
    results, folder, again = study_results(tuning=False, analysis=False, points=5), tmp_path / "one", tmp_path / "two"
    files = write_report(results, study_times(results), folder)
    assert {path.name for path in files if path.suffix == ".pdf"} == {"differences.pdf", "seeds.pdf", "curves.pdf"}
    code = (
        "import json, sys; from fairseq_plugins.report.page.write import write_report;"
        "results, times = json.load(sys.stdin); write_report(results, times, sys.argv[1])"
    )
    times = study_times(results)
    times["wall_seconds"] = 1.0
    reordered = json.dumps([results, times], sort_keys=True)
    environment = {**os.environ, "PYTHONHASHSEED": "77", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, str(again)]
    subprocess.run(command, input=reordered, text=True, check=True, timeout=120, env=environment)
    apart_from_times = {"times.json", "times.md", "report.html"}
    for path in (path for path in files if path.name not in apart_from_times):
        assert path.read_bytes() == (again / path.relative_to(folder)).read_bytes(), path
    pages = [(one / "report.html").read_text().splitlines() for one in (folder, again)]
    changed = [line for line in difflib.ndiff(*pages) if line[:2] in ("- ", "+ ")]
    assert len(changed) == 2
    assert all("All trainings together took" in line for line in changed)


@pytest.mark.parametrize("case", CASES)
def test_numbers_are_in_every_twin(case, reports):
    results, folder = reports[case]
    tex = (folder / "report.tex").read_text().replace(r"$\pm$", "±").replace("$-$", "\N{MINUS SIGN}")
    twins = {
        "html": " ".join("".join(Visible((folder / "report.html").read_text()).words).split()),
        "md": (folder / "report.md").read_text().replace("&lt;", "<"),
        "tex": tex.replace("$<$", "<"),
    }
    for kind, text in twins.items():
        assert {number for number in numbers(results) if number not in text} == set(), kind
    lines = (folder / "results.csv").read_text().splitlines()
    assert len(lines) == 1 + sum(
        len(scores["per_seed"]) for model in results["variants"] for scores in model["scores"].values()
    )


@pytest.mark.parametrize("case", CASES)
def test_page_asks_for_nothing(case, reports):
    page = (reports[case][1] / "report.html").read_text()
    assert len(page.encode()) < 2_000_000
    assert not re.search(r"https?://|url\(|@import", page)
    for tag, attributes in Visible(page).elements:
        assert tag not in ("img", "iframe", "object", "embed", "video", "audio"), tag
        assert not {"src", "srcset", "data", "action"} & set(attributes), tag
        assert attributes.get("href", "#").startswith("#") or attributes == {"rel": "icon", "href": "data:,"}


def test_times_are_in_their_section_alone(reports):
    assert 'id="times"' not in (reports["bare"][1] / "report.html").read_text()
    page = (reports["translation"][1] / "report.html").read_text()
    before, section, after = re.split(r'<section id="(?:times|provenance)".*', page)
    assert "41,230" in section
    assert "41,230" not in before + after
    assert "17 h 01 min" in section  # 61,234.5 s: 17 h are 61,200 s


def test_hostile_text_stays_text(reports):
    _, folder = reports["hostile"]
    page = Visible((folder / "report.html").read_text())
    assert [tag for tag, _ in page.elements].count("script") == 2  # the readout's data, and the page's own
    assert not [tag for tag, attributes in page.elements if tag == "b" and attributes]
    assert HOSTILE in "".join(page.words)
    markdown = (folder / "report.md").read_text()
    assert "<b>" not in markdown
    table = [line for line in markdown.splitlines() if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {4, 9, 10}  # three tables, one width each
    tex = (folder / "report.tex").read_text()
    body = re.sub(r"(?m)^%.*", "", tex)
    assert r"\$x\_1\$" in body
    assert not re.search(r"(?<!\\)[#_]|<b>|\\\\\s*[\[*]|\x07", body)
    for figure in (folder / "figures").glob("*.svg"):
        ElementTree.parse(figure)


def test_latex_is_balanced(reports):
    for _, folder in reports.values():
        tex = (folder / "report.tex").read_text()
        assert tex.startswith("%")
        assert r"\usepackage{booktabs}" in tex
        assert re.findall(r"\\begin{(\w+)}", tex) == ["table", "tabular"] * tex.count(r"\begin{table}")
        for columns, body in re.findall(r"\\begin{tabular}{@{}(\w+)@{}}(.*?)\\end{tabular}", tex, flags=re.S):
            rows = [line for line in body.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
            assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {len(columns) - 1}


def test_figures_stand_alone(reports):
    """As files they have colours, not variables, and what is drawn has room."""
    for _, folder in reports.values():
        for path in (folder / "figures").glob("*.svg"):
            text = path.read_text()
            assert "var(" not in text
            root = ElementTree.fromstring(text)
            width, height = float(root.get("width")), float(root.get("height"))
            assert root.findtext("{http://www.w3.org/2000/svg}title")
            for element in root.iter("{http://www.w3.org/2000/svg}polyline"):
                for point in element.get("points").split():
                    x, y = map(float, point.split(","))
                    assert 0 <= x <= width, path
                    assert 0 <= y <= height, path


def test_variants_are_told_apart_without_colour_or_by_it():
    looks = [series(place) for place in range(13)]
    assert len({(look.colour, look.shape) for look in looks}) == 13
    assert len({(look.shape, look.dash) for look in looks[:5]}) == 5


def test_words_that_differ():
    found = pieces("we saw the big house .", "we saw a house .", "we saw the house !")
    assert [tuple(piece) for piece in found] == [
        ("we saw", False, False),
        ("the", True, False),
        ("big", True, True),
        ("house", False, False),
        (".", False, True),
    ]
    assert pieces("", "a", "b") == []


def test_scales():
    scale = Scale(0, 10, 100, 200)
    assert [scale(value) for value in (0, 5, 10)] == [100, 150, 200]
    assert ticks(Scale(-0.31, 0.62, 0, 1), 5) == [
        (pytest.approx(value, abs=1e-12), name)
        for value, name in ((-0.2, "\N{MINUS SIGN}0.2"), (0, "0.0"), (0.2, "0.2"), (0.4, "0.4"), (0.6, "0.6"))
    ]
    assert apart([5.0, 1.0, 5.0], 2.0, 0.0, 10.0) == [4.0, 1.0, 6.0]
    assert apart([9.0, 9.5, 10.0], 2.0, 0.0, 10.0) == [6.0, 8.0, 10.0]
    assert as_file(Figure("t", "x", 10, 10)).startswith(b"<svg")


@pytest.fixture(scope="module")
def chromium():
    if browser.PROGRAM is None:
        pytest.skip("no Chromium")
    with browser.Browser() as opened:
        yield opened


OVERFLOW = """[...document.querySelectorAll("main *, nav *")].filter(one => {
    const box = one.getBoundingClientRect();
    return box.width && box.right > innerWidth + 1 && !one.closest(".scroll, pre, svg, .unseen");
}).map(one => one.outerHTML.slice(0, 80))"""
TABLE = """[...document.querySelectorAll("#scores tbody tr")].map(row =>
    [...row.cells].map(cell => cell.innerText.replace(/\\s+/g, " ").trim()))"""
DRAWN = """[...document.querySelectorAll("figure svg[role=img]")].filter(one => one.checkVisibility()).map(one =>
    [one.id, one.getBoundingClientRect().width > 200 && one.getBoundingClientRect().height > 50])"""


@pytest.mark.parametrize("case", CASES)
def test_page_in_a_browser(case, reports, chromium):
    results, folder = reports[case]
    page = folder / "report.html"
    chromium.show(page)
    assert chromium.value("document.title") == results["title"].replace("\x07 ", "")
    names = sorted(path.stem for path in (folder / "figures").glob("*.svg"))
    for width, kind in ((1280, "wide"), (360, "narrow")):
        for dark in (False, True):
            chromium.look(width, dark)
            assert chromium.value("document.documentElement.scrollWidth") <= width
            assert chromium.value(OVERFLOW) == []
            assert sorted(chromium.value(DRAWN)) == [[f"{name}-{kind}", True] for name in names]
            paper = chromium.value("getComputedStyle(document.body).backgroundColor")
            assert paper == ("rgb(21, 23, 26)" if dark else "rgb(255, 255, 255)")
    primary = results["metrics"][0]
    for row, model in zip(chromium.value(TABLE), results["variants"]):
        scores = model["scores"].get(primary["name"])
        if scores is None:
            assert row[1:3] == ["\N{EN DASH}", model["why_no_test"]]
            continue
        deviation = f" ± {fixed(scores['deviation'], primary['digits'])}" if scores["deviation"] is not None else ""
        assert row[1] == fixed(scores["mean"], primary["digits"]) + deviation
        if model["against_baseline"]:
            test = model["against_baseline"][primary["name"]]
            ends = ", ".join(fixed(test[end], primary["digits"], True) for end in ("low", "high"))
            assert re.search(r"\[(.*)\]", row[2])[1] == ends
    assert chromium.requests() == [page.resolve().as_uri()]
    assert chromium.complaints() == []


def test_page_without_scripts(reports, chromium):
    results, folder = reports["translation"]
    chromium.show(folder / "report.html", script=False)
    text = chromium.value("document.body.innerText")
    assert results["verdict"]["headline"] in text
    assert "Theme" not in text
    assert len(chromium.value(DRAWN)) == 7


def test_page_by_keyboard(reports, chromium):
    """The first stop skips to the verdict; arrows read the curves; the theme is switched; print opens what is shut."""
    _, folder = reports["translation"]
    chromium.show(folder / "report.html")
    chromium.press("Tab")
    assert chromium.value("document.activeElement.className") == "skip"
    assert chromium.value("document.activeElement.getBoundingClientRect().left") >= 0

    chromium.value("document.querySelector('.wide[data-readout]').focus()")
    for _ in range(2):
        chromium.press("ArrowLeft")
    read = chromium.value("document.getElementById('readout').innerText")
    curves = [dict(map(tuple, one["points"])) for one in reports["translation"][0]["variants"][0]["curves"]]
    assert read.startswith("update 19,000")
    losses = [curve[19000] for curve in curves]
    assert f"baseline {sum(losses) / 5:.3f} ({min(losses):.3f}\N{EN DASH}{max(losses):.3f})" in " ".join(read.split())

    chromium.value("document.getElementById('theme').click(), document.getElementById('theme').click()")
    assert chromium.value("getComputedStyle(document.body).backgroundColor") == "rgb(21, 23, 26)"
    chromium.look(medium="print")
    assert chromium.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    chromium.value("dispatchEvent(new Event('beforeprint'))")
    assert chromium.value("[...document.querySelectorAll('details')].every(one => one.open)")
    assert chromium.value("document.querySelectorAll('.command button').length") == 14
    assert chromium.complaints() == []


def test_tables_say_what_their_cells_belong_to(reports):
    for _, folder in reports.values():
        page = (folder / "report.html").read_text()
        for table in re.findall(r"<table.*?</table>", page, flags=re.S):
            assert "<caption>" in table
            assert not re.search(r"<th(?![^>]*scope=)[^a-z]", table)
        ids = re.findall(r'\bid="([^"]+)"', page)
        assert len(ids) == len(set(ids))
