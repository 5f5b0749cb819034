"""A django-pyas2 site in one file, tuned as well as was found: SQLite in WAL, no debug, no log.

``AS2_FOLDER`` names its folder: database, stored messages, keys. DATA_DIR of pyas2 stays unset:
Django refuses absolute paths below its storage, and then every message is answered with 400.
"""

import os
from pathlib import Path

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.urls import include, path

FOLDER = Path(os.environ["AS2_FOLDER"])

settings.configure(
    ALLOWED_HOSTS=["*"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": FOLDER / "as2.db",
            "CONN_MAX_AGE": None,
            "OPTIONS": {
                "timeout": 60,
                "transaction_mode": "IMMEDIATE",
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL",
            },
        }
    },
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.messages",
        "pyas2",
    ],
    LOGGING_CONFIG=None,
    MEDIA_ROOT=FOLDER / "stored",
    MIDDLEWARE=[],
    ROOT_URLCONF=__name__,
    SECRET_KEY=os.urandom(16).hex(),
    USE_TZ=True,
)
django.setup()
urlpatterns = [path("pyas2/", include("pyas2.urls"))]
application = get_wsgi_application()
