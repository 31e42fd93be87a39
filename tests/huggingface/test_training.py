"""Staged models under transformers' Trainer, with adapters of PEFT: a step moves the adapters and nothing else."""

import pytest
import torch
from builders import batch
from staged_models import pair

pytest.importorskip("transformers")


@pytest.mark.parametrize("case", ["transformer_neuralqkv_tiny", "roberta_pairwise_tiny", "transformer_lm_elu1"])
def test_a_step_of_the_trainer_with_lora(case, tmp_path):
    peft = pytest.importorskip("peft")
    pytest.importorskip("accelerate")
    from transformers import Trainer, TrainingArguments

    model = pair(case)[1].float()
    names = {name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear) and "attn" in name}
    adapted = peft.get_peft_model(model, peft.LoraConfig(r=2, target_modules=sorted(names), init_lora_weights=False))
    before = {name: parameter.detach().clone() for name, parameter in adapted.named_parameters()}
    source, _, target = batch()
    rows = [{"input_ids": ids, "attention_mask": ids.ne(1).long(), "labels": ids} for ids in source]
    if case.startswith("transformer_neural"):
        for row, ids in zip(rows, target):
            row["labels"] = ids.masked_fill(ids.eq(1), -100)
    options = TrainingArguments(tmp_path, max_steps=1, per_device_train_batch_size=3, report_to=[], use_cpu=True)
    done = Trainer(adapted, options, train_dataset=rows).train()
    assert 0 < done.training_loss < 100
    moved = {name for name, parameter in adapted.named_parameters() if not torch.equal(parameter, before[name])}
    assert moved
    assert all("lora_" in name for name in moved)
    adapted.eval().save_pretrained(tmp_path / "adapter")
    again = peft.PeftModel.from_pretrained(pair(case)[1].float(), tmp_path / "adapter").eval()
    again.load_state_dict(adapted.state_dict())  # the model's own weights were drawn anew
    given = {"input_ids": source, **({"decoder_input_ids": target} if case.startswith("transformer_neural") else {})}
    with torch.no_grad():
        torch.testing.assert_close(again(**given).logits, adapted(**given).logits)
        merged = adapted.merge_and_unload()
        torch.testing.assert_close(merged(**given).logits, again(**given).logits, rtol=0, atol=1e-4)
