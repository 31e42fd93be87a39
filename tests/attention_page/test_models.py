"""What the page shows is what the models did: every family, kernel and mixing, stock fairseq, Hugging Face."""

import base64
import json
import re
import zlib
from functools import partial

import numpy as np
import pytest
import tiny_training
import torch
from builders import CASES, VOCABULARY, dictionary, family_of, save
from fairseq.dataclass import configs
from fairseq.modules import MultiheadAttention

from fairseq_plugins import cli
from fairseq_plugins.attention import StagedMultiheadAttention

EDGES = {"encoder": ("source", "source"), "decoder": ("inputs", "inputs"), "cross": ("target", "source")}
#: a case of each family, and every kernel and mixing
SHOWN = [
    *("transformer_neuralqkv_tiny", "roberta_pairwise_tiny", "transformer_lm_symmetric_tiny", "transformer_grouped"),
    *("roberta_value_aware_poly", "transformer_lm_top_r_shifted_relu", "transformer_top_r_by_layer"),
    *(name for name in CASES if re.match("transformer_(kernel|mixing)-", name)),
]
TEXT, TARGET = "w1 w2 w3 <unk> w5\n\nw7\n", "w2 w1\nw5\nw4 w4 w4\n"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder with dictionaries, and two files of text in pieces."""
    folder = tmp_path_factory.mktemp("data")
    for name in ("dict.txt", "dict.de.txt", "dict.en.txt"):
        dictionary().save(str(folder / name))
    (folder / "train.de-en.de.bin").touch()  # by which fairseq knows the languages
    (folder / "train.de-en.de.idx").touch()
    (folder / "masked").mkdir()
    dictionary(VOCABULARY - 1).save(str(folder / "masked" / "dict.txt"))  # the task adds <mask>
    (folder / "text").write_text(TEXT)
    (folder / "target").write_text(TARGET)
    return folder


def page(*arguments, status=0):
    assert cli.main(["attention-page", *map(str, arguments), "--cpu"]) == status


class Bytes:
    """What a page has packed, taken from its beginning on."""

    def __init__(self, text):
        self.values = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8).astype(np.float64) / 255

    def take(self, shape, scale):
        size = int(np.prod(shape))
        found, self.values = self.values[:size].reshape(shape) * scale, self.values[size:]
        return found


def read_back(path):
    """A page's JSON, and for each line and model: site -> layers of (weights used, dense or None, error or None)."""
    text = path.read_text(encoding="utf-8")
    content = json.loads(re.search(r'<script type="application/json" id="content">(.*?)</script>', text, re.DOTALL)[1])
    found = []
    for at, sentence in enumerate(content["sentences"]):
        found.append([])
        for number, seen in enumerate(sentence["models"]):
            packed = Bytes(re.search(rf'id="weights-{at}-{number}">([^<]*)<', text)[1])
            sites = {}
            for site, layers in seen["sites"].items():
                queries, keys = (len(seen[side]["pieces"]) for side in EDGES[site])
                sites[site] = []
                for layer in layers:
                    shape = (layer["heads"], queries, keys)
                    used, dense, error = packed.take(shape, layer["scale"]), None, None
                    if "dense" in layer:
                        dense, error = packed.take(shape, layer["dense"]), packed.take(shape[:2], layer["error"])
                    sites[site].append((used, dense, error))
            beam = seen["beam"]
            if beam:
                shape = (len(beam["nodes"]), len(seen["source"]["pieces"]))
                sites["beam"] = [packed.take((heads, *shape), beam["scale"]) for heads in beam["heads"]]
            assert not len(packed.values)
            found[-1].append(sites)
    return content, found


def watch(monkeypatch, kind):
    """What modules of a kind are asked for the weights of each head, call by call: [(module, (H, T, S))]."""
    calls, forward = [], kind.forward

    def asked(self, *args, **kwargs):
        # by fairseq's own option, without the cache of a search
        if kwargs.get("incremental_state") is None and kwargs.get("buffer") is None:
            kwargs = {**kwargs, "need_weights": True, "need_head_weights": True}
            with torch.no_grad():
                weights = forward(self, *args, **kwargs)[1]
            calls.append((self, weights[:, 0].double().numpy()))
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(kind, "forward", asked)
    return calls


@pytest.mark.parametrize("case", SHOWN)
def test_weights_are_those_that_were_used(case, data, tmp_path, monkeypatch):
    model = save(tmp_path / "model.pt", case, noise=0.4)
    arguments = ["--text", data / "text", "--out", tmp_path / "page.html"]
    translates = family_of(case) == "transformer"
    folder = data / "masked" if family_of(case) == "roberta" else data
    page(tmp_path / "model.pt", folder, *arguments, *(["--target", data / "target"] if translates else []))
    _, found = read_back(tmp_path / "page.html")
    modules = [module for module in model.modules() if isinstance(module, StagedMultiheadAttention)]
    assert sum(map(len, found[0][0].values())) == len(modules)
    words = dictionary()
    for line, (sites,) in enumerate(found):
        calls = watch(monkeypatch, type(modules[0]))
        source, target = (
            words.encode_line(text.split("\n")[line], add_if_not_exist=False)[None].long() for text in (TEXT, TARGET)
        )
        shifted = [torch.cat([ids.new_tensor([[words.eos()]]), ids[:, :-1]], 1) for ids in (source, target)]
        if translates:
            model(source, torch.tensor([source.size(1)]), shifted[1])
        else:
            model(
                torch.cat([source.new_tensor([[words.bos()]]), source], 1) if hasattr(model, "encoder") else shifted[0]
            )
        monkeypatch.undo()
        expected = {site: [] for site in sites}
        for module, weights in calls:
            name = next(name for name, one in model.named_modules() if one is module)
            site = "cross" if name.endswith("encoder_attn") else "decoder" if "decoder." in name else "encoder"
            expected[site if site in expected else "encoder"].append(weights)
        for site, layers in sites.items():
            assert len(layers) == len(expected[site])
            for (used, dense, error), weights in zip(layers, expected[site]):
                np.testing.assert_allclose(used, weights, atol=1 / 255)
                np.testing.assert_allclose(used.sum(-1), 1, atol=used.shape[-1] / 500)
                if dense is not None:
                    moved = np.abs(dense - used).sum(-1)
                    assert error[moved > 0.1].min(initial=1) > 1e-3
                    assert error[moved == 0].max(initial=0) < 0.1


@pytest.mark.parametrize("kind", ["adam", "lm", "mlm"])
def test_stock_fairseq(kind, corpus, tmp_path, monkeypatch):
    """Its own attention gives the same weights."""
    from fairseq import checkpoint_utils

    checkpoint = tiny_training.train(
        corpus, tmp_path / "run", f"{tiny_training.KINDS[kind]} {tiny_training.AT_THE_END}"
    )
    folder = corpus / ("bin" if kind == "adam" else "mono")
    arguments = ["--reference"] if kind == "adam" else []
    page(
        checkpoint,
        folder,
        "--sentences",
        3,
        *arguments,
        "--out",
        tmp_path / "page.html",
        "--arrays",
        tmp_path / "a.npz",
    )
    content, found = read_back(tmp_path / "page.html")
    assert len(found) == 3
    (stock,), _, task = checkpoint_utils.load_model_ensemble_and_task([str(checkpoint)], {"data": str(folder)})
    stock.eval()
    for module in stock.modules():
        module.skip_embed_dim_check = True  # else torch's function answers, with the mean of the heads
    calls = watch(monkeypatch, MultiheadAttention)
    seen = content["sentences"][1]["models"][0]
    ids = {
        side: torch.tensor([[task.target_dictionary.index(piece) for piece in seen[side]["pieces"]]])
        for side in ("source", "inputs")
        if seen[side]
    }
    if kind == "adam":
        stock(ids["source"], torch.tensor([ids["source"].size(1)]), ids["inputs"])
    else:
        stock(ids["source"] if kind == "mlm" else ids["inputs"])
    arrays = np.load(tmp_path / "a.npz")
    flat = [(site, at) for site, layers in found[1][0].items() for at in range(len(layers))]
    order = {"encoder": 0, "decoder": 1, "cross": 2}
    assert len(calls) == len(flat)
    for (site, at), (_, weights) in zip(sorted(flat, key=lambda one: order[one[0]]), calls):
        np.testing.assert_allclose(found[1][0][site][at][0], weights, atol=1 / 255)
        np.testing.assert_allclose(arrays[f"a/2/{site}/{at}/used"], weights, atol=1e-6)


# --- transformers -----------------------------------------------------------------------------------------------------


def tokenizer(transformers, folder, **specials):
    """Words by number, as a folder of transformers has them."""
    tokenizers = pytest.importorskip("tokenizers")
    names = [*specials.values(), *(f"w{at}" for at in range(20))]
    model = tokenizers.Tokenizer(tokenizers.models.WordLevel({name: at for at, name in enumerate(names)}, names[0]))
    model.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    made = transformers.PreTrainedTokenizerFast(tokenizer_object=model, unk_token=names[0], **specials)
    made.save_pretrained(folder)
    return len(names)


SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}


@pytest.mark.parametrize("kind", ["BertForMaskedLM", "BertForSequenceClassification", "BertModel", "GPT2LMHeadModel"])
def test_models_of_transformers(kind, data, tmp_path):
    transformers = pytest.importorskip("transformers")
    size = tokenizer(transformers, tmp_path / "model", pad_token="<pad>", mask_token="[MASK]", bos_token="<s>")
    config = transformers.BertConfig(vocab_size=size, **SMALL)
    if "GPT2" in kind:
        config = transformers.GPT2Config(vocab_size=size, n_embd=16, n_layer=2, n_head=2, n_positions=32)
    model = getattr(transformers, kind)(config).eval()
    model.save_pretrained(tmp_path / "model")
    page(tmp_path / "model", "--text", data / "text", "--out", tmp_path / "page.html")
    content, found = read_back(tmp_path / "page.html")
    assert [line["models"][0]["note"] for line in content["sentences"]][::2] == ["", ""]
    seen = content["sentences"][0]["models"][0]
    site = "decoder" if "GPT2" in kind else "encoder"
    pieces = seen["inputs" if "GPT2" in kind else "source"]["pieces"]
    assert pieces[-5:] == ["w1", "w2", "w3", "<pad>", "w5"]
    loaded = getattr(transformers, kind).from_pretrained(tmp_path / "model", attn_implementation="eager").eval()
    ids = torch.tensor([transformers.AutoTokenizer.from_pretrained(tmp_path / "model").convert_tokens_to_ids(pieces)])
    with torch.no_grad():
        output = loaded(input_ids=ids, output_attentions=True)
    for (used, *_), weights in zip(found[0][0][site], output.attentions, strict=True):
        np.testing.assert_allclose(used, weights[0], atol=1 / 255)
    if "GPT2" in kind:
        assert seen["losses"] == pytest.approx(
            torch.nn.functional.cross_entropy(output.logits[0, :-1], ids[0, 1:], reduction="none").tolist(), abs=1e-3
        )
    if "MaskedLM" in kind:
        at = 1
        masked = ids.clone()
        masked[0, at] = 1
        with torch.no_grad():
            logits = loaded(input_ids=masked).logits[0, at]
        assert seen["losses"][at] == pytest.approx(-float(logits.log_softmax(-1)[ids[0, at]]), abs=1e-3)
        assert seen["losses"][3] is None, "a special symbol"
    if "Classification" in kind:
        assert seen["verdict"].startswith("class LABEL_")


def test_a_translation_model_of_transformers_and_its_search(data, tmp_path):
    """Weights of all sites, and of the beam what its decoder gives for each beginning."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(5)
    size = tokenizer(transformers, tmp_path / "model", pad_token="<pad>", eos_token="</s>")
    config = transformers.BartConfig(
        vocab_size=size,
        d_model=16,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        max_position_embeddings=32,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=1,
        decoder_start_token_id=1,
        forced_eos_token_id=None,
        init_std=0.5,
    )
    model = transformers.BartForConditionalGeneration(config).eval()
    model.generation_config.max_new_tokens = 6
    model.save_pretrained(tmp_path / "model")
    page(tmp_path / "model", "--text", data / "text", "--beam", 3, "--out", tmp_path / "page.html")
    content, found = read_back(tmp_path / "page.html")
    seen, sites = content["sentences"][0]["models"][0], found[0][0]
    loaded = transformers.BartForConditionalGeneration.from_pretrained(tmp_path / "model", attn_implementation="eager")
    words = transformers.AutoTokenizer.from_pretrained(tmp_path / "model")
    source, inputs = (
        torch.tensor([words.convert_tokens_to_ids(seen[side]["pieces"])]) for side in ("source", "inputs")
    )

    def run(ids):
        with torch.no_grad():
            return loaded.eval()(input_ids=source, decoder_input_ids=ids, output_attentions=True)

    output = run(inputs)
    for site, layers in (
        ("encoder", output.encoder_attentions),
        ("decoder", output.decoder_attentions),
        ("cross", output.cross_attentions),
    ):
        for (used, *_), weights in zip(sites[site], layers, strict=True):
            np.testing.assert_allclose(used, weights[0], atol=1 / 255)
    beam = seen["beam"]
    assert len(beam["finished"]) == 3
    assert beam["finished"][0][1] == seen["target"]["pieces"]
    assert all(1 <= len(step) <= 3 for step in beam["steps"])
    for number, (_, _, score) in enumerate(beam["nodes"]):
        ids, at = [], number
        while at > 0:
            ids.insert(0, words.convert_tokens_to_ids(beam["nodes"][at][1]))
            at = beam["nodes"][at][0]
        output = run(torch.tensor([[1, *ids]]))
        logs = output.logits[0].log_softmax(-1)
        assert score == pytest.approx(sum(float(logs[place, token]) for place, token in enumerate(ids)), abs=1e-3)
        for layer, weights in zip(sites["beam"], output.cross_attentions, strict=True):
            np.testing.assert_allclose(layer[:, number], weights[0, :, -1], atol=1 / 255)


def test_our_exports_show_what_their_checkpoints_do(data, tmp_path):
    """A sparse mixing in transformers: its kept keys, and the dense weights, as in fairseq."""
    pytest.importorskip("transformers")
    save(tmp_path / "model.pt", "transformer_lm_top_r_shifted_relu", noise=0.4)
    assert cli.main(["export-huggingface", str(tmp_path / "model.pt"), str(tmp_path / "folder")]) == 0
    tokens = pytest.importorskip("tokenizers")
    import transformers

    names = dictionary().symbols
    model = tokens.Tokenizer(tokens.models.WordLevel({name: at for at, name in enumerate(names)}, "<unk>"))
    model.pre_tokenizer = tokens.pre_tokenizers.WhitespaceSplit()
    transformers.PreTrainedTokenizerFast(tokenizer_object=model, unk_token="<unk>", bos_token="</s>").save_pretrained(
        tmp_path / "folder"
    )
    for name, arguments in (
        ("ours", [tmp_path / "model.pt", data]),
        ("theirs", [tmp_path / "folder", "--trust-remote-code"]),
    ):
        page(*arguments, "--text", data / "text", "--out", tmp_path / f"{name}.html")
    (_, ours), (_, theirs) = (read_back(tmp_path / f"{name}.html") for name in ("ours", "theirs"))
    for mine, yours in zip(ours[0][0]["decoder"], theirs[0][0]["decoder"], strict=True):
        for one, other in zip(mine, yours):
            np.testing.assert_allclose(one, other, atol=2 / 255)


# --- the search of fairseq --------------------------------------------------------------------------------------------


def test_the_search_is_fairseqs(data, tmp_path, monkeypatch):
    """Its hypotheses and scores are those of the generator; weights of the beginnings those of the whole hypothesis."""
    from builders import translation_task

    monkeypatch.setattr(configs, "GenerationConfig", partial(configs.GenerationConfig, max_len_b=16))  # of 200
    model = save(tmp_path / "model.pt", "transformer_neuralqkv_tiny", noise=0.6)
    page(tmp_path / "model.pt", data, "--text", data / "text", "--beam", 4, "--out", tmp_path / "page.html")
    content, found = read_back(tmp_path / "page.html")
    task = translation_task()
    generator = task.build_generator([model], configs.GenerationConfig(beam=4))
    for line, text in enumerate(TEXT.splitlines()):
        ids = dictionary().encode_line(text, add_if_not_exist=False)[None].long()
        sample = {"net_input": {"src_tokens": ids, "src_lengths": torch.tensor([ids.size(1)])}}
        with torch.no_grad():
            ranked = task.inference_step(generator, [model], sample)[0]
        seen, sites = content["sentences"][line]["models"][0], found[line][0]
        shown = [(pieces, pytest.approx(score, abs=1e-3)) for _, pieces, score in seen["beam"]["finished"]]
        assert [([dictionary()[token] for token in one["tokens"]], float(one["score"])) for one in ranked] == shown
        nodes = seen["beam"]["nodes"]
        at, path = 0, [0]
        for piece in seen["target"]["pieces"][:-1]:
            at = next(number for number, node in enumerate(nodes) if node[:2] == [at, piece])
            path.append(at)
        for layer, (used, *_) in zip(sites["beam"], sites["cross"], strict=True):
            np.testing.assert_allclose(layer[:, path], used, atol=1 / 255)
        assert nodes[path[-1]][2] == pytest.approx(-sum(seen["losses"][:-1]), abs=0.02)
