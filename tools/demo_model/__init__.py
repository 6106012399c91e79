"""How the bundled demo checkpoint is made: world, dialogues, training, evaluation.

The steps, in order, are told in ``train.py``; the result lies in
``sus_local/demo/checkpoint`` with its measured accuracies beside it.
"""
