"""The parameters of one attention module from those of another with other choices."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fairseq_plugins.attention.project.identity_query import Input
from fairseq_plugins.attention.project.network import NETWORKS, ResidualNetwork, add_noise
from fairseq_plugins.attention.stages import init_normal
from fairseq_plugins.checkpoints import CheckpointError

from .attention_names import ROLES
from .fold import fold_queries
from .outcome import CONSTRUCTED, COPIED, INITIALISED, Outcome
from .shared_fit import Inputs, ScoreMaps, fit_pairwise, fit_symmetric


@dataclass
class Settings:
    """How attention starts.

    Attributes:
        neural_start: networks in place of linear projections begin as them (``preserve``) or at random (``reinit``).
        neural_noise: relative noise on the weights of networks that begin as linear projections.
        reinit: roles (of q, k, v, out) whose projections are drawn anew in every attention module.
        seed: of whatever is random.
    """

    neural_start: str = "preserve"
    neural_noise: float = 0.0
    reinit: tuple[str, ...] = ()
    seed: int = 1


@dataclass
class Started:
    """One attention module's start.

    Attributes:
        outcomes: of each of its parameters.
        used: parameters of the old model that went into it.
        score_errors: relative error of each head's scores, where they were fitted.
        noise: relative change of each network's output by noise, by role.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    score_errors: list[float] | None = None
    noise: dict[str, float] = field(default_factory=dict)


class OldProjection(NamedTuple):
    """A projection of the old module, the role that it has there, and what is said where it gets another role."""

    module: nn.Module
    role: str
    how: str = ""


class LinearMap(NamedTuple):
    """A linear map, how it was made, and of which old parameters."""

    weight: Tensor
    bias: Tensor
    how: str
    used: tuple[str, ...]


#: what a projection starts from; a string is the reason why there is nothing
Origin = OldProjection | LinearMap | str


def start_attention(name: str, old: Any, new: Any, settings: Settings, inputs: Inputs | None = None) -> Started:
    """Set the parameters of ``new`` from ``old``, in place.

    Args:
        name: of both modules in their models.
        old: fairseq's attention or ours, whatever its choices.
        new: ours.
        settings: how.
        inputs: what the module reads, for fits of the scores.

    Raises:
        CheckpointError: the modules have other heads, or a network cannot begin as the linear projection.
    """
    if old.num_heads != new.num_heads:
        raise CheckpointError(
            f"{name} has {old.num_heads} heads in the pretrained model and {new.num_heads} in the new one; "
            "give the pretrained model's --encoder-attention-heads or --decoder-attention-heads"
        )
    start = _Start(name, old, new, settings)
    origins = {"v": start.old_projection("v"), "out": start.old_projection("out"), **start.score_origins(inputs)}
    for role in ROLES:
        module = getattr(new, f"{role}_proj")
        if module is not None and list(module.parameters()):
            start.projection(role, module, origins[role])
    return start.result


class _Start:
    """The work of :func:`start_attention`."""

    def __init__(self, name: str, old: Any, new: Any, settings: Settings) -> None:
        self.name, self.old, self.new, self.settings = name, old, new, settings
        self.result = Started()

    def score_origins(self, inputs: Inputs | None) -> dict[str, Origin]:
        """Where the new query and key projections start; the compatibility's own parameters are set here."""
        before, after = _compatibility(self.old), _compatibility(self.new)
        q, k = self.old_projection("q"), self.old_projection("k")
        if before == after:
            self._copy_compatibility()
            return {"q": q, "k": k}
        if (before, after) == ("symmetric", "dot"):
            return {"q": q, "k": k}
        if (before, after) == ("symmetric", "pairwise"):
            identity = torch.eye(self.new.head_dim).expand(self.new.num_heads, -1, -1)
            self._set_factors(identity, CONSTRUCTED, "identity: exact")
            return {"q": q}
        reason = self._why_no_linear_scores(before, after)
        if reason:
            self._set_factors(None, INITIALISED, reason)
            return {"q": q, "k": reason}
        return {"q": self._folded(), "k": k} if after == "dot" else {"q": self._fit(after, inputs)}

    def old_projection(self, role: str) -> Origin:
        """What makes a role in the old module, whichever role's projection it is."""
        maker = getattr(self.old, "makers", {}).get(role, role)
        module = getattr(self.old, f"{maker}_proj")
        if isinstance(module, Input):
            width, like = self.old.embed_dim, next(self.old.parameters())
            return LinearMap(torch.eye(width).to(like), torch.zeros(width).to(like), "the identity: exact", ())
        old = OldProjection(module, maker, "" if maker == role else "copy of the shared projection: exact")
        linear, heads = self._linear(old), getattr(self.old, "kv_heads", self.old.num_heads)
        if role not in ("k", "v") or linear is None or heads == self.new.kv_heads:
            return old
        return self._with_heads(linear, heads)

    def _with_heads(self, linear: LinearMap, heads: int) -> LinearMap:
        """A map of keys or values with so many heads, with as many as the new module has of them.

        Each new head is the mean of the old ones that its group of queries read (Ainslie et al. 2023, section 2.1).
        """
        every, wanted = self.new.num_heads, self.new.kv_heads
        exact = wanted % heads == 0
        weight, bias = (
            tensor.double()
            .view(heads, 1, self.new.head_dim, -1)
            .expand(-1, every // heads, -1, -1)
            .reshape(wanted, every // wanted, self.new.head_dim, -1)
            .mean(dim=1)
            .reshape(-1, *tensor.shape[1:])
            .to(tensor.dtype)
            for tensor in (linear.weight, linear.bias)
        )
        how = "heads repeated for their groups: exact" if exact else "mean of the heads of each group"
        return LinearMap(weight, bias, "; ".join(filter(None, (linear.how.removesuffix(": exact"), how))), linear.used)

    def _linear(self, origin: Origin) -> LinearMap | None:
        """An origin as a linear map, if it is one."""
        if isinstance(origin, OldProjection) and isinstance(origin.module, nn.Linear):
            weight, bias = origin.module.weight.detach(), origin.module.bias.detach()
            return LinearMap(weight, bias, origin.how, (f"{self.name}.{origin.role}_proj.",))
        return origin if isinstance(origin, LinearMap) else None

    def _why_no_linear_scores(self, before: str, after: str) -> str:
        if not {before, after} <= {"dot", "symmetric", "pairwise"}:
            return f"{after} has no counterpart in {before}"
        if self._drawn("q", self.old_projection("q")):
            return "with the query projection"
        if None in [self._linear(self.old_projection(role)) for role in "qk"]:
            return "the pretrained scores are of networks: no linear maps to start from"
        return ""

    def _folded(self) -> LinearMap:
        """The query projection with the pairwise factors in it."""
        q, factors = self.old.q_proj, self.old.compatibility.pairwise_factors.detach()
        return LinearMap(
            fold_queries(q.weight.detach().double(), factors),
            fold_queries(q.bias.detach().double(), factors),
            "S folded into the shared projection: exact",
            (f"{self.name}.q_proj.", f"{self.name}.compatibility."),
        )

    def _fit(self, after: str, inputs: Inputs | None) -> LinearMap:
        """The shared projection (and factors) nearest to the old scores."""
        heads = self.new.num_heads
        q, k = (self._linear(self.old_projection(role)) for role in "qk")
        assert q is not None and k is not None  # noqa: PT018  _why_no_linear_scores has seen to it
        if _compatibility(self.old) == "pairwise":
            q = self._folded()
        weight, bias, key = (tensor.double() for tensor in (q.weight, q.bias, k.weight))
        used = (*q.used, *(f"{prefix}weight" for prefix in k.used))  # softmax does not see the key's bias
        maps = ScoreMaps(weight.view(heads, -1, weight.size(1)), bias.view(heads, -1), key.view(heads, -1, key.size(1)))
        if after == "pairwise":
            fitted = fit_pairwise(maps, inputs, seed=self.settings.seed)
            self._set_factors(fitted.factors, CONSTRUCTED, "fitted to the pretrained scores")
        else:
            fitted = fit_symmetric(maps, inputs)
        self.result.score_errors = fitted.error.tolist()
        shared = fitted.weight.reshape(-1, weight.size(1)), fitted.bias.reshape(-1)
        return LinearMap(*shared, "fitted to the pretrained scores", used)

    def _copy_compatibility(self) -> None:
        old = getattr(self.old, "compatibility", None)
        if old is not None:
            self.new.compatibility.load_state_dict(old.state_dict())
            self.result.used.add(f"{self.name}.compatibility.")
        self._record_all("compatibility", self.new.compatibility, COPIED, "")

    def _set_factors(self, factors: Tensor | None, action: str, how: str) -> None:
        """Record, and unless they keep their initialisation set, the pairwise factors, if the new module has any."""
        for name, parameter in self.new.compatibility.named_parameters():
            if factors is not None:
                parameter.data.copy_(factors)
            self._record(f"compatibility.{name}", parameter, action, how)

    def projection(self, role: str, module: nn.Module, origin: Origin) -> None:
        """Start one projection of the new module."""
        prefix, linear = f"{role}_proj", self._linear(origin)
        if self._drawn(role, origin):
            for layer in module.modules():
                if isinstance(layer, nn.Linear):
                    init_normal(layer)
                elif isinstance(layer, (nn.LayerNorm, nn.RMSNorm)):
                    layer.reset_parameters()
            self._record_all(prefix, module, INITIALISED, "N(0, 0.02^2), biases 0")
        elif isinstance(origin, str):
            self._record_all(prefix, module, INITIALISED, origin)
        elif isinstance(origin, OldProjection) and same_function(origin.module, module):
            self._copy(role, module, origin)
        elif linear is not None and isinstance(module, (nn.Linear, *NETWORKS)):
            self._begin_as(role, module, linear)
        elif linear is not None:
            self._record_all(prefix, module, INITIALISED, "a network that can begin as no linear map")
        else:
            self._record_all(prefix, module, INITIALISED, "the pretrained projection is another network")

    def _copy(self, role: str, module: nn.Module, origin: OldProjection) -> None:
        module.load_state_dict(origin.module.state_dict())
        self.result.used.add(f"{self.name}.{origin.role}_proj.")
        self._record_all(f"{role}_proj", module, COPIED if origin.role == role else CONSTRUCTED, origin.how)

    def _begin_as(self, role: str, module: nn.Module, linear: LinearMap) -> None:
        prefix = f"{role}_proj"
        self.result.used.update(linear.used)
        if isinstance(module, nn.Linear):
            module.weight.data.copy_(linear.weight)
            module.bias.data.copy_(linear.bias)
            self._record_all(prefix, module, CONSTRUCTED, linear.how)
            return
        assert isinstance(module, NETWORKS)
        reason = module.why_not_exact()
        if reason:
            raise CheckpointError(
                f"{self.name}.{prefix} cannot begin as the pretrained linear projection: {reason}; choose "
                "--neural-start reinit, --neural-qkv-residual, or --neural-qkv-shape roberta with twice the width or "
                "more"
            )
        module.begin_as(linear.weight, linear.bias)
        start = "W beside 0" if isinstance(module, ResidualNetwork) else "[W; -W], [I, -I]"
        how = f"{start}: exact"
        if self.settings.neural_noise:
            generator = torch.Generator().manual_seed(stable_seed(self.settings.seed, self.name, role))
            self.result.noise[role] = add_noise(module, self.settings.neural_noise, generator)
            how = f"{start} with {self.settings.neural_noise:g} relative noise"
        self._record_all(prefix, module, CONSTRUCTED, "; ".join(filter(None, (linear.how, how))))

    def _drawn(self, role: str, origin: Origin) -> bool:
        """Whether a projection is to be drawn anew: asked for, or a network in place of a linear map."""
        replaced = self._linear(origin) is not None and not isinstance(getattr(self.new, f"{role}_proj"), nn.Linear)
        return role in self.settings.reinit or (replaced and self.settings.neural_start == "reinit")

    def _record_all(self, prefix: str, module: nn.Module, action: str, how: str) -> None:
        for name, parameter in module.named_parameters():
            self._record(f"{prefix}.{name}", parameter, action, how)

    def _record(self, name: str, parameter: Tensor, action: str, how: str) -> None:
        self.result.outcomes.append(Outcome(f"{self.name}.{name}", tuple(parameter.shape), action, how))


def stable_seed(*parts: object) -> int:
    """A seed of its own for each sequence of parts, the same in every process: 63 bits of SHA-256."""
    digest = hashlib.sha256("\0".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def same_function(one: nn.Module, other: nn.Module) -> bool:
    """Whether two projections compute the same in evaluation where their parameters are equal.

    Copies of both are asked, with the same random parameters: what a module prints of itself says nothing certain.
    """
    shapes = [{name: tensor.shape for name, tensor in module.state_dict().items()} for module in (one, other)]
    if shapes[0] != shapes[1]:
        return False
    linear = next(module for module in one.modules() if isinstance(module, nn.Linear))
    first, second = (copy.deepcopy(module).cpu().float().eval() for module in (one, other))
    drawn = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in first.parameters():  # large enough for what two activations share near 0 to matter little
            parameter.copy_(torch.randn(parameter.shape, generator=drawn) / max(1, parameter[0].numel()) ** 0.5)
        second.load_state_dict(first.state_dict())
        inputs = torch.randn(16, linear.in_features, generator=drawn)
        return torch.allclose(first(inputs), second(inputs), rtol=1e-5, atol=1e-5)


def _compatibility(attention: Any) -> str:
    """``dot``, ``symmetric``, ``pairwise`` or another registered choice; fairseq's own attention is ``dot``."""
    from fairseq_plugins.attention.stages import COMPATIBILITY

    chosen = getattr(attention, "compatibility", None)
    names = (name for name, cls in COMPATIBILITY.choices.items() if type(chosen) is cls)
    return "dot" if chosen is None else next(names, type(chosen).__name__)
