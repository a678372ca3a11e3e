"""What sessions use up, and the budgets that end them.

A change carries what the sessions used up that made it, so the ledger tells what a landing has cost.
"""

from __future__ import annotations

from agentctl.core.policy.policy import Budget
from agentctl.core.text.json_form import Struct
from agentctl.core.text.plural import many

MOST = 1 << 53
"""The highest number: every reader of JSON reads integers up to here exactly."""


class Spent(Struct, frozen=True):
    """What sessions have used up, as far as their programs tell."""

    turns: int = 0
    """How many times the model answered."""
    tokens: int = 0
    """Tokens sent and received; what the provider had cached is left out where the program tells it apart."""
    money: float = 0.0
    """US dollars."""
    seconds: float = 0.0

    @property
    def is_sane(self) -> bool:
        """True if every number may be one that somebody used up."""
        return all(0 <= number <= MOST for number in (self.turns, self.tokens, self.money, self.seconds))

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.turns + other.turns, self.tokens + other.tokens, self.money + other.money, self.seconds + other.seconds)

    def __str__(self) -> str:
        """Describe what the programs told, in words; empty if they told nothing."""
        turns = many(self.turns, "turn") if self.turns else ""
        tokens = f"{self.tokens:,} tokens" if self.tokens else ""
        return ", ".join(filter(None, (turns, tokens, f"${self.money:.2f}" if self.money else "")))


def over(budget: Budget, spent: Spent) -> str:
    """Return which part of a budget is used up, in words; empty if nothing is."""
    parts = (
        (budget.turns, spent.turns, f"{spent.turns:,} of {budget.turns:,} turns"),
        (budget.tokens, spent.tokens, f"{spent.tokens:,} of {budget.tokens:,} tokens"),
        (budget.money, spent.money, f"${spent.money:.2f} of ${budget.money:.2f}"),
        (budget.time, spent.seconds, f"{spent.seconds:.0f} s of {budget.time:.0f} s"),
    )
    return next((words for limit, used, words in parts if 0 < limit <= used), "")
