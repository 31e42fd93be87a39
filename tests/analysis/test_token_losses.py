"""The command: its mean is fairseq's own, whatever the batches, and its masks are those of a seed."""

import json
import logging
import math
import re
import shutil

import numpy as np
import pytest
import tiny_training
from fairseq import options
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.logging import meters
from fairseq_cli import validate
from running import forked

from fairseq_plugins import cli
from fairseq_plugins.report.losses_by_block import loss_units, read_losses

KINDS = {
    "lm": tiny_training.KINDS["lm"].replace("transformer_lm", "transformer_lm_valueaware") + " --attention-r 2",
    "adaptive": tiny_training.KINDS["lm"]
    + " --criterion adaptive_loss --adaptive-softmax-cutoff 8,16 --ddp-backend legacy_ddp",
    "mlm": tiny_training.KINDS["mlm"].replace("roberta_base", "roberta_pairwise_base") + " --seed 5",
    "stock mlm": tiny_training.KINDS["mlm"],
}


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory):
    """``trained(kind)``: the folder of a run, as far as it is looked at."""
    done = {}

    def train(kind):
        if kind not in done:
            data, chosen = KINDS[kind].split(maxsplit=1)
            done[kind] = tmp_path_factory.mktemp(kind)
            tiny_training.train(corpus, done[kind], f"{data} {chosen}", updates=8)
            (done[kind] / "run.json").write_text(json.dumps({"data": str(corpus / data)}))
        return done[kind]

    return train


def command(*arguments, status=0):
    assert cli.main(["token-losses", *map(str, arguments), "--cpu"]) == status
    logging.getLogger("fairseq").setLevel(logging.NOTSET)  # the command quietens fairseq for its own process


def validated(folder, task, monkeypatch, capsys, *arguments):
    """Nats a token by ``fairseq-validate``, which else prints three digits of bits."""
    monkeypatch.setattr(meters, "safe_round", lambda number, digits: number)
    data = json.loads((folder / "run.json").read_text())["data"]
    words = [data, "--path", str(folder / "checkpoint_best.pt"), "--valid-subset", "valid", "--cpu", "--task", task]
    words += ["--max-tokens", "160", "--log-format", "simple", "--num-workers", "0", *arguments]
    # as its cli_main does
    parsed = options.parse_args_and_arch(options.get_validation_parser(), words)
    given = options.parse_args_and_arch(options.get_validation_parser(), words, suppress_defaults=True)
    capsys.readouterr()
    validate.main(convert_namespace_to_omegaconf(parsed), given)
    return float(re.findall(r"\bloss ([\d.]+)", capsys.readouterr().out)[-1]) * math.log(2)


@pytest.mark.parametrize("kind", ["lm", "mlm"])
def test_the_mean_is_that_of_validate(kind, trained, monkeypatch, capsys):
    folder = trained(kind)
    masked = "mlm" in kind
    seed = 5 if masked else 1
    command(folder, "--subset", "valid", "--max-tokens", 70, "--mask-seed", seed)
    found = read_losses(folder, "valid")
    assert (
        f"{found.mean:.4f} nats a token, {len(found.loss)} tokens in {found.blocks} blocks" in capsys.readouterr().out
    )
    task = "masked_lm" if masked else "language_modeling"
    direct = validated(folder, task, monkeypatch, capsys, *(["--seed", "5"] if masked else []))
    assert found.mean == pytest.approx(direct, abs=2e-5)
    assert loss_units(found)["loss"].score == pytest.approx(direct, abs=2e-5)
    assert found.mask_seed == (5 if masked else -1)

    # in other batches the same, token by token
    command(folder, "--subset", "valid", "--max-tokens", 300, "--mask-seed", seed)
    again = read_losses(folder, "valid")
    assert np.allclose(found.loss, again.loss, atol=1e-5)
    assert all(np.array_equal(one, other) for one, other in zip(found[:2], again[:2]))
    assert np.array_equal(found.block, again.block)


def test_an_adaptive_softmax_is_that_of_eval_lm(trained, plugin):
    """fairseq's criterion itself takes the second symbol of each band for padding, and leaves its loss out."""
    folder = trained("adaptive")
    command(folder, "--subset", "valid")
    data = json.loads((folder / "run.json").read_text())["data"]
    path = folder / "checkpoint_best.pt"
    output = forked("eval-lm", data, "--user-dir", plugin, "--path", path, "--gen-subset", "valid", "--cpu")
    bits = float(re.search(r"Loss \(base 2\): ([\d.]+)", output)[1])
    assert read_losses(folder, "valid").mean == pytest.approx(bits * math.log(2), abs=5e-5)


def text_of(folder):
    """The symbols of the validation text, in blocks of 32."""
    from fairseq.data import Dictionary, data_utils

    data = json.loads((folder / "run.json").read_text())["data"]
    symbols = np.concatenate(
        list(data_utils.load_indexed_dataset(f"{data}/valid", Dictionary.load(f"{data}/dict.txt")))
    )
    return symbols, -(-len(symbols) // 32)


def test_every_token_of_the_text_is_there(trained):
    folder = trained("lm")
    command(folder, "--subset", "valid")
    found = read_losses(folder, "valid")
    symbols, blocks = text_of(folder)
    assert np.array_equal(found.symbol, symbols)
    assert found.blocks == blocks
    assert np.array_equal(found.position, np.arange(len(symbols)) % 32)
    assert np.array_equal(found.block, np.arange(len(symbols)) // 32)


def test_masks_depend_on_the_seed_given_alone(trained):
    one, other = trained("mlm"), trained("stock mlm")  # trained with --seed 5 and 1
    for folder in (one, other):
        command(folder, "--subset", "valid")
    masks = [read_losses(folder, "valid") for folder in (one, other)]
    for column in ("symbol", "position", "block"):
        assert np.array_equal(getattr(masks[0], column), getattr(masks[1], column))
    assert {losses.mask_seed for losses in masks} == {1}
    symbols, _ = text_of(one)
    places = masks[0].block * 31 + masks[0].position - 1
    bos = masks[0].position == 0  # each block begins with <s>, which is masked as others are
    assert np.array_equal(np.where(bos, 0, symbols[places]), masks[0].symbol)
    command(one, "--subset", "valid", "--mask-seed", 2)
    assert not np.array_equal(read_losses(one, "valid").position, masks[0].position)


def test_it_refuses(trained, corpus, tmp_path, capsys):
    folder = trained("lm")
    command(folder, status=1)  # there is no test set
    assert "test" in capsys.readouterr().err
    command(tmp_path / "none", status=1)
    assert "checkpoint_best.pt: cannot be read" in capsys.readouterr().err
    tiny_training.train(corpus, tmp_path / "adam", tiny_training.KINDS["adam"])
    (tmp_path / "adam" / "run.json").write_text(json.dumps({"data": str(corpus / "bin")}))
    command(tmp_path / "adam", "--subset", "valid", status=1)
    assert "neither a masked nor a causal language model" in capsys.readouterr().err
    shutil.copytree(corpus / "mono", tmp_path / "data")
    with open(tmp_path / "data" / "dict.txt", "a", encoding="utf-8") as file:
        file.write("more 1\n")
    command(folder, "--subset", "valid", "--data", tmp_path / "data", status=1)
    assert f"cannot be loaded for {tmp_path / 'data'}" in capsys.readouterr().err
