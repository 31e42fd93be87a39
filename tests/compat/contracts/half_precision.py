"""Half precision, on the command line and in a configuration; the machine that is asked has no GPU."""

from types import SimpleNamespace
from unittest import mock

from answers import Purpose, Raises
from fairseq import options
from fairseq.distributed import utils as distributed_utils

TRAINING = ["data", "--optimizer", "sgd", "--arch", "transformer_tiny"]


def parsed(*given, gpu=False, **kwargs):
    """The options of precision that come of a command line."""

    def call(_):
        parser = options.get_training_parser()
        with mock.patch("torch.cuda.is_available", return_value=gpu):
            args = options.parse_args_and_arch(parser, [*TRAINING, *given], **kwargs)
        args, extra = args if isinstance(args, tuple) else (args, None)
        return args.fp16, args.bf16, args.tpu, args.cpu, args.memory_efficient_fp16, extra

    return call


def validate_and_save():
    """As fairseq_cli.train's, by which a program that trains is known."""


def run(trains=True, gpu=False, backend="pytorch_ddp", more=None, **common):
    """What main was called with."""

    def call(_):
        seen = []
        defaults = dict.fromkeys(
            ("fp16", "bf16", "tpu", "cpu", "memory_efficient_fp16", "fp16_no_flatten_grads"), False
        )
        cfg = SimpleNamespace(
            common=SimpleNamespace(**{**defaults, **common}),
            distributed_training=SimpleNamespace(
                distributed_world_size=1,
                distributed_init_method=None,
                distributed_port=0,
                distributed_no_spawn=True,
                ddp_backend=backend,
                pipeline_model_parallel=False,
                tpu=common.get("tpu", False),
            ),
        )
        main = train if trains else Generate()
        main.seen = seen
        with mock.patch("torch.cuda.is_available", return_value=gpu):
            return distributed_utils.call_main(cfg, main, **(more or {})), seen

    return call


def train(cfg, **kwargs):
    train.seen.append(sorted(kwargs))


class Generate:
    """A program that does not train."""

    def __call__(self, cfg, **kwargs):
        self.seen.append(sorted(kwargs))


CONTRACTS = {
    "bfloat16_on_gpus": {
        "nothing": parsed(),
        "--fp16": parsed("--fp16"),
        "--fp16 on a GPU": parsed("--fp16", gpu=True),
        "--bf16": parsed("--bf16"),
        "--bf16 --cpu": parsed("--bf16", "--cpu", gpu=True),
        "--bf16 --tpu": parsed("--bf16", "--tpu", gpu=True),
        "--tpu": parsed("--tpu", gpu=True),
        "--fp16 --tpu": parsed("--fp16", "--tpu"),
        "--fp16 --bf16": parsed("--fp16", "--bf16", gpu=True),
        "--memory-efficient-fp16": parsed("--memory-efficient-fp16"),
        "unknown options": parsed("--nobodys", parse_known=True),
        "defaults suppressed": lambda _: sorted(
            vars(options.parse_args_and_arch(options.get_training_parser(), TRAINING, suppress_defaults=True))
        ),
        "a changed parser": lambda _: (
            options.parse_args_and_arch(
                options.get_training_parser(), TRAINING, modify_parser=lambda parser: parser.set_defaults(seed=7)
            ).seed
        ),
        "by keywords": lambda _: (
            options.parse_args_and_arch(
                parser=options.get_training_parser(), input_args=TRAINING, parse_known=False
            ).arch
        ),
        "--bf16 on a GPU": Purpose(parsed("--bf16", gpu=True), (False, True, False, False, False, None)),
        "--memory-efficient-bf16 on a GPU": Purpose(
            parsed("--memory-efficient-bf16", gpu=True), (False, True, False, False, False, None)
        ),
    },
    "half_precision_on_cpus": {
        "float32": run(cpu=True),
        "arguments": run(cpu=True, more={"config_path": "a", "config_name": "b"}),
        "float16 on a GPU": run(fp16=True, gpu=True),
        "float16 on the CPU beside an unused one": run(fp16=True, cpu=True, gpu=True),
        "float16 without a copy in float32": run(fp16=True, memory_efficient_fp16=True, cpu=True),
        "float16 in many pieces": run(fp16=True, fp16_no_flatten_grads=True),
        "float16, sharded": run(fp16=True, backend="fully_sharded"),
        "float16 that does not train": run(fp16=True, trains=False),
        "bfloat16 without a TPU": run(bf16=True, cpu=True),
        "bfloat16 on a GPU": run(bf16=True, gpu=True),
        "bfloat16 that does not train": run(bf16=True, tpu=True, trains=False),
        "float16": Purpose(run(fp16=True), Raises("SystemExit")),
        "float16 on a CPU": Purpose(run(fp16=True, cpu=True), Raises("SystemExit")),
        "bfloat16": Purpose(run(bf16=True, tpu=True), Raises("SystemExit")),
        "bfloat16 on a CPU": Purpose(run(bf16=True, tpu=True, cpu=True, gpu=True), Raises("SystemExit")),
        "a TPU": Purpose(run(tpu=True, gpu=True), Raises("SystemExit")),
    },
}
