"""Any folder of ``transformers`` with its tokenizer, by what its class is called."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from fairseq_plugins.errors import UserError

from .running import transformers_package

#: ending of a class in config.json -> what the model does; the first that fits
KINDS = {
    "ForMaskedLM": "masked LM",
    "ForPreTraining": "masked LM",
    "ForSequenceClassification": "classification",
    "ForCausalLM": "causal LM",
    "LMHeadModel": "causal LM",
    "ForTranslation": "translation",
    "ForConditionalGeneration": "translation",
    "MTModel": "translation",
    "Model": "encoder",
}
#: what a model does -> the Auto class that loads it
AUTO_CLASSES = {
    "masked LM": "AutoModelForMaskedLM",
    "classification": "AutoModelForSequenceClassification",
    "causal LM": "AutoModelForCausalLM",
    "translation": "AutoModelForSeq2SeqLM",
    "encoder": "AutoModel",
}


class Loaded(NamedTuple):
    """A folder's model in evaluation mode, its tokenizer, and what it does: one of :data:`AUTO_CLASSES`."""

    model: Any
    tokenizer: Any
    kind: str


def load_folder(folder: str, attention: str, own_code: bool, kinds: Mapping[str, str] = AUTO_CLASSES) -> Loaded:
    """Load a folder; nothing is fetched.

    Args:
        attention: ``attn_implementation``, where the model's class lets it be chosen.
        own_code: run the code that lies in the folder, where its configuration asks for it.
        kinds: those of :data:`AUTO_CLASSES` that are wanted.

    Raises:
        UserError: transformers is missing or cannot load it, or it is of another kind.
    """
    transformers = transformers_package()
    with suppress(ImportError):
        import fairseq_plugins.huggingface  # noqa: F401  makes our models known
    options = {"local_files_only": True, "trust_remote_code": own_code}
    try:
        config = transformers.AutoConfig.from_pretrained(folder, **options)
        cls = (config.architectures or ["Model"])[0]
        kind = next((found for ending, found in KINDS.items() if cls.endswith(ending)), "")
        if kind not in kinds or (kind == "encoder" and config.is_encoder_decoder):
            raise UserError(f"{folder}: a {cls}, which is none of: {', '.join(kinds)}")
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **options)
        auto = getattr(transformers, kinds[kind])
        try:
            model = auto.from_pretrained(folder, attn_implementation=attention, **options)
        except ValueError:  # classes of their own code may know no choice of attention
            model = auto.from_pretrained(folder, **options)
    except (OSError, ValueError, KeyError, ImportError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{folder}: transformers cannot load it ({' '.join(str(error).split())})") from None
    return Loaded(model.eval(), tokenizer, kind)
