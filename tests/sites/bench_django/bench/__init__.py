"""The smallest Django project with a database, for benches: `ironbridge --chdir tests/sites/bench_django bench.wsgi`."""
