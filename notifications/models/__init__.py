"""What SNS told us, and what came of it: topics, messages, Dash notifications, orders, registrations, subscriptions.

Here: columns, constraints and questions to one row or a set, a file for each matter. How a row comes and changes:
`inbox.py`, `ledger.py`, `orders.py`, `registrations.py`, `operations.py`, `topics.py`. Not here: what a message means (`drs.py`).
"""

from notifications.models.ledger import Notification
from notifications.models.messages import Message, MessageBody, MessageQuerySet, SigningCertificate
from notifications.models.orders import Order, OrderItem, OrderQuerySet
from notifications.models.properties import EndpointAlias, PropertyEvent, PropertyOperation
from notifications.models.registrations import DrsRegistration, SlotSubscription
from notifications.models.topics import Topic

__all__ = [
    "DrsRegistration",
    "EndpointAlias",
    "Message",
    "MessageBody",
    "MessageQuerySet",
    "Notification",
    "Order",
    "OrderItem",
    "OrderQuerySet",
    "PropertyEvent",
    "PropertyOperation",
    "SigningCertificate",
    "SlotSubscription",
    "Topic",
]
