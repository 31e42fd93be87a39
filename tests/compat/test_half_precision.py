"""Half precision where there is no GPU."""

import pytest
from fairseq import options
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.distributed import utils as distributed_utils
from fairseq_cli import train
from running import SIZES, fairseq

from fairseq_plugins import compat

STOCK = ["--arch", "transformer_iwslt_de_en", *SIZES, "--optimizer", "adam"]


def test_the_command_ends_in_a_sentence_that_names_what_there_is(bin_dir, plugin, tmp_path):
    output = fairseq("train", bin_dir, *STOCK, "--fp16", "--cpu", "--user-dir", plugin, cwd=tmp_path, check=False)
    assert "Traceback" not in output
    last = output.splitlines()[-1]
    assert last.startswith("fairseq-train: error: --fp16 trains on GPUs, and --cpu is given: leave --fp16 out")
    assert not list(tmp_path.iterdir())  # before any work


@pytest.mark.parametrize(("given", "sentence"), [
    (["--bf16"], "--bf16 trains on GPUs, and none was found: leave --bf16 out"),
    (["--bf16", "--tpu"], "--bf16 trains on GPUs, and none was found: leave --bf16 out"),
    (["--memory-efficient-bf16", "--cpu"], "--bf16 trains on GPUs, and --cpu is given: leave --bf16 out"),
    (["--tpu"], "--tpu needs torch_xla, which is not installed: install it, or leave --tpu out"),
])  # fmt: skip
def test_what_a_cpu_cannot_do_is_said_before_any_work(given, sentence, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    compat.apply()  # train was imported after the plugin
    args = options.parse_args_and_arch(options.get_training_parser(), ["/no/such/data", *STOCK, *given])
    with pytest.raises(SystemExit, match=sentence):
        distributed_utils.call_main(convert_namespace_to_omegaconf(args), train.main)
