"""From the performance of all models to model weights, and from those to one combined book.

An objective (``objectives``) is a closed form or a statement (``programs``) over the ``limits``. A
statement is conic data (``conic``); a backend (``clarabel_solver``, ``mosek_solver``) solves it,
and ``solvers`` says which. Neither knows the other, so an objective or a solver is added without
touching the other kind.
"""
