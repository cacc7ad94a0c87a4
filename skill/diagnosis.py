"""The linking doctor's words: which step of an attempt to link was the first that failed, why, and what to do (lessons B10–B19, C1).

Pure: facts in, words out. The facts are written down by attempts.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

Outcome = Literal["done", "under way", "failed", "given up"]


@dataclass(frozen=True)
class Step:
    """One step by the name of its time. `patience`: how long it may take; afterwards `silence` is the likely cause."""

    name: str
    words: str
    patience: timedelta
    silence: str


@dataclass(frozen=True)
class Cause:
    """Why it failed: for support what happened and what mends it, for the customer what to do. `step` that did not come about."""

    step: str
    what: str
    fix: str
    customer: str = "Please try again. If it fails again, tell us the reference."


_MINUTE = timedelta(minutes=1)
STEPS = (
    Step("opened_at", "Authorization page opened", 0 * _MINUTE, ""),
    Step("signed_in_at", "Signed in", 15 * _MINUTE, "not_signed_in"),
    Step("consented_at", "Allowed", 15 * _MINUTE, "not_allowed"),
    Step("redeemed_at", "Alexa redeemed the code", 2 * _MINUTE, "not_redeemed"),
    Step("granted_at", "AcceptGrant came", 2 * _MINUTE, "no_accept_grant"),
    Step("tokens_at", "Amazon's tokens stored", _MINUTE, "tokens_not_stored"),
    Step("discovered_at", "First Discover", 10 * _MINUTE, "not_discovered"),
    Step("reported_at", "First report accepted", 20 * _MINUTE, "not_reported"),
)
_BY_CUSTOMER = ("not_signed_in", "not_allowed", "denied")
_AGAIN = "In the Alexa app disable our skill, enable it again, and stay on the page until it says that you are linked."
_OUR_FAULT = "It is a fault of our set-up, not of yours. Please tell us the reference; we mend it."

CAUSES = {
    "unknown_client": Cause(
        "consented_at",
        "The client ID is not ours: Alexa's console holds another one, or the link was made by hand.",
        "Console > Build > Account Linking > Your Client ID must be that of an OAuth client in this admin.",
        _OUR_FAULT,
    ),
    "wrong_redirect": Cause(
        "consented_at",
        "The redirect address is not registered for this client.",
        "Compare it with the client's addresses: they must be the three of your vendor ID (ALEXA_VENDOR_ID). "
        "`manage.py create_alexa_client` registers those that are missing.",
        _OUR_FAULT,
    ),
    "no_challenge": Cause(
        "consented_at",
        "The client must use PKCE, but the console sends no code challenge.",
        "Switch PKCE on in Console > Build > Account Linking, or off at the OAuth client in this admin.",
        _OUR_FAULT,
    ),
    "bad_request": Cause(
        "consented_at",
        "The authorization request is incomplete or not valid OAuth.",
        "Look at Amazon's words below; usually the scope (it must be `alexa`) or response type in the console is wrong.",
        _OUR_FAULT,
    ),
    "not_signed_in": Cause(
        "signed_in_at",
        "Nobody signed in: the page was closed, or the password was not known.",
        "Ask whether the customer has an account under that e-mail address; the page offers sign-up and a new password.",
        "You did not sign in. " + _AGAIN,
    ),
    "not_allowed": Cause(
        "consented_at",
        "The page that asks for consent was left without an answer.",
        "Ask the customer to press Allow; nothing is wrong on our side.",
        "You did not press Allow. " + _AGAIN,
    ),
    "denied": Cause(
        "consented_at",
        "The customer pressed Cancel.",
        "Nothing to mend. Linking can be begun again at any time.",
        "You pressed Cancel. You can begin again at any time.",
    ),
    "not_redeemed": Cause(
        "redeemed_at",
        "Alexa never brought the code to our token endpoint.",
        "Console > Build > Account Linking > Access Token URI must be this portal's /o/token/, reachable from the internet on port 443 "
        "with a certificate chain that Amazon trusts. If both are right, the customer's app was closed too early.",
        _AGAIN,
    ),
    "wrong_secret": Cause(
        "redeemed_at",
        "Alexa brought the code with a wrong client ID or secret.",
        "Console > Build > Account Linking > Your Secret is not the one of this client: `manage.py create_alexa_client --new-secret` makes "
        "another and prints it once. No customer can link until then.",
        _OUR_FAULT,
    ),
    "code_expired": Cause(
        "redeemed_at",
        "Alexa brought the code later than five minutes after consent.",
        "Usually Amazon was slow; try again. If it repeats, compare this server's clock.",
        _AGAIN,
    ),
    "wrong_verifier": Cause(
        "redeemed_at",
        "The PKCE verifier does not fit the challenge, or is missing.",
        "Something changed the authorization request on its way (a proxy that rewrites addresses?).",
        _AGAIN,
    ),
    "other_redirect": Cause(
        "redeemed_at",
        "The code was redeemed with another redirect address than it was asked for with.",
        "Something changed the request on its way; compare the addresses in Alexa's console.",
        _OUR_FAULT,
    ),
    "code_used_twice": Cause(
        "redeemed_at",
        "The code was brought a second time, so everything that it had given was revoked (RFC 6749, 4.1.2).",
        "If the answer to the first was lost, linking again is enough. If nobody tried twice, somebody has read the code.",
        _AGAIN,
    ),
    "not_redeemed_other": Cause(
        "redeemed_at",
        "Our token endpoint refused the code for another reason.",
        "Look at our words below and into the log at that time.",
        _AGAIN,
    ),
    "our_trouble": Cause(
        "redeemed_at",
        "Our token endpoint could not answer: the database was out of reach.",
        "Look at the portal's health at that time; linking again is enough afterwards.",
        "We had trouble of our own. Please try again in some minutes.",
    ),
    "no_accept_grant": Cause(
        "granted_at",
        "The code was redeemed, but no AcceptGrant came.",
        "Console > Build > Permissions > Send Alexa Events must be on (it is off by default). Else the skill's Lambda for the customer's "
        "region is missing, or does not reach this portal: look into its log.",
        "Alexa could not finish. " + _AGAIN,
    ),
    "code_refused": Cause(
        "tokens_at",
        "Login with Amazon did not take AcceptGrant's code.",
        "Usually it was used or ran out; linking again is enough.",
        _AGAIN,
    ),
    "client_refused": Cause(
        "tokens_at",
        "Login with Amazon does not know our client ID and secret.",
        "ALEXA_CLIENT_ID and ALEXA_CLIENT_SECRET must be those of Console > Build > Permissions (not those of Account Linking). "
        "No customer can link until then.",
        _OUR_FAULT,
    ),
    "amazon_silent": Cause(
        "tokens_at",
        "Login with Amazon gave no answer in time, or one of trouble.",
        "Look at the gateway “Login with Amazon” in this admin; the customer can try again once it answers.",
        "Amazon did not answer. Please try again in some minutes.",
    ),
    "tokens_not_stored": Cause(
        "tokens_at",
        "AcceptGrant came, but its tokens were not stored.",
        "Look into the log at that time: usually the database did not answer.",
        _AGAIN,
    ),
    "not_discovered": Cause(
        "discovered_at",
        "Alexa has not asked for the devices yet.",
        "Ask the customer to say “Alexa, discover devices”. If that finds nothing, the skill's Lambda does not reach this portal.",
        "Say “Alexa, discover devices”.",
    ),
    "no_devices": Cause(
        "discovered_at",
        "Linking worked; the account holds no device that Alexa could be told of.",
        "The customer must add the device here (serial number and claim code); Alexa is told by itself.",
        "You are linked, but there is no device in your account. Add it here, and Alexa is told.",
    ),
    "not_reported": Cause(
        "reported_at",
        "Alexa has not accepted a report yet.",
        "The device must have sent a reading at all; else its endpoint says what Amazon answers.",
        "You are linked. Alexa hears of a device as soon as it has reported to us.",
    ),
    "state_unknown": Cause(
        "consented_at",
        "Amazon sent the customer back with a state that this browser did not begin with, or for the second time.",
        "Usually the page was loaded again, or Amazon's app returned to another browser. Begin again, from one browser.",
        "This page was opened a second time, or in another browser than it began in. Please press Connect to Alexa again.",
    ),
    "amazon_said_no": Cause(
        "consented_at",
        "Amazon did not give its leave.",
        "Look at Amazon's words: access_denied means that the customer pressed Cancel there; anything else is usually a client ID or a "
        "return address that is not registered in the console (Account Linking > Your Redirect URLs).",
        "Amazon did not give its leave; perhaps you pressed Cancel there. You can begin again at any time.",
    ),
    "leave_refused": Cause(
        "consented_at",
        "Login with Amazon did not take the code with which Amazon's app had sent the customer back.",
        "Usually the page was loaded again. Else compare the return address in the console (Your Redirect URLs) with PUBLIC_URL.",
    ),
    "enablement_refused": Cause(
        "redeemed_at",
        "Amazon's enablement API refused to enable the skill.",
        "Amazon's words are below. “Invalid account linking credentials”: the access token URI, client ID or secret in the console are "
        "wrong. Else compare ALEXA_SKILL_ID and ALEXA_SKILL_STAGE.",
        "Amazon could not enable the skill. " + _OUR_FAULT,
    ),
    "enablement_silent": Cause(
        "redeemed_at",
        "Amazon gave no answer in time while it enabled the skill.",
        "Perhaps it worked all the same: look whether AcceptGrant came. If not, the customer tries again.",
        "Amazon did not answer in time. Perhaps it worked all the same; if not, please try again.",
    ),
}


OUR_SETUP = (
    "no_challenge",
    "wrong_secret",
    "client_refused",
    "enablement_refused",
)  # nobody can link until it is mended


@dataclass(frozen=True)
class Verdict:
    """How the attempt stands: the first step that did not come about (its words), and why, if it should have by now."""

    outcome: Outcome
    step: str
    cause: Cause | None

    @property
    def summary(self) -> str:
        if self.outcome == "done":
            return "Linked, and the first report was accepted"
        if self.cause is None:
            return f"Under way; next: {self.step}"
        return self.cause.what


def diagnose(times: Mapping[str, datetime | None], failure: str, devices_found: int | None, now: datetime) -> Verdict:
    """The verdict on an attempt whose steps came at these times. A recorded failure counts unless the steps went on after it."""
    missing = next((step for step in STEPS if not times.get(step.name)), None)
    if missing is None:
        return Verdict("done", "", None)
    if failure and _still_counts(CAUSES[failure], missing):
        return Verdict(_outcome_of(failure), missing.words, CAUSES[failure])
    if missing.name == "reported_at" and devices_found == 0:
        return Verdict("done", missing.words, CAUSES["no_devices"])
    came = [moment for step in STEPS if (moment := times.get(step.name))]
    if not came or now - max(came) <= missing.patience:
        return Verdict("under way", missing.words, None)
    return Verdict(_outcome_of(missing.silence), missing.words, CAUSES[missing.silence])


def _outcome_of(cause: str) -> Outcome:
    return "given up" if cause in _BY_CUSTOMER else "failed"


def _still_counts(cause: Cause, missing: Step) -> bool:
    """Not once a later try of the same attempt got further; a code used twice undoes all that came of it."""
    names = [step.name for step in STEPS]
    return cause is CAUSES["code_used_twice"] or names.index(missing.name) <= names.index(cause.step)


def cause_of_refusal(error: str, *, redeemed: bool, late: bool, other_redirect: bool, pkce_fits: bool) -> str:
    """Why our token endpoint refused a code that we know, by what it answered and what came with the code."""
    if error in ("invalid_client", "unauthorized_client"):
        return "wrong_secret"
    if redeemed:
        return "code_used_twice"
    if late:
        return "code_expired"
    if other_redirect:
        return "other_redirect"
    return "not_redeemed_other" if pkce_fits else "wrong_verifier"


def cause_of_request(error: str, description: str) -> str:
    """Why the authorization request was refused, by OAuth's words for it."""
    text = f"{error} {description}".lower()
    if "client_id" in text:
        return "unknown_client"
    if "redirect" in text:
        return "wrong_redirect"
    return "no_challenge" if "challenge required" in text else "bad_request"
