"""Every setting once, in the order of the README's table, from plain environment variables.

A secret may come from a file instead: NAME_FILE=/run/secrets/name. With EMBEDDED=1 everything has a default that suits one's
own machine (generated keys, embedded PostgreSQL, filesystem broker, the sandbox as Amazon). Without it nothing that matters is
guessed: what is missing is said, one sentence each, and the portal does not start.
"""

import gc
import logging
import os
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured
from whitenoise.compress import Compressor

from devices.deadline import PooledConnection
from devices.openapi_schemas import COMPONENTS
from portal import embedded, keys
from portal.environment import Environment

# What is loaded from here on makes thousands of objects that stay, in every process: Python looks for circles seldom.
gc.set_threshold(20_000, 20, 50)
BASE_DIR = Path(__file__).resolve().parent.parent
_env = Environment()


def _required(value: str) -> str | None:
    """The default of something that only the embedded mode may guess."""
    return value if EMBEDDED else None


# --- What kind of run this is ------------------------------------------------------------------------------------------------
EMBEDDED = _env.flag("EMBEDDED")
_outward = ("https", "http") if EMBEDDED else ("https",)  # where tokens and secrets are sent to, never in the clear
DEBUG = _env.flag("DEBUG")
DATA_DIR = embedded.data_folder()
PORTAL_PORT = _env.whole("PORTAL_PORT", 8000, most=65535)
SANDBOX_PORT = _env.whole("SANDBOX_PORT", 8100, most=65535)
_sandbox = f"http://127.0.0.1:{SANDBOX_PORT}" if EMBEDDED else ""
try:
    _generated = keys.generated(DATA_DIR) if EMBEDDED else {}
except keys.KeysUnreadable as error:
    raise ImproperlyConfigured(str(error)) from error

# --- The site ----------------------------------------------------------------------------------------------------------------
SITE_NAME = _env.text("SITE_NAME", "Crema Home")
PUBLIC_URL = _env.address(
    "PUBLIC_URL",
    _required(f"http://127.0.0.1:{PORTAL_PORT}"),
    ("https", "http"),
    why="the https address of the portal as customers and Amazon see it.",
).rstrip("/")
_host = urlsplit(PUBLIC_URL).hostname or ""
ALLOWED_HOSTS = _env.words("ALLOWED_HOSTS", f"localhost 127.0.0.1 [::1] testserver {_host}" if EMBEDDED else _host)
SECRET_KEY = _env.text(
    "SECRET_KEY", _generated.get("SECRET_KEY"), why="50 or more random characters that sign sessions."
)
TOKEN_KEYS = (
    _env.text(
        "TOKEN_KEYS",
        _generated.get("TOKEN_KEYS"),
        why="one or more Fernet keys, newest first, that encrypt Amazon's tokens at rest.",
    )
    .replace(",", " ")
    .split()
)
TRUSTED_PROXY = _env.flag("TRUSTED_PROXY")
DEFAULT_FROM_EMAIL = _env.text("DEFAULT_FROM_EMAIL", f"{SITE_NAME} <no-reply@{_host or 'localhost'}>")
SUPPORT_EMAIL = _env.text("SUPPORT_EMAIL", "support@localhost" if EMBEDDED else DEFAULT_FROM_EMAIL)
EMAIL_URL = _env.address(
    "EMAIL_URL",
    _required("console:"),
    ("smtp", "smtps"),
    why="smtp://user:password@host:587 of the mail server that sends password resets.",
)
LOG_FORMAT = _env.choice("LOG_FORMAT", "text" if EMBEDDED else "json", ("text", "json"), "text or json")
_levels = [name.lower() for name in logging.getLevelNamesMapping()]
LOG_LEVEL = _env.choice("LOG_LEVEL", "info", _levels, "a level (DEBUG, INFO, WARNING, ERROR)").upper()

# --- PostgreSQL, by libpq's own names (PGHOST, PGPORT, PGDATABASE, PGUSER, PGPASSWORD, PGSSLMODE …) -----------------------------
_pghost = _env.text(
    "PGHOST", str(embedded.socket_dir(DATA_DIR)) if EMBEDDED else None, why="host of the PostgreSQL server."
)
_pgport = _env.whole("PGPORT", 5432, most=65535)
_pgpassword = _env.text("PGPASSWORD", "")
DATABASE_POOL_SIZE = _env.whole(
    "DATABASE_POOL_SIZE", 0, 0
)  # 0: none. The web process has one (portal/wsgi.py), workers must not

# --- Broker ------------------------------------------------------------------------------------------------------------------
CELERY_BROKER_URL = _env.text(
    "CELERY_BROKER_URL", _required("filesystem://"), why="redis://…, amqp://… or sqs://… for Celery."
)
_clients = {"redis": "redis", "rediss": "redis", "sqs": "pycurl", "amqp": "", "amqps": "", "filesystem": ""}
_scheme = CELERY_BROKER_URL.partition("://")[0]
if CELERY_BROKER_URL and _scheme not in _clients:
    _env.missing.append("CELERY_BROKER_URL is not an address of the form redis://…, amqp://… or sqs://….")
elif (_client := _clients.get(_scheme)) and find_spec(_client) is None:
    _env.missing.append(
        f"CELERY_BROKER_URL begins with {_scheme}://, whose client is not installed: pip install {_client}."
    )

# --- Alexa: the skill, Login with Amazon, the event gateways (alexa reference 5 and 6) ---------------------------------------
ALEXA_VENDOR_ID = _env.text(
    "ALEXA_VENDOR_ID",
    _required("SANDBOXVENDOR"),
    why="your Amazon developer vendor ID (it ends Alexa's redirect addresses).",
)
ALEXA_CLIENT_ID = _env.text(
    "ALEXA_CLIENT_ID",
    _generated.get("ALEXA_CLIENT_ID"),
    why="the Alexa Client Id on the skill's Permissions page (it authenticates us to Login with Amazon).",
)
ALEXA_CLIENT_SECRET = _env.text(
    "ALEXA_CLIENT_SECRET",
    _generated.get("ALEXA_CLIENT_SECRET"),
    why="the Alexa Client Secret on the skill's Permissions page.",
)
ALEXA_SKILL_ID = _env.text(
    "ALEXA_SKILL_ID", "amzn1.ask.skill.sandbox" if EMBEDDED else ""
)  # empty: no linking from our pages
ALEXA_SKILL_STAGE = _env.choice(
    "ALEXA_SKILL_STAGE", "live", {"live": None, "development": None}, "a stage (live or development)"
)
COURIER_SECRET = _env.text(
    "COURIER_SECRET",
    _generated.get("COURIER_SECRET"),
    why="32 or more random characters that the skill's Lambda function sends along.",
)
LWA_TOKEN_URL = _env.address(
    "LWA_TOKEN_URL", f"{_sandbox}/auth/o2/token" if EMBEDDED else "https://api.amazon.com/auth/o2/token", _outward
)
ALEXA_APP_URL = _env.address(
    "ALEXA_APP_URL",
    f"{_sandbox}/spa/link" if EMBEDDED else "https://alexa.amazon.com/spa/skill-account-linking-consent",
    _outward,
)
LWA_AUTHORIZE_URL = _env.address(
    "LWA_AUTHORIZE_URL", f"{_sandbox}/ap/oa" if EMBEDDED else "https://www.amazon.com/ap/oa", _outward
)
ALEXA_API_URL = _env.address("ALEXA_API_URL", _sandbox if EMBEDDED else "https://api.amazonalexa.com", _outward)
EVENT_GATEWAYS = {
    "NA": _env.address(
        "EVENT_GATEWAY_NA", f"{_sandbox}/v3/events" if EMBEDDED else "https://api.amazonalexa.com/v3/events", _outward
    ),
    "EU": _env.address(
        "EVENT_GATEWAY_EU",
        f"{_sandbox}/eu/v3/events" if EMBEDDED else "https://api.eu.amazonalexa.com/v3/events",
        _outward,
    ),
    "FE": _env.address(
        "EVENT_GATEWAY_FE",
        f"{_sandbox}/fe/v3/events" if EMBEDDED else "https://api.fe.amazonalexa.com/v3/events",
        _outward,
    ),
}

# --- Delivery (how state and events reach Alexa); seconds --------------------------------------------------------------------
# the grid of due times: under 24 h, so that a report is never later than a day
REPORT_PERIOD = _env.number("REPORT_PERIOD", 22 * 3600)
REPORT_MIN_INTERVAL = _env.number(
    "REPORT_MIN_INTERVAL", 1 if EMBEDDED else 60
)  # between two state reports of one endpoint
REPORT_SETTLING = _env.number("REPORT_SETTLING", 1 if EMBEDDED else 5)  # first report after linking or an announcement
DELIVERY_SWEEP = _env.number(
    "DELIVERY_SWEEP", 2 if EMBEDDED else 5
)  # beat looks for due endpoints this often, doorbell or not
DELIVERY_CONNECTIONS = _env.whole("DELIVERY_CONNECTIONS", 128)  # requests in flight per worker process
GATEWAY_RATE = _env.number("GATEWAY_RATE", 2000)  # requests per second and region that we allow ourselves at most

# --- SNS ---------------------------------------------------------------------------------------------------------------------
SNS_TOPIC_ARNS = _env.words("SNS_TOPIC_ARNS", "arn:aws:sns:us-east-1:000000000000:dash-sandbox" if EMBEDDED else "")
SNS_BASIC_AUTH = _env.words("SNS_BASIC_AUTH")  # user:password, two during rotation; empty: none asked
SNS_QUEUE_URLS = _env.words("SNS_QUEUE_URLS")  # SQS queues that the topics also publish to: manage.py sns_pull
SNS_DEAD_LETTER_URLS = _env.words(
    "SNS_DEAD_LETTER_URLS"
)  # where SNS puts what it could not deliver: manage.py sns_redrive
SNS_BODY_DAYS = _env.whole("SNS_BODY_DAYS", 90)  # raw messages are kept so long …
SNS_MESSAGE_DAYS = _env.whole("SNS_MESSAGE_DAYS", 400)  # … and that they were here, so that none counts twice
SNS_MANAGED = _env.flag("SNS_MANAGED")  # the topics were set up by manage.py sns_setup: compare daily with what AWS has
DRS_CLIENT_IDS = _env.words("DRS_CLIENT_IDS")  # Login with Amazon clients of Dash apps; empty: any
SNS_CERTIFICATE_MIRROR = _env.text("SNS_CERTIFICATE_MIRROR", _sandbox)  # never in production: portal/checks.py refuses

# --- Smart Properties: the API of Amazon's for hotels and offices (Event Messenger, endpoints, roles) -------------------------
ASP_API_URL = _env.address(
    "ASP_API_URL", _sandbox or "https://api.amazonalexa.com", _outward
)  # api.eu.… and api.fe.… elsewhere
ASP_EVENTS_URL = _env.address(
    "ASP_EVENTS_URL", _sandbox or "https://api.amazonalexa.com", _outward
)  # events: one address everywhere
ASP_PROFILE_URL = _env.address("ASP_PROFILE_URL", f"{_sandbox or 'https://api.amazon.com'}/user/profile", _outward)
ASP_CLIENT_ID = _env.text("ASP_CLIENT_ID", ALEXA_CLIENT_ID if EMBEDDED else "")
ASP_CLIENT_SECRET = _env.text("ASP_CLIENT_SECRET", ALEXA_CLIENT_SECRET if EMBEDDED else "")
ASP_REFRESH_TOKEN = _env.text("ASP_REFRESH_TOKEN", _generated.get("ASP_REFRESH_TOKEN", ""))

# --- Alarms: who hears of them -----------------------------------------------------------------------------------------------------
ALARM_EMAILS = _env.words("ALARM_EMAILS")  # the on-call group
ALARM_WEBHOOK_URL = _env.address("ALARM_WEBHOOK_URL", "", _outward)  # signed as Standard Webhooks are
ALARM_WEBHOOK_SECRET = _env.signature("ALARM_WEBHOOK_SECRET")
if ALARM_WEBHOOK_URL and not ALARM_WEBHOOK_SECRET:
    _env.missing.append("ALARM_WEBHOOK_SECRET is not set: it signs the alarms that go to ALARM_WEBHOOK_URL.")
ALARM_COVERAGE_GOAL = _env.number("ALARM_COVERAGE_GOAL", 0.98)  # share of levels reported within 24 hours
ALARM_SKILL_FAILURES = _env.whole("ALARM_SKILL_FAILURES", 10)  # of one skill in one unit within an hour
ALARM_OVERDUE_SECONDS = _env.number("ALARM_OVERDUE_SECONDS", 900)  # a report may be due for so long
METRICS_TOKEN = _env.text("METRICS_TOKEN", "")  # who sends it may read /metrics

# --- History of readings; days -----------------------------------------------------------------------------------------------
READINGS_KEPT_DAYS = _env.whole(
    "READINGS_KEPT_DAYS", 400
)  # every single reading; a month is dropped when all of it is older
DAYS_KEPT_DAYS = _env.whole("DAYS_KEPT_DAYS", 3660)  # what each day added up to

# --- MQTT and AWS IoT: the other doors of devices ----------------------------------------------------------------------------
MQTT_URL = _env.text("MQTT_URL", "")  # mqtt://user:password@host:1883 or mqtts://host:8883; the bridge needs it
MQTT_CA, MQTT_CERTIFICATE, MQTT_KEY = (
    _env.text("MQTT_CA", ""),
    _env.text("MQTT_CERTIFICATE", ""),
    _env.text("MQTT_KEY", ""),
)  # paths
IOT_SECRETS = _env.words(
    "IOT_SECRETS"
)  # what the AWS IoT rule sends in X-Iot-Secret, two during rotation; empty: door closed
AWS_IOT_REGIONS = _env.words("AWS_IOT_REGIONS")  # whose destinations may be confirmed; the first is where things live
AWS_IOT_ACCOUNT = _env.text("AWS_IOT_ACCOUNT", "")  # if set, destinations of this account only
AWS_IOT_DATA_ENDPOINT = _env.address(
    "AWS_IOT_DATA_ENDPOINT", "", _outward
)  # https://…-ats.iot.<region>.amazonaws.com; empty: boto3's own

# --- The embedded demonstration ----------------------------------------------------------------------------------------------
EMBEDDED_SECRETS = _generated

if _env.missing:
    raise ImproperlyConfigured(
        "The portal cannot start:\n" + "\n".join(f"  - {line}" for line in _env.missing) + "\n"
        "To try it on this machine without any of these, run `make run` (it sets EMBEDDED=1)."
    )

# --- Django ------------------------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "unfold",
    "allauth",
    "allauth.account",
    "oauth2_provider",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "csp",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django.contrib.humanize",
    "devices",
    "skill",
    "notifications",
    "portal",
]
MIDDLEWARE = [
    "portal.health.Health",
    "notifications.views.Door",
    "skill.views.Door",
    "devices.views.Door",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
]
ROOT_URLCONF = "portal.urls"
WSGI_APPLICATION = "portal.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "portal.context.site",
            ]
        },
    }
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": _pghost,
        "PORT": str(_pgport),
        "NAME": os.environ.get("PGDATABASE") or "portal",
        "USER": os.environ.get("PGUSER") or ("portal" if EMBEDDED else ""),
        "PASSWORD": _pgpassword,
        "CONN_HEALTH_CHECKS": True,
        # A database host that vanishes without a word is noticed within half a minute, not after a quarter of an hour.
        "OPTIONS": {
            "connect_timeout": 3,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 20_000,
        },
    }
}
if DATABASE_POOL_SIZE:
    # After a database restart the pool must try again at every request, not after minutes of its own back-off: reconnect_timeout.
    _pool = {
        "min_size": min(2, DATABASE_POOL_SIZE),
        "max_size": DATABASE_POOL_SIZE,
        "timeout": 3,
        "reconnect_timeout": 3,
        "connection_class": PooledConnection,
    }
    DATABASES["default"]["OPTIONS"]["pool"] = _pool
    # Alexa waits 8 seconds and SNS 15: a statement that hangs is given up while there is still time for an answer.
    DATABASES["default"]["OPTIONS"]["options"] = "-c statement_timeout=5000 -c lock_timeout=3000"
else:
    DATABASES["default"]["CONN_MAX_AGE"] = 60
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "portal_cache",
        # Limits on signing in are kept there; with Django's 300 a stranger pushes them out by making entries of his own.
        "OPTIONS": {"MAX_ENTRIES": 50_000},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
FORMAT_MODULE_PATH = "portal.formats"
USE_TZ = True
STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "static" if EMBEDDED else BASE_DIR / "static"
WHITENOISE_MANIFEST_STRICT = False  # a file that is not in the manifest is not looked up there again
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
if EMBEDDED:  # on one's own machine nothing is far away, and compressing takes seconds
    _text = ("css", "js", "map", "svg", "txt", "md", "html")
    WHITENOISE_SKIP_COMPRESS_EXTENSIONS = Compressor.SKIP_COMPRESS_EXTENSIONS + _text

# --- Browser safety ----------------------------------------------------------------------------------------------------------
_https = PUBLIC_URL.startswith("https://")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _https
SESSION_COOKIE_SAMESITE = "Lax"
SECURE_SSL_REDIRECT = False  # the proxy in front does it; a redirect would make SNS give up for ever (sns reference 1)
SECURE_HSTS_SECONDS = 31536000 if _https else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = _https
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
if TRUSTED_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    ALLAUTH_TRUSTED_PROXY_COUNT = 1  # rate limits count the customer's address, not the proxy's
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]
# The consent form answers with a redirect to Alexa, which browsers count as a form target.
ALEXA_REDIRECT_HOSTS = ["https://pitangui.amazon.com", "https://layla.amazon.com", "https://alexa.amazon.co.jp"]
CONTENT_SECURITY_POLICY = {
    "EXCLUDE_URL_PREFIXES": ["/admin/"],
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "form-action": [
            "'self'",
            *ALEXA_REDIRECT_HOSTS,
            *{"{0.scheme}://{0.netloc}".format(urlsplit(url)): None for url in (ALEXA_APP_URL, LWA_AUTHORIZE_URL)},
            *([_sandbox, f"http://localhost:{SANDBOX_PORT}"] if EMBEDDED else []),
        ],
        "frame-ancestors": ["'none'"],
        "base-uri": ["'self'"],
        "object-src": ["'none'"],
    },
}

# --- Customers and staff -----------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "portal.User"
AUTHENTICATION_BACKENDS = [
    "allauth.account.auth_backends.AuthenticationBackend",
    "django.contrib.auth.backends.ModelBackend",
]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
    "skill.hashers.RandomSecretHasher",  # for OAuth client secrets only
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "home"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "optional" if EMBEDDED else "mandatory"
ACCOUNT_EMAIL_VERIFICATION_BY_CODE_ENABLED = not EMBEDDED  # typed in: a mailed link would lead out of Alexa's web view
ACCOUNT_PASSWORD_RESET_BY_CODE_ENABLED = True
ACCOUNT_PASSWORD_RESET_BY_CODE_TIMEOUT = 900
ACCOUNT_LOGIN_ON_PASSWORD_RESET = True
ACCOUNT_LOGOUT_ON_GET = False
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = f"[{SITE_NAME}] "
ACCOUNT_DEFAULT_HTTP_PROTOCOL = "https" if _https else "http"
if EMAIL_URL == "console:":
    EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
else:
    _mail = urlsplit(EMAIL_URL)
    EMAIL_HOST, EMAIL_PORT = _mail.hostname or "", _mail.port or (465 if _mail.scheme == "smtps" else 587)
    EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = unquote(_mail.username or ""), unquote(_mail.password or "")
    EMAIL_TIMEOUT = 10
    EMAIL_USE_SSL, EMAIL_USE_TLS = _mail.scheme == "smtps", _mail.scheme == "smtp"

# --- Our OAuth2 server, for Alexa (alexa reference 8; the library's traps are closed in skill/oauth.py) -------------------------
OAUTH2_PROVIDER_APPLICATION_MODEL = "skill.Application"
OAUTH2_PROVIDER_ACCESS_TOKEN_MODEL = "oauth2_provider.AccessToken"  # noqa: S105 (a name)
OAUTH2_PROVIDER_REFRESH_TOKEN_MODEL = "oauth2_provider.RefreshToken"  # noqa: S105 (a name)
OAUTH2_PROVIDER = {
    "SCOPES": {"alexa": "Tell Alexa what your devices have left, so that Amazon can remind you or reorder"},
    "DEFAULT_SCOPES": ["alexa"],
    "OAUTH2_VALIDATOR_CLASS": "skill.oauth.Validator",
    "AUTHORIZATION_CODE_EXPIRE_SECONDS": 300,
    "ACCESS_TOKEN_EXPIRE_SECONDS": 3600,
    "REFRESH_TOKEN_EXPIRE_SECONDS": None,
    "ROTATE_REFRESH_TOKEN": False,
    "REQUEST_APPROVAL_PROMPT": "force",
    "ALLOWED_REDIRECT_URI_SCHEMES": ["https", "http"] if EMBEDDED else ["https"],
    "CLIENT_SECRET_HASHER": "random_secret_sha256",
    "COMPLIANT_BCP_RFC9700_PKCE_METHOD": True,
    "COMPLIANT_BCP_RFC9700_IMPLICIT_GRANT": True,
    "COMPLIANT_BCP_RFC9700_PASSWORD_GRANT": True,
    "COMPLIANT_BCP_RFC9700_ACCESS_TOKEN_TRANSPORT": True,
    "COMPLIANT_BCP_RFC9700_TOKEN_STORAGE": True,
}

# --- Device API --------------------------------------------------------------------------------------------------------------
DEVICE_KEY_OVERLAP = _env.number(
    "DEVICE_KEY_OVERLAP", 7 * 24 * 3600
)  # seconds that a unit's old key works beside the new one
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "UNAUTHENTICATED_USER": None,
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
}
SPECTACULAR_SETTINGS = {
    "TITLE": f"{SITE_NAME} device API",
    "DESCRIPTION": "For firmware, the factory and support tools. Errors are application/problem+json (RFC 9457).",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "APPEND_COMPONENTS": COMPONENTS,
    "POSTPROCESSING_HOOKS": [],  # the usual one moves enumerations out of COMPONENTS for good and loses them the second time
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "",
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "persistAuthorization": False, "validatorUrl": None},
}

# --- Celery ------------------------------------------------------------------------------------------------------------------
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "portal"
CELERY_TASK_ROUTES = {"skill.deliver": {"queue": "delivery"}}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TASK_ACKS_LATE = (
    False  # a message is only a doorbell: losing one loses seconds, repeating one is work for nothing
)
if CELERY_BROKER_URL.startswith("filesystem"):
    _broker = DATA_DIR / "broker"
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "data_folder_in": str(_broker / "messages"),
        "data_folder_out": str(_broker / "messages"),
        "control_folder": str(_broker / "control"),
        "polling_interval": 0.2,
    }
else:
    CELERY_BROKER_TRANSPORT_OPTIONS = (
        {"socket_timeout": 3, "socket_connect_timeout": 2} if "redis" in CELERY_BROKER_URL else {}
    )

# --- Admin -------------------------------------------------------------------------------------------------------------------
UNFOLD = {
    "SITE_TITLE": f"{SITE_NAME} support",
    "SITE_HEADER": f"{SITE_NAME} support",
    "SITE_SYMBOL": "coffee_maker",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": "portal.console.favicon"}],
    "SHOW_HISTORY": True,
    "DASHBOARD_CALLBACK": "portal.dashboard.glance",
    "SIDEBAR": {"navigation": "portal.console.menu"},
    "STYLES": ["portal.console.style"],
    "LOGIN": {"form": "portal.sign_in.StaffSignInForm"},
}

# --- Logs: one JSON object a line, or plain text on a terminal ---------------------------------------------------------------
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "text": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"},
        "json": {"()": "portal.logs.JsonFormatter"},
    },
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": LOG_FORMAT,
        }
    },
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {"celery": {"level": "WARNING"}, "kombu": {"level": "ERROR"}, "django.request": {"level": "ERROR"}},
}

# --- Checks of others that we do not follow, each with its reason; our own cannot be silenced (portal/checks.py) ----------------
SILENCED_SYSTEM_CHECKS = [
    "security.W008",  # SECURE_SSL_REDIRECT: the proxy in front does it, see there
    "oauth2_provider.W005",  # `iss` in the answer: Alexa's redirect addresses are documented to take code and state, no more
    "oauth2_provider.W007",  # replay of a refresh token: Alexa repeats one after a lost answer, and must not be unlinked for it
]
