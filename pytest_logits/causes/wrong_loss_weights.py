"""The rows of a class have no effect on the loss.

A weight of 0, or an ignore_index that is the index of a class, takes the class out of the loss: its rows have no
gradient and it is never learnt. Where the index stands for padding that is meant; an ignore_index of 0 copied from such
a model to one whose class 0 is a class is not.
"""

FIX = "leave ignore_index at -100 unless the index is padding, and give every class a weight above 0"

BAD = """\
@pytest_logits.register(
    input_shape=(10,),
    num_classes=3,
    loss=nn.CrossEntropyLoss(ignore_index=0),
)
def classifier():
    return nn.Linear(10, 3)
"""

GOOD = """\
@pytest_logits.register(
    input_shape=(10,),
    num_classes=3,
    loss=nn.CrossEntropyLoss(),
)
def classifier():
    return nn.Linear(10, 3)
"""

SEEN: tuple[tuple[str, str], ...] = ()
