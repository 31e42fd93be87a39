"""A checkpoint as the options that build its model again, and the protocol of the fine-tuning."""

import itertools
import json
import math
import re
from argparse import Namespace
from dataclasses import replace

import pytest
import torch
from builders import masked_lm_task
from fairseq import options
from fairseq.models import ARCH_CONFIG_REGISTRY, ARCH_MODEL_REGISTRY

from fairseq_plugins import cli
from fairseq_plugins.checkpoints import CheckpointError
from fairseq_plugins.checkpoints.safe_load import load_checkpoint
from fairseq_plugins.glue.finetuning import Settings, fine_tunings, keep_settings
from fairseq_plugins.glue.pretrained import Pretrained
from fairseq_plugins.lines import CorpusError

SIZES = ("--encoder-layers", "3", "--encoder-embed-dim", "24", "--encoder-attention-heads", "4")
#: architecture -> options of its pretraining that are not its own
MODELS = {
    "roberta_base": (*SIZES, "--encoder-ffn-embed-dim", "20", "--untie-weights-roberta", "--dropout", "0.3"),
    "roberta_prenorm": (*SIZES, "--encoder-layerdrop", "0.25", "--activation-fn", "gelu_accurate"),
    "roberta_baseline_tiny": (*SIZES, "--attention-init", "xavier"),
    "roberta_pairwise_tiny": (*SIZES, "--attention-pairwise-init", "identity", "--pooler-activation-fn", "relu"),
    "roberta_neuralqkv_tiny": (*SIZES, "--neural-qkv-expansion", "3.0", "--neural-qkv-projections", "q,v"),
    "roberta_matched_tiny": (*SIZES, "--match-parameters-of", "pairwise"),
}


def parse(arguments, task="masked_lm"):
    """What fairseq-train makes of a command line."""
    return options.parse_args_and_arch(options.get_training_parser(task), ["data", "--task", task, *arguments])


def build(args):
    """The model that fairseq-train builds, for 32 tokens and 37 symbols."""
    args = Namespace(**{**vars(args), "max_positions": 32})
    return ARCH_MODEL_REGISTRY[args.arch].build_model(args, masked_lm_task())


def write_checkpoint(path, args, model):
    """What fairseq-train saves, as far as it matters here."""
    args = Namespace(**vars(args), _name=args.arch)
    torch.save({"cfg": {"model": args}, "args": None, "model": model.state_dict()}, path)
    return path


@pytest.mark.parametrize("arch", MODELS)
def test_options_of_a_checkpoint_build_its_model_again(arch, tmp_path):
    args = parse(["--arch", arch, *MODELS[arch]])
    model = build(args)
    found = Pretrained.load(write_checkpoint(tmp_path / "model.pt", args, model))
    assert found.arch == arch
    assert sorted(found.options) == sorted(MODELS[arch])
    assert vars(parse(["--arch", found.arch, *found.options])) == vars(args)
    # and what the weights say
    assert (found.max_positions, found.vocabulary) == (32, 37)
    unique = {id(parameter): parameter.numel() for parameter in model.parameters()}
    assert found.parameters == sum(unique.values())


def test_a_checkpoint_of_the_time_before_hydra(tmp_path):
    """Its options stand in ``args``, and the encoder is called decoder."""
    args = Namespace(arch="roberta_base", encoder_layers=1, encoder_embed_dim=8, encoder_attention_heads=2)
    args.encoder_ffn_embed_dim = 12
    weights = build(args).state_dict()
    weights = {name.replace("encoder.", "decoder.", 1): tensor for name, tensor in weights.items()}
    torch.save({"args": args, "model": weights}, tmp_path / "model.pt")
    found = Pretrained.load(tmp_path / "model.pt")
    rebuilt = Namespace(**vars(parse(["--arch", found.arch, *found.options])))
    ARCH_CONFIG_REGISTRY["roberta_base"](args)
    assert {name: getattr(rebuilt, name) for name in vars(args)} == vars(args)
    assert (found.vocabulary, found.data) == (37, None)


def test_checkpoints_that_cannot_be_used(toy, tmp_path):
    state = load_checkpoint(toy.checkpoint)

    def changed(name, change):
        copy = {**state, "cfg": {**state["cfg"], "model": Namespace(**vars(state["cfg"]["model"]))}}
        change(copy)
        torch.save(copy, tmp_path / name)
        return tmp_path / name

    def other_arch(copy):
        copy["cfg"]["model"].arch = copy["cfg"]["model"]._name = "roberta_from_elsewhere"

    def no_roberta(copy):
        copy["model"] = {"encoder.layers.0.weight": torch.zeros(2)}

    (tmp_path / "cut.pt").write_bytes(toy.checkpoint.read_bytes()[:5000])
    for path, message in (
        (changed("arch.pt", other_arch), "its architecture roberta_from_elsewhere is not known here"),
        (changed("model.pt", no_roberta), "no RoBERTa-like model with learned positions"),
        (tmp_path / "cut.pt", "cut.pt: truncated or damaged"),
        (tmp_path / "none.pt", "none.pt: cannot be read"),
    ):
        with pytest.raises(CheckpointError, match=message):
            Pretrained.load(path)


def test_an_option_that_cannot_be_switched_off(tmp_path):
    args = parse(["--arch", "roberta_prenorm", *SIZES])
    args.encoder_normalize_before = False
    path = write_checkpoint(tmp_path / "model.pt", args, build(args))
    with pytest.raises(CheckpointError, match="--encoder-normalize-before off, which no option of roberta_prenorm"):
        Pretrained.load(path)


def test_the_protocol_of_the_paper(toy):
    """Courtois et al.: 5 epochs, learning rate 1e-5, warm-up 0.1, batches of 16, linear decay."""
    pretrained = Pretrained.load(toy.checkpoint)
    tasks, missing = fine_tunings(pretrained, toy.data)
    assert [planned.task.name for planned in tasks] == ["CoLA", "MNLI", "STS-B"]
    assert missing == ["MRPC", "QQP", "RTE", "QNLI", "SST-2", "WNLI"]
    for planned in tasks:
        record = json.loads((planned.data / "task.json").read_text())
        args = parse(["--arch", planned.arch, *planned.options], "sentence_prediction")
        rows = record["sets"]["train"]["rows"]
        assert planned.updates == int(args.total_num_update) == 5 * math.ceil(rows / 16)
        assert planned.tokens == 5 * record["sets"]["train"]["tokens"]
        assert args.warmup_updates == math.ceil(0.1 * planned.updates)
        assert (args.lr, args.batch_size, args.lr_scheduler, args.power) == ([1e-5], 16, "polynomial_decay", 1.0)
        assert (args.optimizer, args.adam_betas, args.adam_eps) == ("adam", "(0.9, 0.999)", 1e-8)
        assert (args.weight_decay, args.clip_norm, args.pooler_dropout) == (0.0, 1.0, 0.1)
        assert (args.criterion, args.init_token, args.separator_token) == ("sentence_prediction", 0, 2)
        assert args.num_classes == {"CoLA": 2, "MNLI": 3, "STS-B": 1}[planned.task.name]
        assert args.regression_target == (planned.task.name == "STS-B")
        # the pretrained model has 60 positions, less than the 128 of the data
        assert (args.max_positions, args.shorten_method, planned.max_tokens) == (60, "truncate", 16 * 60)
        # and what the toy model's pretraining changed
        assert (args.arch, args.encoder_embed_dim, args.activation_fn) == ("roberta_pairwise_tiny", 16, "relu")
        assert (args.attention_dropout, args.finetune_from_model) == (0.0, str(toy.checkpoint))


def test_data_of_another_dictionary(toy, tmp_path):
    pretrained = Pretrained.load(toy.checkpoint)
    words = toy.dict.read_text().splitlines()
    (tmp_path / "short.txt").write_text("\n".join(words[:-1]))
    with pytest.raises(CheckpointError, match=r"a model has 260 symbols, but .* has 261; prepare the data again"):
        pretrained.check_dictionary(tmp_path / "short.txt")
    (tmp_path / "moved.txt").write_text("\n".join([*words[1:], words[0]]))
    with pytest.raises(CheckpointError, match=r"not the dictionary of the pretraining, .*dict.txt; prepare"):
        pretrained.check_dictionary(tmp_path / "moved.txt")
    (tmp_path / "counted.txt").write_text("\n".join(word.replace(" 1", " 7") for word in words))
    pretrained.check_dictionary(tmp_path / "counted.txt")


def test_settings_are_kept_for_a_folder_of_runs(toy, tmp_path):
    pretrained, file = Pretrained.load(toy.checkpoint), tmp_path / "runs" / "settings.json"
    keep_settings(file, pretrained, Settings(), ["--fp16"])
    keep_settings(file, pretrained, Settings(), ["--fp16"])
    assert json.loads(file.read_text())["parameters"] == pretrained.parameters
    for settings, more, message in (
        (Settings(lr=1e-4), ["--fp16"], r"have lr 1e-05, not 0\.0001; choose another folder"),
        (Settings(), [], r"have options \['--fp16'\], not \[\]"),
    ):
        with pytest.raises(CorpusError, match=message):
            keep_settings(file, pretrained, settings, more)
    other = tmp_path / "other.pt"
    other.write_bytes(toy.checkpoint.read_bytes() + b"\0")
    with pytest.raises(CorpusError, match=f"are of another checkpoint, {re.escape(str(toy.checkpoint))}; choose"):
        keep_settings(file, replace(pretrained, path=other), Settings(), ["--fp16"])


def test_command(toy, tmp_path, capsys):
    command = ["glue-plan", "--checkpoint", str(toy.checkpoint), "--data", str(toy.data)]
    assert cli.main([*command, "--epochs", "2", "--batch", "10", "--lr", "3e-4"]) == 0
    output = capsys.readouterr()
    missing, long = output.err.splitlines()
    assert missing == "glue-plan: not prepared, so left out: MRPC, QQP, RTE, QNLI, SST-2, WNLI"
    assert long.startswith("glue-plan: examples of STS-B are longer than the 60 tokens that the model can take")
    fields = output.out.splitlines()[0].split("\t")
    assert fields[:6] == ["CoLA", str(toy.data / "CoLA-bin"), "6", str(2 * 831), "roberta_pairwise_tiny", "600"]
    assert ("--lr", "0.0003") in list(itertools.pairwise(fields))
    for more, message in (
        (["--tasks", "RTE"], "no RTE-bin in it; prepare RTE with scripts/prepare_glue.sh"),
        (["--tasks", "rte"], "unknown GLUE task 'rte'; known: MRPC, CoLA"),
        (["--data", str(tmp_path)], "no TASK-bin in it; give the folder that scripts/prepare_glue.sh wrote"),
        (["--checkpoint", str(tmp_path / "none.pt")], "none.pt: cannot be read"),
    ):
        assert cli.main([*command, *more]) == 1
        assert message in capsys.readouterr().err
