"""A Django site with a Flask application beside it, which shows what Ironbridge does."""
