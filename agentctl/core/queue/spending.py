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
        """Add up; a sum that nobody can read is the highest that can be."""
        return Spent(
            min(MOST, self.turns + other.turns),
            min(MOST, self.tokens + other.tokens),
            min(MOST, self.money + other.money),
            min(MOST, self.seconds + other.seconds),
        )

    def __str__(self) -> str:
        """Describe what the programs told, in words; empty if they told nothing."""
        turns = many(self.turns, "turn") if self.turns else ""
        tokens = f"{self.tokens:,} tokens" if self.tokens else ""
        return ", ".join(filter(None, (turns, tokens, f"${self.money:.2f}" if self.money else "")))


NEARLY = 0.8
"""The share of a budget at which a session is told that it is nearly used up."""


def over(budget: Budget, spent: Spent) -> str:
    """Return which part of a budget is used up, in words; empty if nothing is."""
    parts = _parts(budget, spent)
    return next((f"{form.format(used)} of {form.format(limit)}{unit}" for limit, used, form, unit in parts if used >= limit), "")


def nearly(budget: Budget, spent: Spent) -> list[str]:
    """Return the parts of a budget that are nearly used up, in words that stay the same from then on."""
    return [form.format(limit) + unit for limit, used, form, unit in _parts(budget, spent) if used >= NEARLY * limit]


def _parts(budget: Budget, spent: Spent) -> list[tuple[float, float, str, str]]:
    """Return (limit, used, how such a number is written, its unit) of the parts of a budget that have a limit."""
    parts = (
        (budget.turns, spent.turns, "{:,}", " turns"),
        (budget.tokens, spent.tokens, "{:,}", " tokens"),
        (budget.money, spent.money, "${:.2f}", ""),
        (budget.time, spent.seconds, "{:.0f} s", ""),
    )
    return [part for part in parts if part[0] > 0]
