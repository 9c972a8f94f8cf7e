"""Benchmarks: `python -m benches` compares servers, its other commands check single promises.

The walk: `environment` makes the venv that holds every server, `servers` knows how each is started, `process` runs
one, `rows` says what is asked of it, `load` asks, `counters`, `syscalls` and `instructions` look on, `compare` goes
round and round, `report` and `plot` write what came out. `goals` judges a comparison; `checks` holds the rest.

Load never leaves the loopback interface. The server runs on one core, the load client on another.
"""
