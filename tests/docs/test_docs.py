"""The site builds, its worked example runs, its commands parse, its links lead somewhere, its lists are complete."""

import functools
import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import types
from html.parser import HTMLParser
from pathlib import Path

import fairseq
import pytest
import torch
from builders import batch, build
from documents import blocks, commands
from fairseq import options
from pipeline_tools import python_script
from running import SIZES, forked
from running import fairseq as fresh
from zygote import quick_python

from fairseq_plugins import cli
from fairseq_plugins.attention import AttentionConfig, stages
from fairseq_plugins.attention import __all__ as public_names
from fairseq_plugins.models.grid import FAMILY_SITES

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    str(path.relative_to(ROOT))
    for pattern in ("*.md", "docs/*.md", "examples/*/README.md")
    for path in ROOT.glob(pattern)
)
PARSERS = {
    "fairseq-train": options.get_training_parser,
    "fairseq-generate": options.get_generation_parser,
    "fairseq-eval-lm": options.get_eval_lm_parser,
    "fairseq-preprocess": options.get_preprocessing_parser,
}
#: what is neither fairseq's nor ours: no options of theirs are checked
OTHERS = {"source", "mkdir", "cp", "echo", "pip", "sacremoses", "sacrebleu"}
#: functions that a page defines
FUNCTIONS = {"on", "bits", "translate"}


def read(page):
    return (ROOT / page).read_text(encoding="utf-8")


# ---- the site


class Needs(HTMLParser):
    """What a browser loads with a page, and where its links lead."""

    def __init__(self):
        super().__init__()
        self.loaded, self.links = [], []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag in ("script", "img", "iframe", "source"):
            self.loaded.append(attrs.get("src"))
        elif tag == "link" and attrs.get("rel") != "canonical":
            self.loaded.append(attrs.get("href"))
        elif tag == "a":
            self.links.append(attrs.get("href"))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """What mkdocs makes; --strict turns each warning (a link or an anchor that leads nowhere) into an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_site_has_every_page_and_needs_no_network(site):
    pages = {}
    for path in site.rglob("*.html"):
        pages[path.relative_to(site).as_posix()] = needs = Needs()
        needs.feed(path.read_text(encoding="utf-8"))
    names = {page.replace("docs/", "").replace("README", "index") for page in PAGES if page != "README.md"}
    expected = {name.replace(".md", ".html" if name.endswith("index.md") else "/index.html") for name in names}
    made = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("examples/*/*.html")}
    made |= {"toy_study.html", "toy_attention.html"}
    assert expected | made == set(pages) - {"404.html"}, "beside them pages of our own, as they were written"
    for name, needs in pages.items():
        assert not [address for address in needs.loaded if address and "//" in address], name
        for link in (link.partition("#")[0] for link in needs.links if link):
            if name != "404.html" and link and "://" not in link:
                target = (site / name).parent / link
                assert (target / "index.html" if link.endswith(("/", ".")) else target).is_file(), (name, link)
    assert "four_stages.svg" in read("docs/attention.md")


def test_reference_shows_what_is_public(site):
    text = (site / "reference" / "index.html").read_text(encoding="utf-8")
    for name in (*public_names, "repairs"):
        assert re.search(rf'id="[\w.]*\b{name}"', text, re.IGNORECASE), name
    assert ":class:" not in text
    assert "&gt;&gt;&gt; " in re.sub(r"<[^>]+>", "", text)


# ---- commands


@functools.cache
def help_of(script):
    shown = subprocess.run(["bash", script, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert shown.returncode == 0, shown.stderr
    return shown.stdout


def check_fairseq(program, arguments):
    parser = PARSERS[program]()
    if program == "fairseq-preprocess":
        parser.parse_args(arguments)  # as it does itself
    else:
        options.parse_args_and_arch(parser, arguments)


def check_script(script, arguments):
    """Each option stands in its --help; what follows -- are options of fairseq-train."""
    own, _, others = " ".join(map(shlex.quote, arguments)).partition(" -- ")
    explained = help_of(script)
    if "as in train.sh" in explained:
        explained += help_of("scripts/train.sh")
    for option in re.findall(r"(?<!\S)--[a-z][\w-]*", own):
        assert re.search(rf"(?<![\w-]){option}(?![\w-])", explained), f"{script} has no {option}"
    if others and script.startswith(("scripts/train", "examples/")):
        arch = ["--arch", "transformer_baseline_tiny", "--lr-scheduler", "inverse_sqrt", "--optimizer", "adam"]
        check_fairseq("fairseq-train", ["data", *arch, *shlex.split(others)])


def check_plugin(arguments, monkeypatch):
    module = importlib.import_module(f"fairseq_plugins.commands.{cli.COMMANDS[arguments[0]][0]}")
    with monkeypatch.context() as patch:
        patch.setattr(module, "run", lambda args: 0)
        assert cli.main(arguments) == 0


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(read(page), "bash")])
def test_commands_parse(page, monkeypatch, capsys):
    """What the commands do has tests of its own."""
    monkeypatch.chdir(ROOT)
    for program, *arguments in commands(read(page)):
        words = " ".join([program, *arguments])
        if program == "bash":
            program, *arguments = arguments
        elif program.startswith(("scripts/", "examples/")):
            assert os.access(ROOT / program, os.X_OK), f"{program} cannot be called by its name"
        program = program.replace(".venv/bin/", "")
        try:
            if program in PARSERS:
                check_fairseq(program, arguments)
            elif program == "fairseq-plugins" and arguments != ["--help"]:
                check_plugin(arguments, monkeypatch)
            elif program in ("scripts/benchmark.py", "scripts/calibrate_statistics.py"):
                python_script(Path(program).stem).build_parser().parse_args(
                    [argument for argument in arguments if argument != "${@:2}"]
                )
            elif program == "sbatch" and "--wrap" in arguments:
                shell, script, *rest = shlex.split(arguments[arguments.index("--wrap") + 1])
                assert shell == "bash"
                check_script(script, rest)
            elif program == "sbatch":
                at = next(at for at, word in enumerate(arguments) if word.endswith(".sbatch"))
                job, *rest = arguments[at:]
                assert (ROOT / job).is_file(), job
                at = next((at for at, word in enumerate(rest) if word.endswith(".sh")), None)
                # without a script among its words it calls the one of its name
                script, rest = (f"scripts/{Path(job).stem}.sh", rest) if at is None else (rest[at], rest[at + 1 :])
                check_script(script, rest)
            elif program.endswith(".sh"):
                check_script(program, arguments)
            else:
                assert program in OTHERS | FUNCTIONS or arguments == ["--help"], f"what is {program}?"
        except SystemExit:
            pytest.fail(f"{page}: {words}: {capsys.readouterr().err}")


def test_a_wrong_command_is_seen(monkeypatch):
    """The check itself: an option that is none, of each kind of command."""
    monkeypatch.chdir(ROOT)
    loop = "for v in a b; do X=1 scripts/train.sh data --arch $v --bach-tokens 3 \\\n  -- --fp16; done  # so"
    page = f"```bash\n{loop}\n```\n"
    ((script, *arguments),) = [words for words in commands(page) if words != ["done"]]
    assert [script, *arguments] == ["scripts/train.sh", *shlex.split("data --arch a --bach-tokens 3 -- --fp16")]
    with pytest.raises(AssertionError, match="no --bach-tokens"):
        check_script(script, arguments)
    with pytest.raises(SystemExit):
        check_script(script, ["data", "--", "--atention-kernel", "exp"])
    with pytest.raises(SystemExit):
        check_plugin(["fold-checkpoint", "a", "b", "--to", "stock"], monkeypatch)


# ---- what the pages say


@pytest.fixture(scope="module")
def sources():
    """Everything in which an option or a message may stand: ours and fairseq's, with blanks for white space."""
    ours = [path for name in ("fairseq_plugins", "scripts", "examples") for path in (ROOT / name).rglob("*.*")]
    theirs = [path for path in Path(fairseq.__file__).parent.rglob("*.py") if "examples" not in path.parts]
    files = [path for path in [*ours, *theirs] if path.suffix in (".py", ".sh", ".sbatch")]
    text = "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in files)
    return re.sub(r"\s+", " ", text)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    prose = re.sub(r"^```.*?^```", "", read(page), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)#]+)\)", prose):
        if "://" not in target:
            assert (ROOT / page).parent.joinpath(target.replace("\\", "")).exists(), target
    for name in re.findall(r"`(?:bash )?((?:scripts|examples|tests|docs)/[\w./*-]+)`", prose):
        assert list(ROOT.glob(name.rstrip("/"))), name


@pytest.mark.parametrize("page", PAGES)
def test_options_exist(page, sources):
    prose = re.sub(r"^```.*?^```", "", read(page), flags=re.M | re.S)
    own = set(re.findall(r"--cosine-\w+", prose))  # the worked example's
    for option in set(re.findall(r"`(--[a-z][\w-]+)", prose)) - own:
        name = option[2:].replace("-", "_")
        assert re.search(rf"{option}(?![\w-])|\b{name}: ", sources), option


def test_messages_exist(sources):
    """The first column of every table of messages holds words of real ones."""
    text = re.sub(r'" f?"', "", sources)  # strings that go on in the next line
    shown = [line.split("|")[1] for line in read("docs/troubleshooting.md").splitlines() if line.startswith("| `")]
    assert len(shown) > 40
    for part in (part for message in shown for part in re.findall(r"`([^`]+)`", message)):
        assert part in text, part


def test_every_option_and_architecture_is_documented():
    """What the registries hold stands on the page about attention."""
    page = read("docs/attention.md")
    for stage in stages.STAGES:
        row = next(line for line in page.splitlines() if line.startswith(f"| `--attention-{stage.name}`"))
        for choice in stage.choices:
            assert f"`{choice}`" in row, choice
        for cls in stage.option_classes():
            for name in cls.__dataclass_fields__:
                assert f"`--{name.replace('_', '-')}`" in page, name


def test_every_command_is_listed():
    page = read("docs/reference.md")
    for name, (_, summary) in cli.COMMANDS.items():
        assert f"| `{name}` | {summary} |" in page


# ---- Python


@pytest.fixture
def cosine(monkeypatch):
    """The worked example's two blocks, executed as written; its registration is taken back afterwards."""
    module = types.ModuleType("cosine")
    module.__package__ = "fairseq_plugins.attention.compare"
    monkeypatch.setitem(sys.modules, module.__name__, module)  # where dataclasses look their types up
    monkeypatch.setattr(stages.COMPATIBILITY, "choices", dict(stages.COMPATIBILITY.choices))
    for block in blocks(read("docs/adding-a-variant.md"), "python"):
        exec(compile(block, "adding-a-variant.md", "exec"), vars(module))
    return vars(module)


def test_worked_example(cosine):
    """Its own test passes; the option exists; a model with it trains and decodes step by step alike."""
    cosine["test_cosine"]()
    parser = options.get_training_parser()
    command = "data --arch transformer_neuralqkv_tiny --attention-compatibility encoder=cosine --cosine-scale 3"
    args = options.parse_args_and_arch(parser, shlex.split(command))
    assert args.cosine_scale == 3

    model = build("transformer_neuralqkv", attention_compatibility="cosine", cosine_scale=3.0).double().eval()
    src, lengths, prev = batch(targets=(5, 5, 5))
    encoder_out = model.encoder(src, lengths)
    full, _ = model.decoder(prev, encoder_out=encoder_out)
    state = {}
    for step in range(prev.size(1)):
        out, _ = model.decoder(prev[:, : step + 1], encoder_out=encoder_out, incremental_state=state)
        torch.testing.assert_close(out[:, -1], full[:, step], rtol=0, atol=1e-10)

    attention = AttentionConfig(compatibility="cosine").build("encoder", 8, 2)
    x = torch.randn(4, 2, 8)
    fused, _ = attention(x, x, x, need_weights=False)
    plain, weights = attention(x, x, x, need_weights=True)
    torch.testing.assert_close(fused, plain)
    assert weights is not None


#: a choice with which queries see each other, later ones too: the proofs must refuse it
LEAKING = """
from ..stages import COMPATIBILITY, Compatibility


@COMPATIBILITY.register("leaking")
class Leaking(Compatibility):
    def fold(self, q, k):
        return q - q.mean(dim=2, keepdim=True), k
"""
CONTRACT, MODELS = "tests/attention/test_contract.py", "tests/models/test_every_family.py"


def insert(path, text, after):
    before = path.read_text(encoding="utf-8")
    assert before.count(after) == 1
    path.write_text(before.replace(after, after + text), encoding="utf-8")


def pytest_in(folder, *arguments):
    command = [quick_python(), "-m", "pytest", "-q", "-n", "0", "--tb=no", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=500).stdout


def proofs_of(case, file, collected):
    return sorted(re.findall(rf"^{file}::(\w+)\[.*{case}.*\]$", collected, flags=re.M))


def test_one_file_and_one_line_bring_every_proof(tmp_path):
    """In a copy: the worked example's choice is collected wherever a known one is, and passes; a wrong one does not."""
    for folder in ("fairseq_plugins", "tests"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    room = tmp_path / "fairseq_plugins" / "attention" / "compare"
    (room / "cosine.py").write_text(blocks(read("docs/adding-a-variant.md"), "python")[0], encoding="utf-8")
    (room / "leaking.py").write_text(LEAKING, encoding="utf-8")
    insert(room / "__init__.py", "cosine, leaking, ", after="from . import ")

    collected = pytest_in(tmp_path, "--collect-only", CONTRACT, MODELS)
    for case, known, file in (
        ("compatibility-cosine", "compatibility-symmetric", CONTRACT),
        ("transformer_compatibility-cosine", "transformer_kernel-relu", MODELS),
    ):
        assert proofs_of(case, file, collected) == proofs_of(known, file, collected)
        assert len(proofs_of(case, file, collected)) > 3

    proofs = "(future_keys or reordered_beams or padding_changes_nothing) and (cosine or leaking)"
    said = pytest_in(tmp_path, "-rpf", "-k", proofs, CONTRACT, MODELS)
    outcomes = re.findall(r"^(PASSED|FAILED) \S+\[(?:.*compatibility-)?(cosine|leaking)", said, flags=re.M)
    assert set(outcomes) == {("PASSED", "cosine"), ("FAILED", "leaking")}, said
    assert len(outcomes) == 2 * len(set(re.findall(r"::(\S+cosine\S*)", said))), said

    line = blocks(read("docs/adding-a-variant.md"), "py")[0]
    insert(tmp_path / "fairseq_plugins" / "models" / "grid.py", line, after='"match_parameters_of": "neuralqkv"},\n')
    collected = pytest_in(tmp_path, "--collect-only", MODELS)
    for family in FAMILY_SITES:
        new, known = (proofs_of(f"{family}_{variant}_tiny", MODELS, collected) for variant in ("cosine", "pairwise"))
        assert new == known != []


ANOTHER_PLUGIN = """
from fairseq.criterions import register_criterion
from fairseq.criterions.cross_entropy import CrossEntropyCriterion, CrossEntropyCriterionConfig


@register_criterion("halved_cross_entropy", dataclass=CrossEntropyCriterionConfig)
class HalvedCrossEntropy(CrossEntropyCriterion):
    def compute_loss(self, *args, **kwargs):
        loss, reported = super().compute_loss(*args, **kwargs)
        return loss / 2, reported / 2
"""


def test_two_user_dirs(bin_dir, plugin, tmp_path, monkeypatch):
    """The folder that the page describes: an architecture of ours learns and translates with another's criterion."""
    both = next(block for block in blocks(read("docs/getting-started.md"), "py") if "import_user_module" in block)
    (tmp_path / "path" / "to" / "another_plugin").mkdir(parents=True)
    (tmp_path / "path" / "to" / "fairseq_plugins").symlink_to(plugin)
    (tmp_path / "path" / "to" / "another_plugin" / "__init__.py").write_text(ANOTHER_PLUGIN)
    (tmp_path / "my_plugins").mkdir()
    (tmp_path / "my_plugins" / "__init__.py").write_text(both)
    monkeypatch.chdir(tmp_path)
    given = [
        bin_dir,
        "--arch",
        "transformer_neuralqkv_tiny",
        *SIZES,
        "--optimizer",
        "adam",
        "--max-update",
        "2",
        "--cpu",
    ]
    given += ["--max-tokens", "1000", "--log-format", "simple", "--log-interval", "1", "--num-workers", "0"]
    ours = forked("train", *given, "--user-dir", plugin, "--criterion", "cross_entropy", "--save-dir", "ours")
    together = ["--user-dir", "my_plugins", "--criterion", "halved_cross_entropy", "--save-dir", "both"]
    losses = [float(loss) for loss in re.findall(r"[ ,]loss=([\d.]+)", fresh("train", *given, *together))]
    assert losses[0] == pytest.approx(float(re.search(r"[ ,]loss=([\d.]+)", ours)[1]) / 2, abs=1e-3)
    generate = ["--user-dir", "my_plugins", "--path", "both/checkpoint_last.pt", "--cpu", "--beam", "2"]
    generate += ["--max-len-b", "12"]
    assert len(re.findall(r"^H-\d+", forked("generate", bin_dir, *generate), flags=re.M)) == 20


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(read(p), "python") and "adding" not in p])
def test_python_runs(page, capsys):
    names = {}
    for block in blocks(read(page), "python"):
        exec(compile(block, page, "exec"), names)
