"""The model gives another number of scores than there are classes.

Too few scores make labels that torch refuses at best; too many leave scores that no label ever asks for, as when
the 1000-class head of a pre-trained model was not replaced.

Bad:

    self.head = nn.Linear(width, 1000)             # with 10 classes

Use instead:

    self.head = nn.Linear(width, num_classes)
"""

FIX = "make the head's width equal num_classes, or register the num_classes that it has"
