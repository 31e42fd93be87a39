"""What a training takes, before anything is fetched: parameters, updates, memory, time and disk.

After -- comes the command line of fairseq-train. The recipes' --plan calls this with what they know of their data.

    examples/attention_is_all_you_need/wmt14_en_de_base.sh --plan --gpus 8 --throughput 40000
    fairseq-plugins plan --vocabulary 37000 --train-tokens 135000000 --devices 8 -- data-bin \\
        --arch transformer_pairwise --max-tokens 3125 --max-update 100000 --optimizer adam --share-all-embeddings

Parameters are counted on the model, and activations measured in a forward pass of it on the CPU (attention is taken to
be fused). Time is a matter of the devices: give --throughput where it was measured.
"""

from __future__ import annotations

from argparse import REMAINDER, ArgumentParser, Namespace


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--vocabulary", type=int, required=True, metavar="N", help="symbols of the dictionary")
    parser.add_argument("--train-tokens", type=int, metavar="N", help="target tokens of an epoch")
    parser.add_argument("--disk-gb", type=float, metavar="GB", help="what the data take")
    parser.add_argument("--devices", type=int, default=1, metavar="N", help="processes over all machines (default: 1)")
    parser.add_argument("--nodes", type=int, default=1, metavar="N", help="machines (default: 1)")
    parser.add_argument("--cpu", action="store_true", help="the devices are CPU processes, not GPUs")
    parser.add_argument("--throughput", type=float, metavar="N", help="target tokens a second and device")
    parser.add_argument("training", nargs=REMAINDER, metavar="-- DATA OPTION...", help="options of fairseq-train")


def run(args: Namespace) -> int:
    import fairseq_plugins.models  # noqa: F401  registers the architectures
    from fairseq_plugins.training_plan import DataSizes, Hardware, parse_training, plan_training, show

    words = args.training[1:] if args.training[:1] == ["--"] else args.training
    sizes = DataSizes(args.vocabulary, args.train_tokens, args.disk_gb)
    hardware = Hardware(args.devices, args.nodes, "CPU process" if args.cpu else "GPU", args.throughput)
    plan = plan_training(parse_training(words), sizes, hardware)
    print("\n".join(show(plan, sizes, hardware)))
    return 0
