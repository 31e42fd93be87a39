"""A process that is going to fork fairseq's commands imports and computes first what each would for itself."""

import copy
import functools
import gc
import warnings


@functools.cache
def warm_up():
    """A second and a half, which each training forked from here then saves.

    Neither the plugin, as forks may be stock's, nor fairseq_cli, whose import sets up logging by the environment.
    """
    import torch
    import tqdm
    from fairseq import options
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf

    remember_overrides()
    torch.set_num_threads(1)
    tqdm.tqdm.monitor_interval = 0  # its thread could hold a lock when a command is forked
    parameter = torch.nn.Parameter(torch.ones(1))
    torch.optim.SGD([parameter], lr=1)  # today's torch imports its compiler here
    translation = ["", "--task", "translation", "--arch", "transformer"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        convert_namespace_to_omegaconf(options.parse_args_and_arch(options.get_training_parser(), translation))
    gc.collect()
    gc.freeze()  # forks then share all this


def remember_overrides():
    """hydra's grammar takes a part of a training's start for 250 options, of which few differ from those before."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parse, known = OverridesParser.parse_rule, {}

    def remembered(self, text, rule):
        if (text, rule) not in known:
            known[text, rule] = parse(self, text, rule)
        return copy.copy(known[text, rule])

    OverridesParser.parse_rule = remembered
