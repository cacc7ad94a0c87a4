"""How a topic should stand at AWS, and in what it differs from how it stands. Pure.

Who may publish decides everything: a message that another account publishes to our topic is signed by Amazon like any other.
Asking AWS and changing it is `provision.py`. Sources: Amazon's SNS guide, sections 10 and 13; Dash, section 1; Smart
Properties, section 2.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import urlsplit

PUBLISHERS: Final = {
    "drs": ("grant-dash-sns-publish", "arn:aws:iam::476877469412:root"),
    "asp": ("grant-alexa-event-sns-publish", "arn:aws:iam::006860194444:role/AlexaEventConsumerSnsIamRole"),
}
# 100 tries, the most there may be, over 3,555 of the 3,600 seconds that they may take together.
RETRIES: Final = {
    "minDelayTarget": 5,
    "maxDelayTarget": 39,
    "numRetries": 100,
    "numNoDelayRetries": 1,
    "numMinDelayRetries": 9,
    "numMaxDelayRetries": 90,
    "backoffFunction": "linear",
}
KEPT_DAYS: Final = 14  # the longest that SQS keeps a message
_PUBLISH: Final = "sns:publish"


@dataclass(frozen=True)
class Wanted:
    """One topic of ours as it should be. `endpoint` may carry the user and password of Basic authentication."""

    arn: str
    kind: str
    endpoint: str

    @property
    def name(self) -> str:
        return self.arn.rsplit(":", 1)[1]

    @property
    def account(self) -> str:
        return self.arn.split(":")[4]

    @property
    def dead_letters(self) -> str:
        """The name of the dead-letter queue."""
        return f"{self.name[:60]}-dead-letters"

    @property
    def dead_letters_arn(self) -> str:
        partition, region = self.arn.split(":")[1], self.arn.split(":")[3]
        return f"arn:{partition}:sqs:{region}:{self.account}:{self.dead_letters}"

    def statement(self) -> dict[str, Any]:
        """The one statement that lets the publisher in, and nobody else, to this topic and no other."""
        sid, principal = PUBLISHERS[self.kind]
        grant = {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": "sns:Publish", "Resource": self.arn}
        return {"Sid": sid, **grant}

    def queue_statement(self) -> dict[str, Any]:
        return {
            "Sid": "grant-sns-dead-letters",
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": self.dead_letters_arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": self.arn}},
        }

    def attributes(self) -> dict[str, Any]:
        """Of the subscription; parsed where AWS wants JSON text."""
        return {
            "RawMessageDelivery": "false",
            "DeliveryPolicy": {"healthyRetryPolicy": RETRIES},
            "RedrivePolicy": {"deadLetterTargetArn": self.dead_letters_arn},
        }


@dataclass(frozen=True)
class Found:
    """One topic as it stands. None: there is no such thing. `subscription` is the one to our address, `others` what else
    brings it the same messages; `told` is which of our passwords SNS was told, as far as we know.
    """

    policy: Mapping[str, Any] | None = None
    signature_version: str = ""
    subscription_arn: str = ""
    subscription: Mapping[str, Any] = field(default_factory=dict)
    queue_policy: Mapping[str, Any] | None = None
    queue_kept_days: int = 0
    queue_waiting: int = 0
    others: tuple[str, ...] = ()
    told: Literal["the first", "an older one", "none"] = "the first"

    @property
    def confirmed(self) -> bool:
        """AWS shows our subscription, and that it was confirmed."""
        return self.subscription_arn.startswith("arn:")


@dataclass(frozen=True)
class Difference:
    """`code` names what would set it right; an empty one is for a person, because setting it right may take away."""

    code: str
    words: str


def differences(wanted: Wanted, found: Found) -> list[Difference]:
    """In what `found` is not as `wanted`, in the order in which it has to be set right. Pure."""
    if found.policy is None:
        everything = (
            Difference("topic", "There is no such topic."),
            Difference("policy", "Its publisher is not let in."),
            Difference("signature", "It does not sign with version 2."),
            *_of_queue(wanted, found),
            Difference("subscribe", "Our address is not subscribed."),
        )
        return [*everything]
    return [
        *_of_policy(wanted, found.policy),
        *_of_signature(found),
        *_of_queue(wanted, found),
        *_of_ours(wanted, found),
    ]


def _of_policy(wanted: Wanted, policy: Mapping[str, Any]) -> list[Difference]:
    sid, publisher = PUBLISHERS[wanted.kind]
    found = [Difference("", words) for words in strangers(wanted, policy)]
    statements = _statements(policy)
    if any(_same(statement, wanted.statement()) for statement in statements):
        return found
    if any(statement.get("Sid") == sid for statement in statements):
        words = f"The statement {sid} is there but not as it should be; changing it could widen it."
        return [*found, Difference("", words)]
    return [*found, Difference("policy", f"{publisher} is not let in.")]


def strangers(wanted: Wanted, policy: Mapping[str, Any]) -> list[str]:
    """Who else may publish, statement by statement: neither the publisher nor the topic's own account."""
    allowing = [statement for statement in _statements(policy) if statement.get("Effect") == "Allow"]
    return [words for statement in allowing if (words := _lets_in(wanted, statement))]


def _lets_in(wanted: Wanted, statement: Mapping[str, Any]) -> str:
    if not _publishes(statement) or _own_account_only(wanted, statement):
        return ""
    strange = [name for name in _principals(statement) if not _expected(wanted, name)]
    return f"The statement {statement.get('Sid', '?')} lets {', '.join(strange)} publish." if strange else ""


def _publishes(statement: Mapping[str, Any]) -> bool:
    if "NotAction" in statement:
        return True
    patterns = (
        re.escape(str(action).lower()).replace(r"\*", ".*").replace(r"\?", ".")
        for action in _list(statement.get("Action"))
    )
    return any(re.fullmatch(pattern, _PUBLISH) for pattern in patterns)


def _own_account_only(wanted: Wanted, statement: Mapping[str, Any]) -> bool:
    """A condition that only the topic's own account meets, as in the policy that AWS gives to a new topic."""
    equal: dict[str, Any] = {}
    for operator, keys in (statement.get("Condition") or {}).items():
        if operator == "StringEquals":
            equal |= {str(key).lower(): value for key, value in keys.items()}
    names = ("aws:sourceowner", "aws:sourceaccount", "aws:principalaccount")
    return any(_list(equal.get(name)) == [wanted.account] for name in names)


def _principals(statement: Mapping[str, Any]) -> list[str]:
    if "NotPrincipal" in statement:
        return ["everybody but some"]
    principal = statement.get("Principal")
    if isinstance(principal, Mapping):
        return [str(name) for names in principal.values() for name in _list(names)]
    return [str(name) for name in _list(principal)]


def _expected(wanted: Wanted, name: str) -> bool:
    account = re.fullmatch(r"(?:arn:aws[a-z-]*:iam::)?([0-9]{12})(?::.*)?", name)
    if account and account[1] == wanted.account:
        return True
    publisher = PUBLISHERS[wanted.kind][1]
    return name in (publisher, publisher.split(":")[4] if publisher.endswith(":root") else publisher)


def _of_signature(found: Found) -> list[Difference]:
    if found.signature_version == "2":
        return []
    return [Difference("signature", f"It signs with version {found.signature_version or '1'}, not 2.")]


def _of_queue(wanted: Wanted, found: Found) -> list[Difference]:
    if found.queue_policy is None:
        return [
            Difference("queue", "There is no dead-letter queue."),
            Difference("queue policy", "SNS may not send to it."),
        ]
    differing = []
    if found.queue_kept_days < KEPT_DAYS:
        differing.append(
            Difference("queue", f"The dead-letter queue keeps messages for {found.queue_kept_days} days only.")
        )
    if not any(_same(statement, wanted.queue_statement()) for statement in _statements(found.queue_policy)):
        differing.append(Difference("queue policy", "SNS may not send to the dead-letter queue."))
    if found.queue_waiting:
        words = f"{found.queue_waiting} message(s) wait in the dead-letter queue: manage.py sns_redrive"
        differing.append(Difference("", words))
    return differing


def _of_ours(wanted: Wanted, found: Found) -> list[Difference]:
    if not found.subscription_arn:
        return [Difference("subscribe", "Our address is not subscribed.")]
    if not found.confirmed:
        return [Difference("subscribe", "Our subscription waits for its confirmation.")]
    attributes = [
        Difference(name, f"The subscription's {name} is not as it should be.")
        for name, value in wanted.attributes().items()
        if found.subscription.get(name) != value
    ]
    return [*attributes, *_of_password(found), *_for_a_person(found)]


def _of_password(found: Found) -> list[Difference]:
    """What SNS was told stands in the subscription for ever: another password is another subscription."""
    if found.told == "the first":
        return []
    if found.told == "an older one":
        return [Difference("subscribe", "SNS was told an older password than the first of SNS_BASIC_AUTH.")]
    words = "As far as we know, SNS was told no password of SNS_BASIC_AUTH: its messages are refused."
    return [Difference("subscribe", words)]


def _for_a_person(found: Found) -> list[Difference]:
    words = [f"{arn} brings our address the same messages: end it in AWS." for arn in found.others]
    if found.subscription.get("FilterPolicy"):
        words.append("The subscription has a filter: messages are left out.")
    if str(found.subscription.get("ConfirmationWasAuthenticated")).lower() == "false":
        words.append("Whoever has a message can end the subscription: it was not confirmed by this portal.")
    return [Difference("", one) for one in words]


def same_address(endpoint: str, other: str) -> bool:
    """The same door, whatever user and password stand in it (AWS masks them). What is no address is not ours."""
    try:
        one, two = urlsplit(endpoint), urlsplit(other)
        return (one.scheme, one.hostname, one.port, one.path) == (two.scheme, two.hostname, two.port, two.path)
    except ValueError:
        return False


def _same(statement: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return _plain(statement) == _plain(wanted)


def _plain(statement: Mapping[str, Any]) -> str:
    """Without its name; a list of one is its only member, an action has no capitals, an account is its root."""
    members = {name: value for name, value in statement.items() if name != "Sid" and value not in ({}, None)}
    members["Action"] = sorted(str(action).lower() for action in _list(members.get("Action")))
    members["Principal"] = sorted(
        re.sub(r"^([0-9]{12})$", r"arn:aws:iam::\1:root", name) for name in _principals(statement)
    )
    members["Resource"] = _list(members.get("Resource"))
    return json.dumps(members, sort_keys=True)


def _statements(policy: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return _list(policy.get("Statement"))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
