"""The step size is so small that the parameters do not change.

A step that is smaller than half a unit in the last place of a parameter is rounded away: bfloat16 keeps 8 bits, so a
weight near 1 ignores every step below 2e-3. A step size of 0 does the same in any dtype. A number that happens to be
next to 0 may move all the same: fewer than one in a hundred are no training. Where more of them change, or some that
were exactly 0, but the loss by next to nothing, it is advice: fine-tuning and warm-ups take small steps on purpose.
"""

FIX = "take a larger step size; where the weights are bfloat16, keep a float32 copy of them and step that"

BAD = """\
@pytest_logits.register(
    input_shape=(10,),
    num_classes=3,
    optimizer=lambda model: torch.optim.SGD(model.parameters(), lr=1e-12),
)
def classifier():
    return nn.Linear(10, 3)
"""

GOOD = """\
@pytest_logits.register(
    input_shape=(10,),
    num_classes=3,
    optimizer=lambda model: torch.optim.SGD(model.parameters(), lr=1e-2),
)
def classifier():
    return nn.Linear(10, 3)
"""

SEEN: tuple[tuple[str, str], ...] = ()
