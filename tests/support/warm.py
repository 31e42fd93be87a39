"""A process that is going to fork fairseq's commands imports and computes first what each would for itself."""

import copy
import functools
import gc
import os
import sys
import warnings

#: the commonest choices of groups of trainings with the plugin
COMMON = (
    "--criterion fused_label_smoothed_cross_entropy --optimizer fused_adam --lr-scheduler inverse_sqrt",
    "--criterion label_smoothed_cross_entropy --optimizer adam --lr-scheduler inverse_sqrt",
    "--task masked_lm --arch roberta_baseline_tiny --criterion masked_lm --optimizer fused_adam "
    "--lr-scheduler polynomial_decay --total-num-update 9",
)


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
        generation = ["", "--path", "checkpoint.pt"]
        convert_namespace_to_omegaconf(options.parse_args_and_arch(options.get_generation_parser(), generation))
    gc.collect()
    gc.freeze()  # forks then share all this


def warm_up_plugin():
    """The commonest choices of groups, whose composition takes a training a third of its time."""
    from fairseq import options
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf

    translation = ["", "--cpu", "--task", "translation"]
    for words in COMMON:
        given = [*translation, "--arch", "transformer_baseline_tiny", *words.split()]
        convert_namespace_to_omegaconf(options.parse_args_and_arch(options.get_training_parser(), given))
    generation = options.get_generation_parser()
    generation.add_argument("--arch", default="wav2vec2")  # as fairseq-generate does
    convert_namespace_to_omegaconf(options.parse_args_and_arch(generation, [*translation, "--path", "checkpoint.pt"]))
    gc.collect()
    gc.freeze()


@functools.cache
def quicken_hydra():
    """A third of what reading a command line takes, in each of a thousand tests."""
    remember_overrides()
    share_repositories()
    remember_choices()
    look_at_one_frame()
    keep_no_stacks()


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


def remember_choices():
    """What hydra composes before it sets single options is by the chosen groups alone, of which there are few.

    Not where a folder that is not fairseq's takes part: its files may change.
    """
    import fairseq
    from hydra._internal import config_loader_impl
    from hydra.core.config_store import ConfigStore

    create, store = config_loader_impl.create_defaults_list, ConfigStore.store
    loader = config_loader_impl.ConfigLoaderImpl
    compose = loader._compose_config_from_defaults_list
    groups, lists, composed = {}, {}, {}
    fixed = ("file://" + os.path.dirname(fairseq.__file__), "pkg://", "structured://")

    def create_defaults_list(repo, config_name, overrides_list, **options):
        places = tuple(source.scheme() + "://" + source.path for source in repo.get_sources())
        unusual = any(one.is_sweep_override() or isinstance(one.value(), dict) for one in overrides_list)
        if unusual or not all(place.startswith(fixed) for place in places):
            return create(repo=repo, config_name=config_name, overrides_list=overrides_list, **options)
        for one in overrides_list:
            if (places, one.key_or_group) not in groups:
                groups[places, one.key_or_group] = repo.group_exists(one.key_or_group)
        is_group = [groups[places, one.key_or_group] for one in overrides_list]
        chosen = tuple(one.input_line for one, group in zip(overrides_list, is_group) if group)
        key = places, config_name, chosen, *options.values()
        if key not in lists:
            lists[key] = create(repo=repo, config_name=config_name, overrides_list=overrides_list, **options)
            composed[id(lists[key].defaults)] = None
        found = copy.copy(lists[key])
        found.config_overrides = [one for one, group in zip(overrides_list, is_group) if not group]
        return found

    def remembered(self, defaults, repo):
        if id(defaults) not in composed:
            return compose(self, defaults, repo)
        composed[id(defaults)] = composed[id(defaults)] or compose(self, defaults, repo)
        return copy.deepcopy(composed[id(defaults)])

    def forgetting(self, name, node, group=None, *given, **options):
        there = self._open(group or "")
        if there is None or f"{name}.yaml" in there:  # what is but added changes nothing that did without it
            for known in (groups, lists, composed):
                known.clear()
        return store(self, name, node, group, *given, **options)

    config_loader_impl.create_defaults_list = create_defaults_list
    loader._compose_config_from_defaults_list = remembered
    ConfigStore.store = forgetting


def look_at_one_frame():
    """hydra asks who calls it, and reads the sources of all of pytest for the answer."""

    def caller(depth):
        frame = sys._getframe(depth)
        try:
            return frame.f_code.co_filename, frame.f_globals[frame.f_code.co_name].__module__
        except KeyError:
            return frame.f_code.co_filename, getattr(frame.f_locals.get("self"), "__module__", None)

    sys.modules["hydra.initialize"].detect_calling_file_or_module_from_stack_frame = caller


def keep_no_stacks():
    """Where no GPU is, torch keeps the text of the stack with each seed, whose lines it reads from pytest's sources."""
    import traceback
    import types

    import torch

    for device in (torch.cuda, torch.xpu, torch.mtia):
        if device.traceback is traceback:
            device.traceback = types.SimpleNamespace(**{**vars(traceback), "format_stack": list})
