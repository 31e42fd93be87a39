"""``fairseq-plugins``: one console command, a subcommand per tool.

A subcommand is a module of :mod:`fairseq_plugins.commands` with a docstring (its ``--help``; the first line
is its summary), ``add_arguments(parser)`` and ``run(args) -> int``; it is imported only when it is called. Options that
no help shows and that take long to find come by ``add_hidden_arguments(parser)``.
"""

from __future__ import annotations

import argparse
import importlib
import sys

from .errors import UserError

#: name on the command line -> (module in fairseq_plugins.commands, one-line summary)
COMMANDS = {
    "toy-corpus": ("toy_corpus", "write the toy German-English corpus"),
    "translate": ("translate", "translate raw text with a trained model"),
    "complete": ("complete", "go on with raw text by a causal language model"),
    "fill-mask": ("fill_mask", "fill masks in raw text by a masked language model"),
    "read-corpus": ("read_corpus", "plain text from the official corpus layouts"),
    "clean-corpus": ("clean_corpus", "check a parallel corpus and drop pairs by length and ratio"),
    "hold-out": ("hold_out", "cut validation and test sets from a parallel corpus"),
    "learn-byte-bpe": ("learn_byte_bpe", "learn a byte-level BPE, in GPT-2's formats"),
    "apply-byte-bpe": ("apply_byte_bpe", "encode text with a byte-level BPE in GPT-2's formats"),
    "apply-sentencepiece": (
        "apply_sentencepiece",
        "encode text with a SentencePiece model for a fairseq dictionary",
    ),
    "learn-sentencepiece": ("learn_sentencepiece", "learn a SentencePiece model"),
    "record-text": ("record_text", "write down what raw text went through, for others to repeat it"),
    "latest-checkpoint": ("latest_checkpoint", "the newest checkpoint of a folder that can be read"),
    "convert-checkpoint": (
        "convert_checkpoint",
        "turn a stock transformer checkpoint into transformer_baseline or back",
    ),
    "fold-checkpoint": ("fold_checkpoint", "turn shared or missing projections into a stock model of equal outputs"),
    "warm-start": ("warm_start", "start a model from the trained weights of one with other attention"),
    "export-huggingface": ("export_huggingface", "write a model as a folder for Hugging Face's transformers"),
    "export-onnx": ("export_onnx", "write a model as graphs of ONNX"),
    "export-ctranslate2": ("export_ctranslate2", "write a translation model as a folder for CTranslate2"),
    "translate-ctranslate2": (
        "translate_ctranslate2",
        "translate with a folder of export-ctranslate2, as fairseq-generate does",
    ),
    "import-huggingface": (
        "import_huggingface",
        "write a model of transformers as a checkpoint",
    ),
    "average-checkpoints": ("average_checkpoints", "one checkpoint with the mean of several's parameters"),
    "glue-prepare": ("glue_prepare", "a task of GLUE as data of fairseq's sentence_prediction"),
    "glue-toy": ("glue_toy", "write two toy tasks in GLUE's layout"),
    "glue-plan": ("glue_plan", "what the fine-tuning of a checkpoint on GLUE takes"),
    "glue-evaluate": ("glue_evaluate", "score fine-tuned models on the development sets of GLUE"),
    "glue-table": ("glue_table", "table of fine-tuned models: every task of GLUE, average, test against a baseline"),
    "treebank-toy": ("treebank_toy", "write a toy treebank in the Penn Treebank's format"),
    "treebank-prepare": ("treebank_prepare", "sentences and brackets from the trees of the Penn Treebank"),
    "parse-score": ("parse_score", "labelled bracketing F1 of a parser's output, by EVALB's conventions"),
    "parse-table": ("parse_table", "table of trained parsers: F1, precision, recall, repairs, test against a baseline"),
    "analyse-attention": ("analyse_attention", "error and loss of a trained model under every sparse mixing"),
    "attention-page": ("attention_page", "see the attention of a trained model, on a page that is one file"),
    "apply-preset": ("apply_preset", "what train.sh --preset makes of a training's command"),
    "count-sequences": ("count_sequences", "how many sequences of a length a binarised text makes"),
    "lowercase": ("lowercase", "text in lower case, from standard input to standard output"),
    "single-blanks": ("single_blanks", "text with one blank between words, from standard input to standard output"),
    "record-scores": ("record_scores", "keep the scores of a translation in a file, and print them in one line"),
    "token-losses": ("token_losses", "the loss of every token of a test set under trained language models"),
    "plan": ("plan", "what a training takes: parameters, updates, memory, time, disk"),
    "study": ("study", "a controlled comparison: many runs from one file, their statistics and a page"),
    "compare": ("compare", "table of runs: BLEU, chrF, deviation over seeds, test against a baseline"),
    "compare-analyses": ("compare_analyses", "what sparse mixings cost in several models, tested over seeds"),
    "compare-losses": (
        "compare_losses",
        "table of language-model runs: perplexity, validation losses, test against a baseline",
    ),
}


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand; returns its exit status."""
    argv = sys.argv[1:] if argv is None else argv
    listing = "\n".join(f"  {name:<20} {summary}" for name, (_, summary) in sorted(COMMANDS.items()))
    parser = argparse.ArgumentParser(
        prog="fairseq-plugins",
        description="Tools of fairseq_plugins.",
        epilog=f"commands:\n{listing}\n\n'fairseq-plugins COMMAND --help' describes one.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=sorted(COMMANDS), metavar="COMMAND")
    name = parser.parse_args(argv[:1]).command
    module = importlib.import_module(f"fairseq_plugins.commands.{COMMANDS[name][0]}")
    command = argparse.ArgumentParser(
        prog=f"fairseq-plugins {name}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(command)
    if hasattr(module, "add_hidden_arguments") and not {"-h", "--help"} & set(argv):
        module.add_hidden_arguments(command)
    args = command.parse_args(argv[1:])
    try:
        return module.run(args) or 0
    except (UserError, OSError) as error:
        print(f"{name}: error: {_sentence(error)}", file=sys.stderr)
        return 1


def _sentence(error: Exception) -> str:
    """What a user is told: of a file that the system refuses, its name and why."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)


if __name__ == "__main__":
    sys.exit(main())
