"""openid-client, the real OAuth client library of Node, links, renews in parallel, loses an answer, and goes on.

npm fetches it into a temporary folder; where there is no Node or no registry the test is skipped and says so.
"""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from skill import oauth
from tests.skill.oauth_customer import REDIRECT, SECRET, allow, make_alexa

pytestmark = pytest.mark.django_db(transaction=True)
VERSION = "6.9.0"
SCRIPT = """
import * as client from 'openid-client'
const [step, base, redirect, secret, manner, kept] = process.argv.slice(2)
const server = { issuer: base, authorization_endpoint: `${base}/o/authorize/`, token_endpoint: `${base}/o/token/` }
const config = new client.Configuration(server, 'alexa', secret, client[manner](secret))
client.allowInsecureRequests(config)
const say = (what) => console.log(JSON.stringify(what))
if (step === 'begin') {
  const verifier = client.randomPKCECodeVerifier(), state = client.randomState()
  const asked = { redirect_uri: redirect, scope: 'alexa', state, code_challenge_method: 'S256',
                  code_challenge: await client.calculatePKCECodeChallenge(verifier) }
  say({ verifier, state, address: client.buildAuthorizationUrl(config, asked).href })
} else {
  const { verifier, state, back } = JSON.parse(kept)
  const checks = { pkceCodeVerifier: verifier, expectedState: state }
  const tokens = await client.authorizationCodeGrant(config, new URL(back), checks)
  const renew = async () => (await client.refreshTokenGrant(config, tokens.refresh_token)).access_token
  const parallel = await Promise.all([renew(), renew(), renew(), renew()])
  config[client.customFetch] = async (...request) => { await fetch(...request); throw new TypeError('the answer is lost') }
  const lost = await renew().then(() => false, () => true)
  config[client.customFetch] = fetch
  say({ first: tokens.access_token, parallel, lost, after: await renew() })
}
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: Any) -> Path:
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("there is no Node with npm here")
    folder = Path(tmp_path_factory.mktemp("openid-client"))
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "client.js").write_text(SCRIPT)
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", f"openid-client@{VERSION}"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    if done.returncode:
        pytest.skip(f"npm cannot fetch openid-client: {done.stderr.strip()[-200:]}")
    return folder


@pytest.mark.parametrize("manner", ["ClientSecretBasic", "ClientSecretPost"])
def test_link_renew_lose_and_go_on(library: Path, live_server: Any, alice: Any, manner: str) -> None:
    make_alexa()

    def node(step: str, kept: Any = None) -> Any:
        command = ["node", "client.js", step, live_server.url, REDIRECT, SECRET, manner, json.dumps(kept)]
        done = subprocess.run(command, cwd=library, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    begun = node("begin")
    said = node("go on", begun | {"back": allow(alice, begun["address"])})
    assert said["lost"]
    assert len(set(said["parallel"])) == 4
    for token in [said["first"], *said["parallel"], said["after"]]:
        assert oauth.customer(token) == alice
