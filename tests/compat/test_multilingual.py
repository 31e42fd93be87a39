"""Stock tasks that turn a checkpoint's options into truths once more; training them is in test_compat.py."""

import re
import shlex

import pytest
import tiny_training
import torch
from fairseq import hub_utils
from running import forked

from fairseq_plugins.checkpoints import safe_load

DATA_OPTIONS = {
    "multilingual": "--task multilingual_translation --lang-pairs de-en",
    "simple_epoch": "--task translation_multi_simple_epoch --langs de,en --lang-pairs de-en -s de -t en "
    "--decoder-langtok",
}


@pytest.mark.parametrize("kind", DATA_OPTIONS)
def test_a_trained_model_is_validated_and_loaded(kind, corpus, plugin, tmp_path):
    """With the loss that its training saw, and the weights that it saved."""
    path = tiny_training.train(corpus, tmp_path, tiny_training.KINDS[kind])
    state = safe_load.load_checkpoint(path)
    words = shlex.split(f"{corpus}/bin {DATA_OPTIONS[kind]} --path {path} --cpu --max-tokens 160 --user-dir {plugin}")
    loss = re.search(r"valid on 'valid' subset \| loss ([\d.]+)", forked("validate", *words))[1]
    assert float(loss) == state["extra_state"]["val_loss"]
    loaded = hub_utils.from_pretrained(str(tmp_path), path.name, f"{corpus}/bin", source_lang="de", target_lang="en")
    weights = loaded["models"][0].state_dict()
    unlike = [name for name, value in state["model"].items() if not torch.equal(weights[name], value)]
    assert all(name.endswith("_float_tensor") for name in unlike)  # memory that nobody initialised
