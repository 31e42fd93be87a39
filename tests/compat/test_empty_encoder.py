"""Encoders without layers: what they give is their embeddings."""

import pytest
import torch
from builders import batch, build
from fairseq.models.transformer import TransformerEncoderBase
from fairseq.modules import LayerDropModuleList

from fairseq_plugins import compat


@pytest.mark.parametrize("arch", ["transformer", "transformer_pairwise_tiny", "roberta", "roberta_baseline_tiny"])
@pytest.mark.parametrize("options", [{}, {"encoder_layerdrop": 0.5, "encoder_normalize_before": True}])
@pytest.mark.parametrize("training", [True, False])
def test_the_output_is_the_embeddings(arch, options, training):
    model = build(arch, encoder_layers=0, **options).train(training)
    encoder = getattr(model.encoder, "sentence_encoder", model.encoder)
    src, lengths, _ = batch()
    out = encoder(src, lengths, return_all_hiddens=True)
    expected = encoder.forward_embedding(src)[0] * (src != 1)[..., None]
    assert torch.equal(out["encoder_states"][0], expected.transpose(0, 1))
    assert len(out["encoder_states"]) == 1
    expected = encoder.layer_norm(expected) if options else expected
    assert torch.equal(out["encoder_out"][0], expected.transpose(0, 1))


def test_encoders_with_layers_stay_as_they_are():
    assert type(build("transformer").encoder.layers) is torch.nn.ModuleList
    dropping = build("transformer", encoder_layers=0, encoder_layerdrop=0.5).encoder.layers
    assert isinstance(dropping, LayerDropModuleList), "whoever puts layers in has them dropped"
    with pytest.raises(IndexError):
        build("transformer", encoder_layers=0).encoder.layers[1]
    before = TransformerEncoderBase.__init__
    compat.apply()
    assert TransformerEncoderBase.__init__ is before
