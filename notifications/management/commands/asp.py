"""Smart Properties: who hears of which events (configurations, subscriptions), which device belongs into which unit, and roles.

Amazon knows no update of a configuration or subscription: delete it and create another. Needs ASP_CLIENT_ID, ASP_CLIENT_SECRET and
ASP_REFRESH_TOKEN.
"""

import sys
import uuid
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from notifications import asp_api, operations, regions
from notifications.asp_api import AspError
from notifications.models import PropertyOperation

CONFIGURATIONS, SUBSCRIPTIONS = "subscriptionConfigurations", "subscriptions"


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        verbs.add_parser("user-id", help="whose token it is: the user of set-ups, the principal of roles")
        verbs.add_parser("configurations", help="list the configurations: which topics hear")
        made = verbs.add_parser("create-configuration", help="let a topic of Smart Properties hear events")
        made.add_argument("topic", help="its ARN")
        verbs.add_parser("subscriptions", help="list the subscriptions: which events are told")
        self._add_subscribe(verbs.add_parser("subscribe", help="have an event of a unit told"))
        for name, what in (("delete-configuration", "a configuration"), ("unsubscribe", "a subscription")):
            gone = verbs.add_parser(name, help=f"delete {what}; this cannot be undone")
            gone.add_argument("id")
            gone.add_argument("--yes", action="store_true", help="do not ask")
        plan = verbs.add_parser("plan", help="say into which unit a device belongs; it goes there when it is set up")
        plan.add_argument("device", help="endpoint ID or serial number")
        plan.add_argument("unit", help="unit ID, amzn1.alexa.unit.…")
        verbs.add_parser("plans", help="list devices and roles, and how far each is")
        gone = verbs.add_parser("withdraw", help="take back a plan or a role that is not done")
        gone.add_argument("number", type=int, help="as `plans` lists it")
        for name, what in (("assign-role", "give"), ("revoke-role", "take away")):
            role = verbs.add_parser(name, help=f"{what} a role")
            role.add_argument("role", help="amzn1.alexa.role.…")
            role.add_argument("principal", help="amzn1.account.…")
            role.add_argument("--unit", default="", help="wait until Amazon says that this unit is ready")
            role.add_argument("--propagate", action="store_true", help="in its sub-units, too")

    def _add_subscribe(self, parser: CommandParser) -> None:
        parser.add_argument("event", choices=list(asp_api.EVENTS))
        parser.add_argument("configuration", help="amzn1.alexa.aem.subscription.configuration.…")
        parser.add_argument("unit", help="the unit; for activation the parent of the units to come")
        parser.add_argument("--skill", default="", help="for skill: amzn1.ask.skill.…")
        parser.add_argument("--user", default="", help="for setup: the user that sets devices up; default: user-id")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            getattr(self, "_" + options["verb"].replace("-", "_"))(options)
        except (AspError, ValueError) as problem:
            raise CommandError(str(problem)) from problem

    def _user_id(self, options: dict[str, Any]) -> None:
        self.stdout.write(asp_api.user_id())

    def _configurations(self, options: dict[str, Any]) -> None:
        for found in asp_api.listed(CONFIGURATIONS):
            topics = ", ".join(str(channel.get("id")) for channel in found.get("deliveryChannels", []))
            self.stdout.write(f"{found.get('id')}  {topics}")

    def _create_configuration(self, options: dict[str, Any]) -> None:
        if regions.locate(options["topic"]) is None:
            raise CommandError(f"{options['topic']} is not the ARN of an SNS topic in a region that we know.")
        self.stdout.write(asp_api.create_configuration(options["topic"], str(uuid.uuid4())))

    def _subscriptions(self, options: dict[str, Any]) -> None:
        for found in asp_api.listed(SUBSCRIPTIONS):
            kind = found.get("eventType") or {}
            self.stdout.write(f"{found.get('id')}  {kind.get('namespace')}.{kind.get('name')}  {found.get('entities')}")

    def _subscribe(self, options: dict[str, Any]) -> None:
        user = options["user"] or (asp_api.user_id() if options["event"] == "setup" else "")
        entities = asp_api.entities_for(options["event"], options["unit"], options["skill"], user)
        self.stdout.write(asp_api.create_subscription(options["configuration"], options["event"], entities))

    def _delete_configuration(self, options: dict[str, Any]) -> None:
        self._delete(CONFIGURATIONS, options)

    def _unsubscribe(self, options: dict[str, Any]) -> None:
        self._delete(SUBSCRIPTIONS, options)

    def _delete(self, what: str, options: dict[str, Any]) -> None:
        if not options["yes"] and not _confirmed(f"Delete {options['id']}? Its events are told no more. [y/N] "):
            raise CommandError("Nothing was deleted.")
        gone = asp_api.delete(what, options["id"])
        self.stdout.write("Deleted." if gone else "There was none with this ID.")

    def _plan(self, options: dict[str, Any]) -> None:
        row = operations.plan(options["device"], options["unit"])
        self.stdout.write(f"{row.pk}  {row}: {row.reason or row.get_state_display()}")

    def _plans(self, options: dict[str, Any]) -> None:
        for row in PropertyOperation.objects.order_by("pk"):
            self.stdout.write(f"{row.pk}  {row.get_state_display()}  {row}: {row.reason}")

    def _withdraw(self, options: dict[str, Any]) -> None:
        row = PropertyOperation.objects.filter(pk=options["number"]).first()
        if row is None or not operations.withdraw(row):
            raise CommandError("There is no such number, or nothing of it is left to be done; `plans` lists them.")
        self.stdout.write("Withdrawn.")

    def _assign_role(self, options: dict[str, Any]) -> None:
        self._role(PropertyOperation.Kind.ASSIGN, options)

    def _revoke_role(self, options: dict[str, Any]) -> None:
        self._role(PropertyOperation.Kind.REVOKE, options)

    def _role(self, kind: str, options: dict[str, Any]) -> None:
        what = options["role"], options["principal"], options["unit"]
        row = operations.ask_for_role(kind, *what, propagate=options["propagate"])
        self.stdout.write(f"{row.pk}  {row}: {row.get_state_display()}")


def _confirmed(question: str) -> bool:
    """Asked of a person only: without a terminal the answer is no."""
    return sys.stdin.isatty() and input(question).strip().lower() in ("y", "yes")
