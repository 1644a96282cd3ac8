"""`search`: try many settings of a recipe and keep the best, whatever interrupts it.

space       what may be varied, and within what
varied      which keys those are: read from a recipe, and refused where no trial would differ
objectives  what is to become small or large
study       the journal that remembers every trial, so that a search can go on
proposer    what is tried next
trials      one trial: a recipe trained and measured
searching   proposals out, answers in, by one process
workers     the same over several processes
machines    the same over several machines (Ray)
report      what is told of it; `pictures` draws it
run         the whole command
"""
