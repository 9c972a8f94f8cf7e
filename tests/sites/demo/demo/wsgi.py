"""The whole site as one WSGI application: Django, and Flask below /flask."""

import os

from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.wsgi import get_wsgi_application
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from demo.flask_part import flask_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo.settings")

# A real site collects its static files and serves them from a folder; the demo takes them from the packages.
django_application = StaticFilesHandler(get_wsgi_application())
application = DispatcherMiddleware(django_application, {"/flask": flask_application})
