"""A complete production environment of made-up values, and a way to run a Python program in it:

python -m tests.production manage.py check --deploy --fail-level WARNING
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PRODUCTION = {
    "PUBLIC_URL": "https://home.example.com",
    "SECRET_KEY": "s6kq0PzjXvE1nTgL9wYcRb3hUfA7mDoI2xQe5ViN8tKyCuJrWlGpZaSdHfBv4O",
    "TOKEN_KEYS": "v5fP0mSx3jX9Fw2Q8n7yB4uE6tC1kHrLzGdAaWqVoNs=",
    "EMAIL_URL": "smtp://portal:secret%40word@mail.example.com:587",
    "TRUSTED_PROXY": "1",
    "PGHOST": "database.example.com",
    "CELERY_BROKER_URL": "amqps://portal:secret@broker.example.com/",
    "ALEXA_VENDOR_ID": "M1ABCDEFGHIJKL",
    "ALEXA_CLIENT_ID": "amzn1.application-oa2-client.0123456789abcdef0123456789abcdef",
    "ALEXA_CLIENT_SECRET": "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "COURIER_SECRET": "tq8Zk2vYw5LxN0bRj7HcMf1PgDsE4aUo",
}


def environment(**changes: str | None) -> dict[str, str]:
    """PRODUCTION with these changes (None: unset), and of our own environment only what finds programs."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    return kept | {name: value for name, value in (PRODUCTION | changes).items() if value is not None}


if __name__ == "__main__":
    sys.exit(subprocess.run([sys.executable, *sys.argv[1:]], cwd=ROOT, env=environment()).returncode)
