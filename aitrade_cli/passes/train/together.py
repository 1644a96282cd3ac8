"""What of a request cannot go together, said before anything is measured, made or removed."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from aitrade_cli.errors import Usage
from aitrade_cli.passes.train.parts import place_of
from aitrade_cli.passes.train.settings import Settings
from aitrade_cli.passes.train.tuning import refuse_without_base
from aitrade_cli.training.hogwild import refuse_unsharable
from aitrade_cli.training.legality import features_of, refuse_illegal
from aitrade_cli.training.placement import Alone
from aitrade_cli.training.precision import PRECISIONS


def refuse_together(
    settings: Settings, network: nn.Module, world: int, *, warn: bool = False
) -> None:
    """Everything that the run itself would stop at before its first step.

    Args:
        settings: as asked for; a number format that is still to be found rules nothing out.
        network: on its device.
        world: processes that would share each batch.
        warn: of what runs together, but not as it would alone; a run does so itself.

    Raises:
        Usage: two things that exclude each other, or adapters without a base model.
        CannotRunWild: the network cannot be shared without waiting.
    """
    refuse_without_base(settings.lora, settings.base)
    wild = bool(settings.values["training.hogwild"])
    if wild and settings.run_dir is not None:
        raise Usage("`--hogwild` keeps no states to go on from", hint="leave `--run-dir` out")
    asked = next((one for one in PRECISIONS if one == settings.amp), "fp32")
    recipe = replace(settings.recipe, precision=asked)
    own = {
        "lora": settings.lora is not None,
        "hogwild": wild,
        "workers": settings.values["training.workers"] != 0,
    }
    features = features_of(recipe, network, Alone()) | place_of(settings, world).features
    refuse_illegal(features | {name for name, is_on in own.items() if is_on}, warn=warn)
    if wild:
        refuse_unsharable(network)
