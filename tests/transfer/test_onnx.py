"""Models as graphs: torch.export at other sizes than the example's, and onnxruntime beside fairseq and transformers.

``PYTHONPATH=tests/support:. python tests/transfer/test_onnx.py`` exports every variant, kernel and mixing
that has no search in it, which takes minutes.
"""

import json
import sys
import warnings

import pytest
import torch
from builders import CASES, batch, build, family_of, save
from staged_models import pair

from fairseq_plugins import cli
from fairseq_plugins.attention import StagedMultiheadAttention

pytest.importorskip("transformers")
ONE_LAYER = {"encoder_layers": 1, "decoder_layers": 1}


def exported(case, folder, **options):
    """Export a checkpoint of a case; returns its graphs in onnxruntime and what is said of them."""
    from fairseq_plugins.transfer.onnx.runtime import Runtime

    save(folder / "model.pt", case, **options)
    status = cli.main(["export-onnx", str(folder / "model.pt"), str(folder / "graphs")])
    assert status == 0
    return Runtime(folder / "graphs"), json.loads((folder / "graphs" / "graphs.json").read_text())


@pytest.mark.parametrize(
    "case", ["transformer_neuralqkv_tiny", "transformer_lm_sharedkv_tiny", "roberta_pairwise_tiny"]
)
def test_torch_exports_graphs_for_whatever_sizes(case):
    """Equal to the model, which tests/huggingface compares with fairseq's."""
    from fairseq_plugins.huggingface.graphs import graphs_of

    _, model = pair(case, **ONE_LAYER)
    others = {"batch": 3, "positions": 6, "past": 5, "source": 11}
    for graph in graphs_of(model).values():
        program = graph.export().module()
        for sizes in ({}, others):
            inputs = {}
            for name, tensor in graph.inputs.items():
                varying = graph.varying[name]
                shape = [sizes.get(varying.get(at), size) for at, size in enumerate(tensor.shape)]
                torch.manual_seed(len(inputs))
                inputs[name] = (
                    torch.rand(shape, dtype=tensor.dtype) if tensor.is_floating_point() else torch.ones(shape).long()
                )
                if name == "input_ids":
                    inputs[name] = torch.randint(4, 20, shape)
            with torch.no_grad():
                found = dict(zip(graph.outputs, program(*inputs.values()), strict=True))
            for name, expected in graph.run(inputs).items():
                torch.testing.assert_close(found[name], expected, rtol=0, atol=1e-10)


def test_translation_step_by_step(tmp_path):
    """A loop of five lines finds what transformers' greedy search finds; the export itself compares logits."""
    runtime, described = exported("transformer_neuralqkv_tiny", tmp_path, noise=0.5, **ONE_LAYER)
    assert set(described["graphs"]) == {"encoder", "step"}
    assert cli.main(["export-huggingface", str(tmp_path / "model.pt"), str(tmp_path / "folder"), "--staged"]) == 0
    from fairseq_plugins.huggingface import StagedForTranslation

    model = StagedForTranslation.from_pretrained(tmp_path / "folder").eval()
    source = batch(left_pad_source=False)[0]
    mask = source.ne(1).long()
    options = {"num_beams": 1, "do_sample": False, "max_new_tokens": 8, "min_new_tokens": 8, "suppress_tokens": None}
    expected = model.generate(input_ids=source, attention_mask=mask, **options)
    ids = torch.full((len(source), 1), described["symbols"]["start"])
    state = {"source_mask": mask, **runtime.run("encoder", input_ids=source, attention_mask=mask)}
    for _ in range(8):
        logits = runtime.forced(ids, pad=-1, source=state)[:, -1]
        logits[:, 2] = -torch.inf  # min_new_tokens
        ids = torch.cat([ids, logits.argmax(-1, keepdim=True)], dim=1)
    assert ids[:, :8].tolist() == expected[:, :8].tolist()


def test_a_language_model_with_a_state_of_constant_size():
    from fairseq_plugins.huggingface.graphs import graphs_of

    step = graphs_of(pair("transformer_lm_elu1", **ONE_LAYER)[1])["step"]
    assert step.inputs["past.decoder.0.key_sums"].shape == (2, 4, 7, 7)
    assert step.varying["past.decoder.0.key_sums"] == {0: "batch"}
    assert step.outputs == ["logits", "present.decoder.0.key_sums"]


def test_what_no_graph_holds_is_refused(tmp_path, capsys):
    save(tmp_path / "model.pt", "transformer_valueaware_tiny")
    assert cli.main(["export-onnx", str(tmp_path / "model.pt"), str(tmp_path / "graphs")]) == 1
    assert "looks for the keys of a query one by one, which no graph holds" in capsys.readouterr().err
    assert not (tmp_path / "graphs").exists()


def test_a_missing_package_is_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert cli.main(["export-onnx", str(tmp_path / "model.pt"), str(tmp_path / "graphs")]) == 1
    assert "the package onnxruntime is missing; run: pip install 'fairseq_plugins[onnx]'" in capsys.readouterr().err


if __name__ == "__main__":
    import tempfile
    from pathlib import Path

    warnings.simplefilter("ignore")
    for name in CASES:
        modules = [one for one in build(name).modules() if isinstance(one, StagedMultiheadAttention)]
        if any(one.mixing.searches for one in modules):
            continue
        for heads in ({}, {"mood": 3}) if family_of(name) == "roberta" else ({},):
            with tempfile.TemporaryDirectory() as folder:
                exported(name, Path(folder), heads=heads)
            print(f"{name}{' with a head' * bool(heads)}: equal", flush=True)
