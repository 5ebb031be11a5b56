"""The targets name classes that the model has no score for, or other classes than the labels.

Labels that start from 1 make cross entropy raise on the last class, or, where the head has a score to spare, train
every example towards the next class without a word.

Bad:

    targets = labels + 1

Use instead:

    targets = labels                               # 0 to K - 1
"""

FIX = "number the classes from 0 to num_classes - 1"
