"""Options of left-to-right search."""

from argparse import Namespace

import torch
from answers import Purpose, Raises
from fairseq.dataclass.configs import GenerationConfig
from fairseq.search import LexicallyConstrainedBeamSearch
from fairseq.sequence_generator import SequenceGenerator, SequenceGeneratorWithAlignment
from fairseq.token_generation_constraints import pack_constraints
from omegaconf import OmegaConf
from tiny_models import model, plain, sample, translation_task

TASK = translation_task()
WORDS = TASK.target_dictionary
PAD, EOS = WORDS.pad(), WORDS.eos()
SENTENCES = ([4, 5, 6, EOS], [7, 8, EOS])


def search(**options):
    return SequenceGenerator([model(TASK)], WORDS, max_len_b=4, **{"beam_size": 2, **options})


def forced(prefix, step=0, beam=2, keywords=False):
    """The scores, tokens and scores of hypotheses after a step of prefixes."""

    def call(_):
        made = search()
        torch.manual_seed(3)
        rows = len(prefix) * beam
        given = [torch.randn(rows, len(WORDS)), torch.randn(rows, 4), torch.full((rows, 5), PAD)]
        given[2][:, 0], given[2][:, 1] = EOS, prefix[0][0]
        names = ("lprobs", "scores", "tokens", "prefix_tokens", "beam_size")
        given = [*given, torch.tensor(prefix), beam]
        found = made._prefix_tokens(step, **dict(zip(names, given))) if keywords else made._prefix_tokens(step, *given)
        return plain(found)

    return call


def generated(prefix=None, **options):
    def call(_):
        found = search(**options).generate([], sample(*SENTENCES), prefix_tokens=prefix)
        return [[(h["tokens"].tolist(), plain(h["score"])) for h in hypotheses] for hypotheses in found]

    return call


def settings(**options):
    return OmegaConf.merge(OmegaConf.structured(GenerationConfig), {"max_len_b": 4, "beam": 2, **options})


def arguments(**options):
    return Namespace(**{"max_len_b": 4, "beam": 2, **options})


class Answers:
    """A generator that is given in place of fairseq's."""

    def __init__(self, models, words, **options):
        self.options = sorted(options)

    def generate(self, models, sample, **kwargs):
        return [[{"tokens": torch.tensor([4, EOS]), "steps": 9}] for _ in sample["id"]]


def built(args, *others, models=None, step=None, **kwargs):
    """A task's generator and what it gives, by the road that programs take."""

    def call(_):
        made = [model(TASK)] if models is None else models
        generator = TASK.build_generator(made, args, *others, **kwargs)
        found = TASK.inference_step(generator, made, sample(*SENTENCES), **(step or {}))
        first = {name: part for name, part in found[0][0].items() if name not in ("attention", "positional_scores")}
        return type(generator).__name__, len(found), [len(hypotheses) for hypotheses in found], plain(first)

    return call


def scored(_):
    generator = TASK.build_generator([model(TASK)], arguments(score_reference=True))
    return type(generator).__name__


def aligned(*others, models=None, **kwargs):
    def call(_):
        kwargs.setdefault("beam_size", 2)
        made = SequenceGeneratorWithAlignment(models or [model(TASK)], WORDS, *others, max_len_b=4, **kwargs)
        found = made.generate([], sample(*SENTENCES), bos_token=EOS)
        return [[(h["tokens"].tolist(), plain(h["alignment"])) for h in hypotheses] for hypotheses in found]

    return call


def steps(_):
    generator = TASK.build_generator([model(TASK)], arguments(print_step=True, retain_iter_history=True))
    (hypothesis, *_), *_ = TASK.inference_step(generator, [], sample(*SENTENCES))
    tokens = hypothesis["tokens"].tolist()
    return hypothesis["steps"] == len(tokens), [h["tokens"].tolist() for h in hypothesis["history"]][-1] == tokens


def constraints(representation, *given, **kwargs):
    def call(_):
        made = LexicallyConstrainedBeamSearch(WORDS, representation)
        result = made.init_constraints(*given, **kwargs)
        return result, [[type(state).__name__ for state in states] for states in made.constraint_states]

    return call


PACKED = pack_constraints([[torch.tensor([4, 5])], []])
NO_LAYER_LOOKS = {"no_cross_attention": True}

CONTRACTS = {
    "empty_prefix": {
        "a prefix": forced([[4, 5], [6, 7]]),
        "its second step": forced([[4, 5], [4, 7]], step=1),
        "by keywords": forced([[4, 5], [6, 7]], keywords=True),
        "padding": forced([[4, 5], [6, PAD]], step=1),
        "an end": forced([[4, EOS], [4, 5]], step=1),
        "one beam": forced([[4, EOS], [4, 5]], step=1, beam=1),
        "a step too many": forced([[4]], step=1),
        "no prefix": forced([[4], [5]], beam=3),
        "a search": generated(),
        "a search with a prefix": generated(torch.tensor([[4, 5], [6, EOS]])),
        "a search with a padded prefix": generated(torch.tensor([[4, 5], [6, PAD]])),
        "a search with one beam": generated(torch.tensor([[4, 5], [6, EOS]]), beam_size=1),
        "an end at once": Purpose(lambda _: generated(torch.tensor([[4], [EOS]]))(_)[1] == generated()(_)[1], True),
    },
    "steps_and_histories": {
        "arguments": built(arguments()),
        "settings": built(settings()),
        "by keywords": lambda _: (
            type(TASK.build_generator(models=[model(TASK)], args=arguments(), seq_gen_cls=None)).__name__
        ),
        "neither asked for": built(arguments(print_step=False, retain_iter_history=False)),
        "by position": built(arguments(), SequenceGenerator, {"eos": 5}, None),
        "another generator": built(arguments(), Answers),
        "another generator's steps": lambda _: built(arguments(print_step=True), Answers)(_)[3]["steps"],
        "allowed tokens": built(arguments(), prefix_allowed_tokens_fn=lambda sentence, tokens: [5, EOS]),
        "references": scored,
        "options that exclude each other": built(settings(sampling=True, diverse_beam_groups=2)),
        "a prefix": built(arguments(), step={"prefix_tokens": torch.tensor([[4], [5]])}),
        "no models": built(arguments(), models=[]),
        "nothing": lambda _: TASK.build_generator(),
        "both": Purpose(steps, (True, True)),
    },
    "alignments": {
        "by default": aligned(),
        "hard": aligned(False, "hard"),
        "soft": aligned(False, "soft"),
        "by keywords": aligned(left_pad_target=True, print_alignment="hard"),
        "of settings": aligned(print_alignment=settings(print_alignment="soft").print_alignment),
        "one beam": aligned(beam_size=1),
        "left-padded": aligned(True),
        "an unknown argument": aligned(nobodys=1),
        "nothing": lambda _: SequenceGeneratorWithAlignment(),
        "built from hard": built(settings(print_alignment="hard")),
        "built from soft": built(arguments(print_alignment="soft")),
        "True": Purpose(lambda _: aligned(print_alignment=True)(_) == aligned()(_), True),
        "no layer that looks": Purpose(
            lambda _: {
                tuple(pairs) if isinstance(pairs, str) else len(pairs[1])
                for hypotheses in aligned(models=[model(TASK, **NO_LAYER_LOOKS)])(_)
                for _tokens, pairs in hypotheses
            },
            {0},
        ),
    },
    "constraints_of_nothing": {
        "ordered": constraints("ordered", PACKED, 2),
        "unordered": constraints("unordered", PACKED, 1),
        "by keywords": constraints("ordered", batch_constraints=PACKED, beam_size=2),
        "a list": constraints("ordered", list(PACKED), 2),
        "no sentences": constraints("ordered", [], 2),
        "no beam": constraints("ordered", PACKED),
        "a number": constraints("ordered", 3, 2),
        "None": Purpose(constraints("ordered", None, 2), Raises("ValueError")),
    },
}
