"""Model weights from the performance of all models, and the combined book from model weights.

``objectives`` maps the name of an objective to a closed form (``closed_forms``, ``hrp``) or to a
convex program (``programs``) over the ``feasible_set``. A program is plain conic data (``conic``).
A backend (``clarabel_solver``, ``mosek_solver``) solves it; ``solvers`` chooses the backend.
Objectives and backends do not know each other, so each can be added without touching the other.
"""
