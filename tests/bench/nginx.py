"""A gateway that costs next to nothing: nginx answering 202, at once, after 50 ms, or as on a bad day; and a token endpoint."""

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_ECHO = Path("/usr/lib/nginx/modules/ngx_http_echo_module.so")
_CONF = """
{modules}
worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 300; client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  split_clients $request_id $fate {{ 10% 429; 5% 500; 2% 503; 2% never; 1% 444; 1% 401; * 202; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location /v3/events {{ return 202; }}
    location /bad/v3/events {{ rewrite ^ /fate/$fate last; }}
    location /fate/202 {{ internal; return 202; }}
    location /fate/401 {{ internal; return 401; }}
    location /fate/429 {{ internal; return 429; }}
    location /fate/444 {{ internal; return 444; }}
    location /fate/500 {{ internal; return 500; }}
    location /fate/503 {{ internal; return 503; }}
    location /fate/never {{ internal; proxy_read_timeout 60s; proxy_pass http://127.0.0.1:{deaf}/; }}
    {slow}
    location /auth/o2/token {{
      default_type application/json;
      return 200 '{{"access_token": "Atza|bench", "refresh_token": "Atzr|bench", "token_type": "bearer", "expires_in": 3600}}';
    }}
  }}
}}
"""
_SLOW = "location /slow/v3/events { echo_read_request_body; echo_sleep 0.05; echo_status 202; echo -n ''; }"


@contextlib.contextmanager
def gateway() -> Iterator[str]:
    """Its address, for as long as the block lasts. /slow/v3/events answers after 50 ms where the echo module is there;
    /bad/v3/events throttles a tenth, fails, hangs up, forgets tokens, and to one of fifty gives no answer ever."""
    binary = _binary()
    assert binary is not None, missing()
    folder = Path(tempfile.mkdtemp(prefix="bench-nginx-"))
    folder.chmod(0o755)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    deaf = socket.create_server(("127.0.0.1", 0), backlog=4096)  # hears nobody out
    slow = not missing_slow()
    modules = f"load_module {_ECHO};" if slow else ""
    ports = {"port": port, "deaf": deaf.getsockname()[1]}
    (folder / "conf").write_text(_CONF.format(folder=folder, modules=modules, slow=_SLOW if slow else "", **ports))
    process = subprocess.Popen([binary, "-p", str(folder), "-c", str(folder / "conf")])
    try:
        _wait(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)
        deaf.close()
        shutil.rmtree(folder, ignore_errors=True)


def missing() -> str:
    """What the bench lacks on this machine; empty if nothing."""
    return "" if _binary() else "there is no nginx here (Debian: apt-get install nginx)."


def missing_slow() -> str:
    """What the slow gateway lacks on this machine; empty if nothing."""
    return "" if _ECHO.exists() else f"there is no {_ECHO} here (Debian: apt-get install libnginx-mod-http-echo)."


def _binary() -> str | None:
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def _wait(port: int) -> None:
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError("nginx does not answer")
