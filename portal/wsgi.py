"""The web process, served by granian with threads; the only process with a pool of database connections."""

import gc
import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
os.environ.setdefault("DATABASE_POOL_SIZE", "20")

from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application

try:
    application = get_wsgi_application()
    from portal import checks

    checks.refuse_to_start()
except ImproperlyConfigured as error:
    raise SystemExit(str(error)) from None

# What is loaded by now stays: looking through it again and again for circles would stop all threads for tens of milliseconds each time.
gc.freeze()
