"""Remembers which processes were said to be dead."""

dead: list[int] = []


def mark_process_dead(pid: int) -> None:
    dead.append(pid)
