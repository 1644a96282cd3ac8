"""Distil an agent: the distribution it acts by, and the values it expects."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from aitrade_cli.errors import BadInput

IMPOSSIBLE = -1e9  # a logit that leaves no probability, and no NaN either


def policy_loss(
    student: Float[Tensor, "batch action"],
    teacher: Float[Tensor, "batch action"],
    *,
    temperature: float = 0.01,
    allowed: Bool[Tensor, "batch action"] | None = None,
) -> Float[Tensor, ""]:
    r"""$\mathrm{KL}(\mathrm{softmax}(q_t / \tau) \,\|\, \mathrm{softmax}(q_s))$, a mean.

    Action values lie close together, so the teacher's are sharpened: $\tau < 1$, the other way
    from classifiers. For a teacher that gives log probabilities instead, pass ``temperature=1``.

    Args:
        student: logits of its actions.
        teacher: values, or logits, of the same actions.
        temperature: > 0.
        allowed: False where an action cannot be taken; it weighs nothing then.

    Raises:
        BadInput: the temperature is not above 0.

    Source:
        Rusu et al. 2016, Policy Distillation, equation 3. https://arxiv.org/abs/1511.06295
    """
    if temperature <= 0:
        raise BadInput(f"a temperature of `{temperature}` is not above 0")
    if allowed is not None:
        student = student.masked_fill(~allowed, IMPOSSIBLE)
        teacher = teacher.masked_fill(~allowed, IMPOSSIBLE * min(1.0, temperature))
    told = functional.log_softmax(teacher / temperature, dim=1)
    said = functional.log_softmax(student, dim=1)
    return functional.kl_div(said, told, reduction="batchmean", log_target=True)


def value_loss(
    student: Float[Tensor, " batch"], teacher: Float[Tensor, " batch"], *, beyond: float = 1.0
) -> Float[Tensor, ""]:
    r"""Huber's loss of the expected return: $d^2/2$ up to ``beyond``, $\beta(|d| - \beta/2)$ after.

    Args:
        student: values, in the reward's unit.
        teacher: of the same states.
        beyond: $\beta$ > 0; an error larger than it pulls no harder.

    Source:
        Huber 1964. https://doi.org/10.1214/aoms/1177703732
    """
    return functional.huber_loss(student, teacher, delta=beyond)
