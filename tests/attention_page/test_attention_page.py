"""The page in a real browser, without a network: what is clicked, typed and shown; and what the command refuses."""

import json
import re
import shutil
import subprocess
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from browser import PROGRAM, Browser
from builders import dictionary, save
from fairseq.dataclass import configs
from pipeline_tools import ROOT

from fairseq_plugins import cli
from fairseq_plugins.attention_page.page import REPORT, SCRIPTS, attention_page
from fairseq_plugins.attention_page.recording import Weights
from fairseq_plugins.attention_page.sentence import Sentence
from fairseq_plugins.attention_page.sides import side

ROOM = ROOT / "fairseq_plugins" / "attention_page"
HOSTILE = [
    "<script>alert(1)</script>",
    "</script>",
    "שלום",
    "العربية",
    "👩‍👩‍👧‍👦",
    "&lt;",
    "",
    " ",
    "\u2028",
    '"',
    "x" * 200,
]


class Said:
    """What the page says of a model."""

    name, kind, facts = "<b>model</b>", "masked LM", {"</script>": "<i>"}


def sentence(number, pieces, heads=2, layers=2, sparse=False):
    tokens = side(pieces, [False] * len(pieces))
    weights = np.random.default_rng(number).dirichlet(np.ones(len(pieces)), size=(heads, len(pieces)))
    one = (
        Weights(weights, weights**2 / (weights**2).sum(-1, keepdims=True), weights[..., 0])
        if sparse
        else Weights(weights)
    )
    return Sentence(number, tokens, sites={"encoder": [one] * layers}, losses=[1.0] * len(pieces))


def open_page(browser, path, sentences, **look):
    path.write_text(attention_page([(Said, sentences)], "<u>title</u>"), encoding="utf-8")
    browser.show(path, **look)
    settle(browser)


def settle(browser):
    """Wait until the page has drawn what was chosen."""
    browser.value("new Promise((done) => setTimeout(done, 120))")


def clean(browser):
    """Nothing was asked for but the page itself, and nothing complained of."""
    assert [address for address in browser.requests() if not address.startswith("data:")][1:] == []
    assert browser.complaints() == []


def text_of(browser, selector):
    return browser.value(f"document.querySelector({json.dumps(selector)})?.textContent")


def click(browser, selector):
    """A click of the mouse where the element is."""
    one = f"document.querySelector({json.dumps(selector)})"
    browser.value(f"{one}.scrollIntoView({{block: 'center'}})")
    box = browser.value(f"{one}.getBoundingClientRect().toJSON()")
    where = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    for kind in ("mousePressed", "mouseReleased"):
        browser.call("Input.dispatchMouseEvent", type=kind, **where, button="left", clickCount=1)
    settle(browser)


@pytest.fixture(scope="module")
def browser():
    if PROGRAM is None:
        pytest.skip("no Chromium: install the system's chromium")
    with Browser() as found:
        yield found


@pytest.fixture(scope="module")
def translations(tmp_path_factory):
    """A page of two models that translate, one of them sparse."""
    folder = tmp_path_factory.mktemp("page")
    for name in ("dict.de.txt", "dict.en.txt"):
        dictionary().save(str(folder / name))
    for ending in ("bin", "idx"):
        (folder / f"train.de-en.de.{ending}").touch()
    (folder / "text").write_text("w1 w2 w3\nw4 w5 w6 w7 w8 w9\n")
    for name, case in (("a", "transformer_baseline_tiny"), ("b", "transformer_mixing-top-r")):
        (folder / name).mkdir()
        save(folder / name / "model.pt", case, noise=0.5)
    words = [folder / "a/model.pt", folder, "--beside", folder / "b/model.pt", "--text", folder / "text"]
    with pytest.MonkeyPatch.context() as patch:  # models that learnt nothing would write 200 words
        patch.setattr(configs, "GenerationConfig", partial(configs.GenerationConfig, max_len_b=16))
        assert cli.main(["attention-page", *map(str, words), "--out", str(folder / "page.html"), "--cpu"]) == 0
    return folder / "page.html"


def test_a_walk_by_mouse_and_keyboard(browser, translations):
    browser.show(translations)
    settle(browser)
    assert browser.value("document.querySelectorAll('.thumbnail').length") == 8
    click(browser, '#sites [data-value="cross"]')
    click(browser, '[data-head="2.3"]')
    assert text_of(browser, "#head-title") == "Cross-attention, layer 2, head 3"
    # the matrix reads out what its arrays hold, by the keyboard
    browser.value("document.querySelector('#drawing svg').focus()")
    for key in ("ArrowRight", "ArrowRight", "ArrowDown"):
        browser.press(key)
    expected = browser.value(
        "weightsOf(0, 0).then((all) => matrixOf(all.cross[1], 2, 'used').values[all.cross[1].keys + 2])"
    )
    told = text_of(browser, "#readout")
    assert re.match(rf"“w\d+” to “w3”: {expected:.3f}", told) or expected < 0.0005, told
    # the lines, whole words, another line of text, the search
    click(browser, '#views [data-value="lines"]')
    assert browser.value("document.querySelectorAll('#drawing line').length") > 3
    click(browser, "#words")
    click(browser, "#after")
    assert text_of(browser, "#line").startswith("w4 w5 w6 w7 w8 w9 </s>")
    steps = int(browser.value("document.querySelector('#step').max"))
    browser.value("document.querySelector('#step').focus()")
    for _ in range(2):
        browser.press("ArrowRight")
    settle(browser)
    assert text_of(browser, "#step-told") == f"3 of {steps + 1}"
    rows = browser.value(
        "[...document.querySelectorAll('.beam tbody th')].map((one) => one.textContent.split(' ').length)"
    )
    assert rows == [2] * len(rows)
    # beside: B's kept keys beside the dense ones, and the difference
    click(browser, '#sides [data-value="b"]')
    assert "top-r" in text_of(browser, ".models")
    click(browser, '#parts [data-value="lost"]')
    click(browser, "#words")  # of whole words nothing is kept or left out
    assert re.search(r"\((kept|left out); dense", text_of(browser, "#readout"))
    click(browser, '#sides [data-value="difference"]')
    browser.value(
        "(() => { const one = get('pairing'); one.value = 'alike'; one.dispatchEvent(new Event('change')); })()"
    )
    settle(browser)
    assert "of its weight on the same keys" in text_of(browser, "#facts")
    assert "model=difference" in browser.value("location.hash")
    clean(browser)


def test_a_link_opens_what_it_names(browser, translations):
    browser.show(translations)
    settle(browser)
    browser.value("location.hash = '#line=1&site=decoder&layer=1&head=3&view=lines'")
    settle(browser)
    assert text_of(browser, "#head-title") == "Decoder, layer 2, head 4"
    browser.value("location.hash = '#line=99&site=nowhere&layer=-3&head=x&view=pie'")
    settle(browser)
    assert text_of(browser, "#head-title") == "Encoder, layer 1, head 1"
    clean(browser)


def test_pictures_can_be_saved(browser, translations, tmp_path):
    browser.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    browser.show(translations)
    settle(browser)
    for view in ("matrix", "lines"):
        click(browser, f'#views [data-value="{view}"]')
        svg = browser.value("svgText(document.querySelector('#drawing svg'))")
        assert "var(" not in svg
        assert "w1" in svg
        size = browser.value("pngOf(document.querySelector('#drawing svg')).then((blob) => blob.size)")
        assert size > 3000
    for ending in ("svg", "png"):
        click(browser, f"#save-{ending}")
        saved = tmp_path / f"attention-line1-encoder-1.1.{ending}"
        deadline = time.monotonic() + 20
        while not saved.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert saved.stat().st_size > 1000
    clean(browser)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 390])
def test_hostile_text_is_shown_as_text(browser, width, dark, tmp_path):
    """Scripts, scripts of both directions, an emoji of seven code points, blanks and what JavaScript ends lines at."""
    sentences = [sentence(1, HOSTILE), sentence(2, ["alone"]), Sentence(3, note="600 tokens are more than <it> takes")]
    open_page(browser, tmp_path / "page.html", sentences, width=width, dark=dark)
    assert text_of(browser, "h1") == "<u>title</u>"
    shown = browser.value("[...document.querySelectorAll('#tokens bdi')].map((one) => one.textContent)")
    assert shown == [piece if piece.strip() else {"": "∅"}.get(piece, "␣") for piece in HOSTILE]
    assert browser.value("document.body.scrollWidth <= innerWidth")
    click(browser, "#after")
    assert browser.value("document.querySelectorAll('.thumbnail').length") == 4
    click(browser, "#after")
    assert text_of(browser, "#line") == "Nothing to see: 600 tokens are more than <it> takes."
    assert browser.value("document.querySelector('#overview').hidden")
    clean(browser)


def test_long_lines_and_many(browser, tmp_path):
    """Of 500 tokens those under the cursor are named, and a hundred lines are there."""
    sentences = [sentence(1, [f"w{at}" for at in range(500)], 2, 1, sparse=True)]
    sentences += [sentence(at, ["a", "b", "c"], 2, 1, sparse=True) for at in range(2, 101)]
    open_page(browser, tmp_path / "page.html", sentences)
    browser.value("document.querySelector('#drawing svg').focus()")
    for key in ("ArrowDown", "ArrowRight", "End"):
        browser.press(key)
    assert re.match("“w1” to “w499”", text_of(browser, "#readout"))
    assert "those under the cursor are named" in text_of(browser, "#remark")
    assert browser.value("document.querySelector('#sentence').length") == 100
    clean(browser)


def test_a_page_is_small_and_drawn_at_once(browser, tmp_path):
    """20 lines of 30 tokens, six layers of eight heads at three sites: 5 MB at most, drawn in a second."""
    made = [sentence(at, [f"w{number}" for number in range(30)], 8, 6) for at in range(20)]
    for one in made:
        layers = [
            layer._replace(used=layer.used**3 / (layer.used**3).sum(-1, keepdims=True))
            for layer in one.sites["encoder"]
        ]
        one.inputs = one.target = one.source
        one.sites = dict.fromkeys(("encoder", "decoder", "cross"), layers)
    open_page(browser, tmp_path / "page.html", made)
    assert (tmp_path / "page.html").stat().st_size < 5e6
    first = browser.value("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    assert first < 1000, "on a quiet machine a fifth of it"


def test_scripts_are_linted(tmp_path):
    """As the pages put them together."""
    program = shutil.which("oxlint", path=str(Path(shutil.sys.executable).parent)) or shutil.which("oxlint")
    if program is None:
        pytest.skip("no oxlint: pip install oxlint")
    together = "\n".join((ROOM / name).read_text() for name in SCRIPTS)
    (tmp_path / "attention.js").write_text(together)
    for name in ("theme.js", "script.js"):
        shutil.copy(REPORT / name, tmp_path / name)
    shutil.copy(ROOT / ".oxlintrc.json", tmp_path)
    done = subprocess.run([program, "."], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "3 files" in done.stdout
    assert sum(len((ROOM / name).read_text().splitlines()) for name in SCRIPTS) <= 1200


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["{model}"], "give lines to look at with --text FILE, or DATA"),
        (["{model}", "{data}", "--split", "test"], r"no test\S*.de.bin; give --split|no \S*.bin; give --split"),
        (["{model}", "{data}", "--text", "{text}", "--beam", "0"], "--beam needs a number of at least 1"),
        (["{model}", "{data}", "--text", "nowhere"], "nowhere: cannot be read"),
        (["nowhere.pt", "{data}"], "nowhere.pt: no such checkpoint or folder"),
        (["{model}", "{data}", "--target", "{text}"], "--target goes with --text"),
        (["{model}", "{data}", "--text", "{text}", "--alignments", "{text}"], "--alignments are those of a given"),
        (["{model}", "{data}", "--text", "{text}", "--reference"], "--reference is of DATA"),
        (["{data}", "--text", "{text}"], "transformers cannot load it"),
        (["{model}", "{data}", "--text", "{text}", "--target", "{short}"], "short: 1 lines, but .*text has 2"),
        (
            ["{model}", "{data}", "--text", "{text}", "--target", "{text}", "--alignments", "{short}"],
            "1 lines, but there are 2",
        ),
        (["{model}", "--text", "{text}"], "give --record DIR"),
        (["{text}", "{data}"], "text refused, and nothing in it was run"),
    ],
)
def test_what_cannot_be_is_one_sentence(words, said, translations, tmp_path, capsys):
    (tmp_path / "short").write_text("0-0\n")
    names = {
        "model": translations.parent / "a/model.pt",
        "data": translations.parent,
        "text": translations.parent / "text",
    }
    names["short"] = tmp_path / "short"
    command = [word.format(**names) for word in words]
    assert cli.main(["attention-page", *command, "--out", str(tmp_path / "page.html"), "--cpu"]) == 1
    message = capsys.readouterr().err
    assert re.search(said, message), message
    assert "Traceback" not in message
    assert not (tmp_path / "page.html").exists()


def test_alignment_error_rates_are_told(translations, tmp_path, capsys):
    folder = translations.parent
    (tmp_path / "gold").write_text("0-0 1-1\n0-1 2p2\n")
    (tmp_path / "target").write_text("w1 w2\nw3 w4 w5\n")
    words = [folder / "a/model.pt", folder, "--text", folder / "text", "--target", tmp_path / "target"]
    words += ["--alignments", tmp_path / "gold", "--sentences", "1", "--out", tmp_path / "page.html", "--cpu"]
    assert cli.main(["attention-page", *map(str, words)]) == 0
    assert "| layer.head | AER, query that predicts |" in " ".join(capsys.readouterr().out.split())
    text = (tmp_path / "page.html").read_text()
    content = json.loads(re.search(r'id="content">(.*?)</script>', text, re.DOTALL)[1])
    rates = [head["rates"] for layer in content["models"][0]["heads"]["cross"] for head in layer]
    assert len(rates) == 8
    assert all(0 <= rate <= 1 for both in rates for rate in both)
    assert len(content["sentences"]) == 1, "the rates are of all lines, the page of the first"
