"""`optimize`: search network shapes, number formats and runtimes for the best that trades the same.

settings    what was asked for
shapes      which networks are tried: the source, pruned ones, students
growing     how a shape becomes a trained network, rung by rung
forms       how a network is stored and run, and what that costs
points      one network in one form, and which of them nothing beats
study       the folder that remembers everything, so that a search can go on
searching   one trial after the other until the budget is spent
ground      what came in, and what candidates are tried on
final       the last race, and which point ships
outcome     what is told, and what the history keeps
run         the whole command, from source to artefact
report      what is told of it; `pictures` draws it
"""
