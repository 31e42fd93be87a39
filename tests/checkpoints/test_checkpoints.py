"""The newest readable checkpoint of a folder, and conversion to and from stock fairseq."""

import os
import shutil
import subprocess
import zipfile
from argparse import Namespace

import pytest
import tiny_training
import torch
from fairseq import checkpoint_utils
from hostile import Hostile
from zygote import quick_python

from fairseq_plugins import cli
from fairseq_plugins.checkpoints import CheckpointError, safe_load
from fairseq_plugins.checkpoints.convert import convert_checkpoint
from fairseq_plugins.checkpoints.newest import latest_checkpoint
from fairseq_plugins.compat.encoder_layer import DUPLICATE_PARAMETERS

BASELINE = tiny_training.KINDS["adam"].replace("transformer_", "transformer_baseline_")


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory):
    """A folder with checkpoint_1_2.pt, checkpoint_2_6.pt, checkpoint_best.pt and checkpoint_last.pt (7 updates)."""
    folder = tmp_path_factory.mktemp("trained")
    tiny_training.train(corpus, folder, tiny_training.KINDS["adam"], updates=7)
    return folder


@pytest.fixture
def folder(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


def truncate(path, share=0.5):
    os.truncate(path, int(path.stat().st_size * share))


def flip_a_weight(path):
    """One byte of the largest record: torch loads such a file without complaint."""
    with zipfile.ZipFile(path) as archive:
        record = max(archive.infolist(), key=lambda info: info.file_size * ("/data/" in info.filename))
        offset = record.header_offset + 30 + 64 + len(record.filename)
    content = bytearray(path.read_bytes())
    content[offset + record.file_size // 2] ^= 0xFF
    path.write_bytes(bytes(content))


def newest(folder):
    said = []
    return latest_checkpoint(folder, report=said.append).name, said


# ------------------------------------------------------------------------------------------ the newest


def test_the_last_one_when_all_is_well(folder):
    assert newest(folder) == ("checkpoint_last.pt", [])


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.98, 0.999])
def test_a_truncated_last_one_is_said_and_passed_over(share, folder):
    truncate(folder / "checkpoint_last.pt", share)
    (folder / "checkpoint_best.pt").unlink()
    name, said = newest(folder)
    assert name == "checkpoint_2_6.pt"
    assert any(
        "checkpoint_last.pt" in sentence and ("truncated" in sentence or "empty" in sentence) for sentence in said
    )
    assert "6 updates" in said[-1]


def test_a_flipped_byte_in_a_weight_is_found(folder):
    flip_a_weight(folder / "checkpoint_last.pt")
    (folder / "checkpoint_best.pt").unlink()
    name, said = newest(folder)
    assert name == "checkpoint_2_6.pt"
    assert "checksum" in said[0]


def test_order_is_by_updates_inside_not_by_name_or_time(folder):
    (folder / "checkpoint_last.pt").unlink()
    os.replace(folder / "checkpoint_2_6.pt", folder / "checkpoint1.pt")
    os.replace(folder / "checkpoint_1_2.pt", folder / "checkpoint9.pt")
    os.utime(folder / "checkpoint9.pt")
    (folder / "checkpoint_best.pt").unlink()
    assert newest(folder)[0] == "checkpoint1.pt"


def test_an_older_last_one_loses_to_a_newer_file(folder):
    """fairseq writes checkpoint_2_6.pt first and copies it: a stop between the two leaves an old last one."""
    shutil.copy(folder / "checkpoint_1_2.pt", folder / "checkpoint_last.pt")
    (folder / "checkpoint_best.pt").unlink()
    name, said = newest(folder)
    assert name == "checkpoint_2_6.pt"
    assert "instead of" in said[0]


def test_a_named_file_wins_a_tie(folder):
    shutil.copy(folder / "checkpoint_2_6.pt", folder / "mine.pt")
    for name in ("checkpoint_last.pt", "checkpoint_best.pt"):
        (folder / name).unlink()
    assert latest_checkpoint(folder, name="mine.pt").name == "mine.pt"


def test_averages_and_unfinished_files_are_not_resumed_from(folder):
    shutil.copy(folder / "checkpoint_last.pt", folder / "averaged.pt")
    shutil.copy(folder / "checkpoint_last.pt", folder / "checkpoint_last.pt.tmp")
    for name in ("checkpoint_last.pt", "checkpoint_best.pt"):
        (folder / name).unlink()
    assert newest(folder)[0] == "checkpoint_2_6.pt"


def test_files_that_are_no_checkpoints_are_passed_over(folder):
    torch.save({"model": {}, "x": Hostile()}, folder / "checkpoint_last.pt")
    torch.save([1, 2], folder / "checkpoint_best.pt")
    torch.save({"model": {"w": torch.ones(1)}}, folder / "checkpoint8.pt")
    (folder / "checkpoint7.pt").write_text("not a checkpoint")
    (folder / "checkpoint6.pt").mkdir()
    name, said = newest(folder)
    assert name == "checkpoint_2_6.pt"
    for broken in ("checkpoint_last.pt", "checkpoint_best.pt", "checkpoint8.pt", "checkpoint7.pt", "checkpoint6.pt"):
        assert any(broken in sentence for sentence in said[:-1]), broken
    assert any("system" in sentence for sentence in said)


def test_checkpoints_of_old_torch_are_read(folder):
    state = safe_load.load_checkpoint(folder / "checkpoint_last.pt")
    torch.save(state, folder / "checkpoint_last.pt", _use_new_zipfile_serialization=False)
    assert newest(folder)[0] == "checkpoint_last.pt"
    truncate(folder / "checkpoint_last.pt", 0.7)
    assert newest(folder)[0] == "checkpoint_best.pt"


def test_the_command(folder, tmp_path, capsys):
    truncate(folder / "checkpoint_last.pt")
    assert cli.main(["latest-checkpoint", str(folder)]) == 0
    out, err = capsys.readouterr()
    assert out == f"{folder}/checkpoint_best.pt\n"
    assert "truncated" in err
    for path in folder.glob("*.pt"):
        truncate(path)
    assert cli.main(["latest-checkpoint", str(folder)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "none of its 4 checkpoints can be read" in err
    (tmp_path / "empty").mkdir()
    assert cli.main(["latest-checkpoint", str(tmp_path / "empty")]) == 1
    assert "no checkpoint in it" in capsys.readouterr().err
    assert cli.main(["latest-checkpoint", str(tmp_path / "missing")]) == 1
    assert "no such folder" in capsys.readouterr().err


def test_what_is_found_can_be_resumed_from(folder, trained, corpus, tmp_path):
    truncate(folder / "checkpoint_last.pt")
    (folder / "checkpoint_best.pt").unlink()
    path = latest_checkpoint(folder)
    options = f"{tiny_training.KINDS['adam']} --restore-file {path}"
    resumed = safe_load.load_checkpoint(tiny_training.train(corpus, tmp_path / "resumed", options, updates=7))
    straight = safe_load.load_checkpoint(trained / "checkpoint_last.pt")
    assert same_weights(resumed["model"], straight["model"])


# ------------------------------------------------------------------------------------------ conversion


def same_weights(left, right):
    names = [name for name in left if not name.endswith("_float_tensor")]  # memory that nobody initialised
    return set(left) == set(right) and all(torch.equal(left[name], right[name]) for name in names)


@pytest.fixture(scope="module")
def stock(corpus, tmp_path_factory):
    """checkpoint_last.pt of stock fairseq, 3 updates, with the fused layer's duplicates."""
    script = f"""
import sys, pathlib
sys.path.insert(0, {os.path.dirname(tiny_training.__file__)!r})
import tiny_training
for kind in ("adam", "ema"):
    tiny_training.train({str(corpus)!r}, pathlib.Path(sys.argv[1]) / kind, tiny_training.KINDS[kind])
assert "fairseq_plugins" not in sys.modules
"""
    folder = tmp_path_factory.mktemp("stock")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    subprocess.run([quick_python(), "-c", script, str(folder)], env=environment, check=True, capture_output=True)
    return folder / "adam" / "checkpoint_last.pt"


def log_probabilities(path, corpus):
    models, cfg = checkpoint_utils.load_model_ensemble([str(path)], arg_overrides={"data": f"{corpus}/bin"})
    source = torch.tensor([[4, 5, 6, 2], [1, 7, 8, 2]])
    target = torch.tensor([[2, 6, 5], [2, 8, 7]])
    with torch.no_grad():
        return models[0].eval().get_normalized_probs(models[0](source, torch.tensor([4, 3]), target), True), cfg


def test_stock_becomes_baseline_and_back(stock, corpus, tmp_path):
    ours, back = tmp_path / "new" / "ours.pt", tmp_path / "back.pt"
    convert_checkpoint(stock, ours, "baseline")
    converted = safe_load.load_checkpoint(ours)
    assert converted["cfg"]["model"].arch == converted["cfg"]["model"]._name == "transformer_baseline_iwslt_de_en"
    original = safe_load.load_checkpoint(stock)
    duplicates = set(original["model"]) - set(converted["model"])
    # fairseq's main branch has none
    assert {name.rpartition(".")[2] for name in duplicates} in (set(DUPLICATE_PARAMETERS), set())
    expected, cfg = log_probabilities(stock, corpus)
    got, our_cfg = log_probabilities(ours, corpus)
    assert torch.allclose(got, expected, atol=1e-6)
    assert (cfg.model.arch, our_cfg.model.arch) == ("transformer_iwslt_de_en", "transformer_baseline_iwslt_de_en")

    notes = convert_checkpoint(ours, back, "stock")
    assert any("optimizer" in note for note in notes)
    returned = safe_load.load_checkpoint(back)
    assert returned["cfg"]["model"].arch == "transformer_iwslt_de_en"
    assert returned["last_optimizer_state"] is None
    assert same_weights(returned["model"], {k: v for k, v in original["model"].items() if k not in duplicates})


def test_a_converted_training_goes_on_as_if_it_had_been_ours(stock, corpus, tmp_path):
    """The optimizer's state is carried over: its entries meet the right parameters."""
    convert_checkpoint(stock, tmp_path / "converted" / "checkpoint_last.pt", "baseline")
    resumed = tiny_training.train(corpus, tmp_path / "converted", BASELINE, updates=5)
    straight = tiny_training.train(corpus, tmp_path / "straight", BASELINE, updates=5)
    left, right = (safe_load.load_checkpoint(path) for path in (resumed, straight))
    assert set(left["last_optimizer_state"]["state"]) == set(right["last_optimizer_state"]["state"])
    for name, weight in left["model"].items():
        if not name.endswith(("_float_tensor", "k_proj.bias")):  # softmax ignores k's bias: its gradient is noise
            assert torch.allclose(weight, right["model"][name], atol=1e-4), name


def test_ema_weights_lose_their_duplicates_too(stock, tmp_path):
    convert_checkpoint(stock.parent.parent / "ema" / "checkpoint_last.pt", tmp_path / "ema.pt", "baseline")
    extra = safe_load.load_checkpoint(tmp_path / "ema.pt")["extra_state"]
    for average in ("ema", "ema_fp32_params"):
        names = list(extra[average])
        assert "encoder.layers.0.fc1.weight" in names
        assert not [name for name in names if name.endswith(("in_proj_weight", "fc1_weight"))], average


def test_an_optimizer_state_that_cannot_be_told_apart_is_dropped(stock, tmp_path):
    state = safe_load.load_checkpoint(stock)
    groups = state["last_optimizer_state"]["param_groups"]
    groups[0]["params"] = groups[0]["params"][:-1]
    torch.save(state, tmp_path / "odd.pt")
    notes = convert_checkpoint(tmp_path / "odd.pt", tmp_path / "out.pt", "baseline")
    assert any("--reset-optimizer" in note for note in notes)
    assert safe_load.load_checkpoint(tmp_path / "out.pt")["last_optimizer_state"] is None


def test_legacy_checkpoints_are_converted(stock, corpus, tmp_path):
    state = safe_load.load_checkpoint(stock)
    state["args"], state["cfg"] = state["cfg"]["model"], None
    del state["args"]._name
    torch.save(state, tmp_path / "old.pt")
    convert_checkpoint(tmp_path / "old.pt", tmp_path / "new.pt", "baseline")
    assert safe_load.load_checkpoint(tmp_path / "new.pt")["args"].arch == "transformer_baseline_iwslt_de_en"
    assert torch.allclose(
        log_probabilities(tmp_path / "new.pt", corpus)[0], log_probabilities(stock, corpus)[0], atol=1e-6
    )


def test_hydra_configurations_are_converted(stock, tmp_path):
    state = safe_load.load_checkpoint(stock)
    options = vars(state["cfg"]["model"])
    state["cfg"]["model"] = {**options, "_name": "transformer_vaswani_wmt_en_de_big"}
    del state["cfg"]["model"]["arch"]
    torch.save(state, tmp_path / "hydra.pt")
    convert_checkpoint(tmp_path / "hydra.pt", tmp_path / "ours.pt", "baseline")
    name = safe_load.load_checkpoint(tmp_path / "ours.pt")["cfg"]["model"]["_name"]
    assert name == "transformer_baseline_vaswani_wmt_en_de_big"


def rewritten(stock, path, **options):
    state = safe_load.load_checkpoint(stock)
    for name, value in options.items():
        setattr(state["cfg"]["model"], name, value)
    torch.save(state, path)
    return path


@pytest.mark.parametrize(("arch", "to", "said"), [
    ("transformer_neuralqkv_iwslt_de_en", "stock", "variant neuralqkv"),
    ("transformer_matched", "stock", "variant matched"),
    ("transformer_neuralqkv", "baseline", "variant neuralqkv"),
    ("transformer_baseline_tiny", "baseline", "is baseline already"),
    ("transformer_tiny", "stock", "is stock already"),
    ("fconv", "baseline", "no counterpart"),
    ("transformer_tiny", "pytorch", "choose stock or baseline"),
])  # fmt: skip
def test_other_architectures_are_refused(arch, to, said, stock, tmp_path):
    source = rewritten(stock, tmp_path / "in.pt", arch=arch, _name=arch)
    with pytest.raises(CheckpointError, match=said):
        convert_checkpoint(source, tmp_path / "out.pt", to)
    assert [path.name for path in tmp_path.iterdir()] == ["in.pt"]


def test_a_baseline_that_is_none_is_refused(stock, tmp_path):
    name = "transformer_baseline_tiny"
    source = rewritten(stock, tmp_path / "in.pt", arch=name, _name=name, attention_projection="encoder=neural")
    with pytest.raises(CheckpointError, match="--attention-projection encoder=neural"):
        convert_checkpoint(source, tmp_path / "out.pt", "stock")


def test_the_plugin_leaves_no_trace_in_a_stock_checkpoint(corpus, tmp_path):
    trained = tiny_training.train(corpus, tmp_path / "run", f"{BASELINE} --attention-projection linear", updates=1)
    convert_checkpoint(trained, tmp_path / "stock.pt", "stock")
    model = vars(safe_load.load_checkpoint(tmp_path / "stock.pt")["cfg"]["model"])
    assert not [name for name in model if name.startswith(("attention_p", "neural", "match_", "user_dir"))]
    assert model["attention_dropout"] == 0.0


def test_the_target_appears_complete_or_not_at_all(stock, tmp_path, monkeypatch):
    target = tmp_path / "out.pt"
    target.write_text("precious")

    def full(state, stream):
        stream.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    assert cli.main(["convert-checkpoint", str(stock), str(target), "--to", "baseline"]) == 1
    assert target.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [target]
    monkeypatch.undo()
    assert cli.main(["convert-checkpoint", str(stock), str(target), "--to", "baseline"]) == 0
    assert target.stat().st_mode & 0o777 == stock.stat().st_mode & 0o777


def test_a_truncated_or_missing_source_is_an_error(stock, tmp_path, capsys):
    shutil.copy(stock, tmp_path / "in.pt")
    truncate(tmp_path / "in.pt")
    for source in ("in.pt", "missing.pt"):
        command = ["convert-checkpoint", str(tmp_path / source), str(tmp_path / "out.pt"), "--to", "baseline"]
        assert cli.main(command) == 1
        assert source in capsys.readouterr().err
    torch.save({"model": {}, "args": Namespace()}, tmp_path / "nameless.pt")
    with pytest.raises(CheckpointError, match="names its architecture"):
        convert_checkpoint(tmp_path / "nameless.pt", tmp_path / "out.pt", "stock")
    assert not (tmp_path / "out.pt").exists()
