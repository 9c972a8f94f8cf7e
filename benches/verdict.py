"""How a check ends: a figure, a bound, and PASS or FAIL."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Verdicts:
    """What a check found, printed as it goes.

    Attributes:
        failed: How many bounds were missed.
        unknown: How many could not be judged.
    """

    failed: int = 0
    unknown: int = 0

    def at_most(self, what: str, value: float | None, bound: float, unit: str = "") -> None:
        """Passes if the value is at most the bound."""
        self._judge(what, value, bound, unit, "at most", value is not None and value <= bound)

    def at_least(self, what: str, value: float | None, bound: float, unit: str = "") -> None:
        """Passes if the value is at least the bound."""
        self._judge(what, value, bound, unit, "at least", value is not None and value >= bound)

    def holds(self, what: str, fact: bool, detail: str = "") -> None:
        """Passes if the fact is true."""
        self._print("PASS" if fact else "FAIL", f"{what}{f': {detail}' if detail else ''}")
        self.failed += not fact

    def figure(self, what: str, value: str) -> None:
        """A figure without a bound."""
        self._print("    ", f"{what}: {value}")

    def not_known(self, what: str, why: str) -> None:
        """Something that can't be judged here."""
        self._print("n/a ", f"{what}: {why}")
        self.unknown += 1

    @property
    def exit_code(self) -> int:
        """0 if nothing failed."""
        return 1 if self.failed else 0

    def _judge(self, what: str, value: float | None, bound: float, unit: str, relation: str, good: bool) -> None:
        if value is None:
            self.not_known(what, "not measured")
            return
        unit = f" {unit}" if unit else ""
        self._print("PASS" if good else "FAIL", f"{what}: {_number(value)}{unit} ({relation} {_number(bound)})")
        self.failed += not good

    @staticmethod
    def _print(mark: str, text: str) -> None:
        print(f"{mark}  {text}", flush=True)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
