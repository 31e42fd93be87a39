"""A process that is going to fork fairseq's commands imports and computes first what each would for itself."""

import copy
import functools
import gc
import sys
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

    quicken_hydra()
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


@functools.cache
def quicken_hydra():
    """A third of what reading a command line takes, in each of a thousand tests."""
    remember_overrides()
    share_repositories()
    look_at_one_frame()


def remember_overrides():
    """hydra's grammar takes a part of a training's start for 250 options, of which few differ from those before."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parse, known = OverridesParser.parse_rule, {}

    def remembered(self, text, rule):
        if (text, rule) not in known:
            known[text, rule] = parse(self, text, rule)
        return copy.copy(known[text, rule])

    OverridesParser.parse_rule = remembered


def share_repositories():
    """hydra copies what it reads configurations from, a sixth of a training's start; nothing changes it."""
    from hydra._internal.config_repository import CachingConfigRepository

    def __init__(self, delegate):
        self.delegate, self.cache = delegate, {}

    CachingConfigRepository.__init__ = __init__


def look_at_one_frame():
    """hydra asks who calls it, and reads the sources of all of pytest for the answer."""

    def caller(depth):
        frame = sys._getframe(depth)
        try:
            return frame.f_code.co_filename, frame.f_globals[frame.f_code.co_name].__module__
        except KeyError:
            return frame.f_code.co_filename, getattr(frame.f_locals.get("self"), "__module__", None)

    sys.modules["hydra.initialize"].detect_calling_file_or_module_from_stack_frame = caller
