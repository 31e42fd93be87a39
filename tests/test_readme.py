"""The README's worked example runs, its commands parse, its links lead somewhere."""

import importlib
import re
import shlex
import subprocess
import sys
import types

import pytest
import torch
from builders import batch, build
from fairseq import options
from running import SIZES, fairseq, forked

from fairseq_plugins import cli
from fairseq_plugins.attention import AttentionConfig, stages


@pytest.fixture(scope="module")
def readme(root):
    return (root / "README.md").read_text(encoding="utf-8")


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.M | re.S)


@pytest.fixture
def cosine(readme, monkeypatch):
    """The example's two blocks, executed as written; its registration is taken back afterwards."""
    module = types.ModuleType("compatibility_cosine")
    monkeypatch.setitem(sys.modules, module.__name__, module)  # where dataclasses look their types up
    monkeypatch.setattr(stages.COMPATIBILITY, "choices", dict(stages.COMPATIBILITY.choices))
    for block in blocks(readme, "python"):
        exec(compile(block, "README.md", "exec"), vars(module))
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


def test_fairseq_commands_run(readme, bin_dir, plugin, tmp_path):
    """The README's fairseq commands as they stand there, on a small corpus and, for time, a small model."""
    (tmp_path / "data-bin").mkdir()
    (tmp_path / "data-bin" / "iwslt17.de-en").symlink_to(bin_dir)
    (tmp_path / "fairseq_plugins").symlink_to(plugin)
    text = "".join(blocks(readme, "bash")).replace("\\\n", " ")
    commands = [shlex.split(line) for line in text.splitlines() if re.match(r"fairseq-(train|generate) ", line)]
    assert [command[0] for command in commands] == ["fairseq-train", "fairseq-generate"]
    small = {"train": [*SIZES, "--max-update", "3", "--cpu"], "generate": ["--cpu"]}
    for program, *arguments in commands:
        name = program[len("fairseq-") :]
        output = fairseq(name, *arguments, *small[name], cwd=tmp_path)
    assert "BLEU4" in output


ANOTHER_PLUGIN = """
from fairseq.criterions import register_criterion
from fairseq.criterions.cross_entropy import CrossEntropyCriterion, CrossEntropyCriterionConfig


@register_criterion("halved_cross_entropy", dataclass=CrossEntropyCriterionConfig)
class HalvedCrossEntropy(CrossEntropyCriterion):
    def compute_loss(self, *args, **kwargs):
        loss, reported = super().compute_loss(*args, **kwargs)
        return loss / 2, reported / 2
"""


def test_two_user_dirs(readme, bin_dir, plugin, tmp_path, monkeypatch):
    """The folder that the README describes: an architecture of ours learns and translates with another's criterion."""
    both = next(block for block in blocks(readme, "py") if "import_user_module" in block)
    (tmp_path / "path" / "to" / "another_plugin").mkdir(parents=True)
    (tmp_path / "path" / "to" / "fairseq_plugins").symlink_to(plugin)
    (tmp_path / "path" / "to" / "another_plugin" / "__init__.py").write_text(ANOTHER_PLUGIN)
    (tmp_path / "my_plugins").mkdir()
    (tmp_path / "my_plugins" / "__init__.py").write_text(both)
    monkeypatch.chdir(tmp_path)
    options = [
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
    options += ["--max-tokens", "1000", "--log-format", "simple", "--log-interval", "1", "--num-workers", "0"]
    ours = forked("train", *options, "--user-dir", plugin, "--criterion", "cross_entropy", "--save-dir", "ours")
    together = ["--user-dir", "my_plugins", "--criterion", "halved_cross_entropy", "--save-dir", "both"]
    losses = [float(loss) for loss in re.findall(r"[ ,]loss=([\d.]+)", fairseq("train", *options, *together))]
    assert losses[0] == pytest.approx(float(re.search(r"[ ,]loss=([\d.]+)", ours)[1]) / 2, abs=1e-3)
    generate = ["--user-dir", "my_plugins", "--path", "both/checkpoint_last.pt", "--cpu", "--beam", "2"]
    assert len(re.findall(r"^H-\d+", forked("generate", bin_dir, *generate), flags=re.M)) == 20


@pytest.mark.parametrize(
    "name", ["README.md", *(f"examples/{paper}/README.md" for paper in ("symmetric_attention", "value_aware"))]
)
def test_commands_of_our_own_parse(name, root, monkeypatch):
    """What the commands do has tests of its own."""
    text = "".join(blocks((root / name).read_text(encoding="utf-8"), "bash")).replace("\\\n", " ")
    found = re.findall(r"^(?:\.venv/bin/)?fairseq-plugins (.*)$", text, flags=re.M)
    assert found
    for line in found:
        module = importlib.import_module(f"fairseq_plugins.commands.{cli.COMMANDS[line.split()[0]][0]}")
        with monkeypatch.context() as patch:
            patch.setattr(module, "run", lambda args: 0)
            assert cli.main(shlex.split(line)) == 0


def test_scripts_are_there_and_explain_themselves(readme, root):
    scripts = set(re.findall(r"bash (scripts/\w+\.sh)", readme))
    assert {"scripts/quickstart.sh", "scripts/test.sh", "scripts/setup.sh"} <= scripts
    for script in scripts:
        shown = subprocess.run(["bash", script, "--help"], cwd=root, capture_output=True, text=True, timeout=60)
        assert shown.returncode == 0, shown.stderr
        assert "Example" in shown.stdout, script


def test_links_lead_somewhere(readme, root):
    prose = re.sub(r"^```.*?^```", "", readme, flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)#]+)\)", prose):
        if "://" not in target:
            assert (root / target.replace("\\", "")).exists(), target


def test_every_option_and_architecture_is_documented(readme):
    """What the registries hold stands in the README."""
    for stage in stages.STAGES:
        row = next(line for line in readme.splitlines() if line.startswith(f"| `--attention-{stage.name}`"))
        for choice in stage.choices:
            assert f"`{choice}`" in row, choice
        for cls in stage.option_classes():
            for name in cls.__dataclass_fields__:
                if name != "_name":
                    assert f"`--{name.replace('_', '-')}`" in readme, name
