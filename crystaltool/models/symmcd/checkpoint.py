"""A SymmCD checkpoint as a model ready to sample."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from crystaltool.errors import UsageError
from crystaltool.models.configuration import from_json, stored_sizes
from crystaltool.models.symmcd.known_sites import KnownSites, read_known_sites
from crystaltool.models.symmcd.model import SymmCD, SymmCDConfig
from crystaltool.models.symmcd.plan import Plan
from crystaltool.models.symmcd.preferences import Preferences, template_sites
from crystaltool.models.symmcd.request import Request
from crystaltool.models.symmcd.sampling import SamplerConfig, plan_for
from crystaltool.models.symmcd.stability import guide_for
from crystaltool.models.symmcd.templates import TEMPLATES, read_templates
from crystaltool.training.checkpoint import fill_model, load_model


@dataclass(frozen=True)
class LoadedSymmCD:
    """Weights in evaluation mode, the sampler settings they were judged with, and their sha256.

    Weights are in float64, those of a geometry network on atoms in float32: it is called in blocks of fixed shapes.
    """

    model: SymmCD
    sampler: SamplerConfig
    sha256: str
    known: KnownSites
    templates: KnownSites
    """Of the training data, as sites without elements; none for a checkpoint of before they were kept."""

    def plan(self, request: Request | None = None, config: SamplerConfig | None = None) -> Plan:
        """What a request leaves open, weighed as the sampler's settings say; `config` is the checkpoint's own if None.

        Raises:
            UsageError: as `Plan`, or the settings aim at stability and the model cannot judge it.
        """
        config = config or self.sampler
        aim = config.above_hull
        if aim and self.model.stability is None:
            raise UsageError("this model cannot aim at e_above_hull, it was trained without the part stability")
        if not aim:
            return plan_for(self.model, request)
        preferences = Preferences(
            self.templates,
            config.new_template,
            config.neutral,
            config.n_elements,
            config.density,
            self.model.element_volume.cpu().numpy(),
        )
        of_a_formula = request is not None and bool(request.formula)  # whose likeliest template is asked for
        guide = guide_for(aim[0], self.known, config.guidance, None if of_a_formula else preferences)
        return plan_for(self.model, request, guide)


def load_symmcd(directory: Path, device: str = "cpu") -> LoadedSymmCD:
    """Load a checkpoint.

    Raises:
        CheckpointError: missing, damaged, of another kind or format, or with tensors that do not fit its config.
    """
    config, tensors = load_model(directory, "symmcd")
    with stored_sizes(directory, "SymmCD"):
        sizes = from_json(SymmCDConfig(), config["config"]["model"])
        sampler = from_json(SamplerConfig(), config.get("sampler", {}))
    model = fill_model(directory, lambda: SymmCD(sizes), tensors, device)
    if sizes.geometry_heads:
        model.geometry.float()
    templates = template_sites(read_templates(directory) if (directory / TEMPLATES).is_file() else ())
    return LoadedSymmCD(model, sampler, str(config["sha256"]), read_known_sites(directory), templates)
