"""What people bring from other servers: Gunicorn's configuration and hooks, command lines, uWSGI's files.

`settings` is the table of Gunicorn's settings and what becomes of each; `setting` is one of its rows. `reading`
executes a file, `config` turns what it says into options of ours, `check` prints that. `hooks` calls the functions that
a file defines. `migrate` writes `ironbridge.toml`; `docs` the table of the documentation.

Nothing here imports the server itself, so that it can be read and tested alone.
"""
