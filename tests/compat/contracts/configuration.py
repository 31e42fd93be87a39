"""``eval`` of a configuration's strings."""

import importlib

from answers import Purpose, Raises
from fairseq import utils

MODULES = [
    "utils",
    *("criterions.ctc", "data.audio.raw_audio_dataset", "optim.adafactor", "optim.adam", "optim.adamax"),
    *("models.fconv", "models.fconv_lm", "models.fconv_self_att", "models.lightconv_lm", "models.transformer_lm"),
    *("models.hubert.hubert", "models.wav2vec.wav2vec", "models.wav2vec.wav2vec2"),
    *("models.speech_to_text.s2t_wav_transformer", "optim.cpu_adam", "optim.fused_lamb"),
]


def evaluate(text, module="utils"):
    return vars(importlib.import_module(f"fairseq.{module}")).get("eval", eval)(text)


def evaluating(text):
    return lambda _: evaluate(text)


def called(function, *arguments, **kwargs):
    return lambda _: function(*arguments, **kwargs)


class Text(str):
    pass


EXPRESSIONS = [
    *(
        "1",
        " 1",
        "\t1\n",
        "\n1",
        "(1,\n2)",
        "1 # one",
        "1_000",
        "0x10",
        "1e-3",
        "-1",
        "not 0",
        "None",
        "...",
        "'a' 'b'",
    ),
    *("[(512, 3)] * 4", "(0.9, 0.999)", "0.9, 0.98", "{'a': [1]}", "{1, 2}", "[*(1, 2)]", "{**{1: 2}}", "()", "[]"),
    *(
        "2**9",
        "7 // 2 % 2",
        "1 << 3 | 1",
        "1 if 0 else 2",
        "1 < 2 <= 3",
        "0 or 5",
        "'%s' % 3",
        "[1, 2][0]",
        "[1, 2][:1]",
    ),
    *("f'{1}'", "", "1;2", "x =", "\x00", "\n\n 1", b"1", bytearray(b"1"), b"\xff", Text("[1]")),
    *(None, True, 1, 1.5, [1], (1,), {}, len),
]
BOOLEANS = [True, False, None, 0, 1, "True", "False", "0", "1", "None", "", "[]", "[0]", [], [0], {}, 1.5, b"True"]
LISTS = [None, "1", "1,2", "[1, 2]", "0.25", 1, 0.5, [1, 2], (1,), {3: 4}, [], "", "[]", True, "'ab'", [None], b"1"]

CONTRACTS = {
    "configuration_strings": {
        **{f"eval of {text!r}": evaluating(text) for text in EXPRESSIONS},
        **{f"eval_bool of {value!r}": called(utils.eval_bool, value) for value in BOOLEANS},
        "eval of memory": lambda _: evaluate(memoryview(b"1")),
        "eval_bool of None and a default": called(utils.eval_bool, None, default=True),
        "eval_bool of a list and a default": called(utils.eval_bool, [], True),
        **{f"eval_str_list of {value!r}": called(utils.eval_str_list, value) for value in LISTS},
        **{f"eval_str_list of {value!r} as int": called(utils.eval_str_list, value, type=int) for value in LISTS},
        **{
            f"eval_str_dict of {value!r}": called(utils.eval_str_dict, value)
            for value in (None, "{'a': 1}", {}, 1, "1")
        },
        **{f"eval in {module}": called(evaluate, "[(512, 3)] * 2 + [(768, -1)]", module) for module in MODULES},
        **{f"eval of True in {module}": called(evaluate, True, module) for module in MODULES},
        "a coding line": evaluating(b"# coding: utf-7\n1"),
        "a coding line that is none": evaluating(b"\n\n# coding: utf-7\n'+AGE-'"),
        "a name": Purpose(evaluating("__name__"), Raises("ValueError")),
        "a call": Purpose(evaluating("len([1])"), Raises("ValueError")),
        "an attribute": Purpose(evaluating("(1).real"), Raises("ValueError")),
        "a function": Purpose(lambda _: callable(evaluate("lambda: 1")), Raises("ValueError")),
        "a name among literals": Purpose(called(utils.eval_str_list, "[1, __name__]", str), Raises("ValueError")),
        "a list of names": Purpose(evaluating("[x for x in (1, 2)]"), Raises("ValueError")),
        "an assignment": Purpose(evaluating("(x := 1)"), Raises("ValueError")),
        "compiled code": Purpose(evaluating(compile("1", "", "eval")), Raises("ValueError")),
    }
}
