"""``--replace-unk``."""

from argparse import Namespace

import torch
from answers import Purpose
from fairseq import options, utils
from fairseq.dataclass.configs import GenerationConfig
from fairseq.sequence_generator import SequenceGenerator
from tiny_models import dictionary, model, plain, sample, translation_task

EOS, UNK = 2, 3


def table(of, as_=str):
    def call(folder):
        path = folder / "words"
        path.write_text("w1 eins\nw2 zwei drei\n")
        return utils.load_align_dict(as_(path) if of is ... else of)

    return call


def parsed(*words):
    return lambda _: options.get_generation_parser().parse_known_args(["data", *words])[0].replace_unk


def written(tokens, *others, source="w1 w2", words=dictionary, **kwargs):
    """Tokens and text that are printed, and the size of the dictionary, which may grow."""

    def call(_):
        made = words()
        if "align_dict" in kwargs:
            found = utils.post_process_prediction(
                hypo_tokens=torch.tensor(tokens), src_str=source, tgt_dict=made, **kwargs
            )
        else:
            alignment, align_dict, *rest = others
            found = utils.post_process_prediction(
                torch.tensor(tokens), source, alignment, align_dict, made, *rest, **kwargs
            )
        return plain(found), len(made)

    return call


def pieces():
    made = dictionary()
    for symbol in ("a@@", "b"):
        made.add_symbol(symbol)
    return made


class NoSource(type(translation_task())):
    @property
    def source_dictionary(self):
        raise NotImplementedError


class Answers:
    def __init__(self, models, words, **options):
        pass

    def generate(self, models, sample, **kwargs):
        return [[{"tokens": torch.tensor([4, EOS])}] for _ in sample["id"]]


def built(args, *others, task=None, **kwargs):
    """What a task's generator gives, but for the alignment that the replacement wants."""

    def call(_):
        made = task or translation_task()
        models = [model(made)]
        generator = made.build_generator(models, args, *others, **kwargs)
        found = made.inference_step(generator, models, sample([4, 5, EOS], [6, EOS]))
        return type(generator).__name__, [[h["tokens"].tolist() for h in hypotheses] for hypotheses in found]

    return call


def without_source(_):
    task = NoSource(translation_task().cfg, dictionary(), dictionary())
    return built(Namespace(max_len_b=4, beam=1, replace_unk=""), task=task)(_)


def replaced(_):
    """An unknown word that the search finds becomes the word of the source, which stands beside it."""
    task = translation_task()
    models = [model(task)]
    generator = task.build_generator(models, Namespace(max_len_b=3, beam=1, unkpen=-99, replace_unk=""))
    ((hypothesis,),) = task.inference_step(generator, models, sample([4, EOS]))
    alignment = hypothesis["alignment"]
    text = utils.post_process_prediction(hypothesis["tokens"], "w0", alignment, {"w0": "null"}, task.target_dictionary)[
        1
    ]
    return set(text.split())


SHORT = {"max_len_b": 4, "beam": 2}

CONTRACTS = {
    "replace_unk_without_value": {
        "no table": table(None),
        "no name": table(""),
        "a table": table(...),
        "a table's path": table(..., as_=lambda path: path),
        "True": table(True),
        "no file": table("nobodys"),
        "by keyword": lambda _: utils.load_align_dict(replace_unk=None),
        "no option": parsed(),
        "an option with a name": parsed("--replace-unk", "words"),
        "an option before another": parsed("--replace-unk", "words", "--beam", "3"),
        "the setting": lambda _: GenerationConfig().replace_unk,
        "the setting's help": lambda _: sorted(GenerationConfig.__dataclass_fields__["replace_unk"].metadata),
        "an option without a name": Purpose(parsed("--replace-unk"), ""),
    },
    "replace_unk": {
        "no table": written([4, 5, EOS], None, None),
        "a table": written([4, 5, EOS], [0, 1], {}),
        "an unknown word": written([4, UNK, EOS], [0, 1], {}),
        "an unknown word's translation": written([4, UNK, EOS], (0, 1), {"w2": "zwei"}),
        "an alignment as a tensor": written([4, UNK, EOS], torch.tensor([0, 1]), {"w2": "zwei"}),
        "an alignment as an empty tensor": written([4, UNK, EOS], torch.empty(0), {}),
        "an alignment as pairs": written([UNK, EOS], [(0, 0)], {}),
        "no alignment": written([4, EOS], None, {}),
        "no alignment of an unknown word": written([UNK, EOS], None, {}),
        "the end of the source": written([UNK, EOS], [2], {}),
        "beyond the source": written([UNK, EOS], [5], {}),
        "pieces": written([12, 13, 4, EOS], None, None, "@@ ", words=pieces),
        "pieces and a table": written([12, 13, UNK, EOS], [0, 1], {}, "@@ ", None, words=pieces),
        "ignored symbols": written([4, 5, EOS], None, None, None, {5}),
        "by keywords": written([4, UNK, EOS], alignment=[0, 1], align_dict={}, remove_bpe=None),
        "by all keywords": written(
            [4, UNK, 5, EOS], alignment=[0, 1], align_dict={}, remove_bpe="@@ ", extra_symbols_to_ignore=[5]
        ),
        "nothing": lambda _: utils.post_process_prediction(),
        "a generator": built(Namespace(**SHORT)),
        "a generator that replaces": built(Namespace(**SHORT, replace_unk="words")),
        "a generator by position": built(Namespace(**SHORT, replace_unk=""), SequenceGenerator, {"eos": EOS}, None),
        "another generator": built(Namespace(**SHORT, replace_unk=""), Answers),
        "a task without a source": without_source,
        "an unknown word that is found": Purpose(replaced, {"null"}),
    },
}
