"""A prediction leaves the model in train mode.

Dropout and BatchNorm then act as in training on whatever comes next.

Bad:

    def predict(model, x):
        model.train()
        return model(x).argmax(dim=1)

Use instead:

    def predict(model, x):
        model.eval()
        return model(x).argmax(dim=1)
"""

FIX = "call model.eval() before predicting, and model.train() where training goes on"
